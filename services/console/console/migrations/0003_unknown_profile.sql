-- Segments may be known before the profile: after a restore they are taken over from the topic.
ALTER TABLE members DROP CONSTRAINT members_profile_version_check;
ALTER TABLE members ADD CONSTRAINT members_profile_version_check CHECK (profile_version >= 0) NOT VALID;
