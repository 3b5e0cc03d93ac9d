-- By itself: it reads the whole table, and holds no lock that anybody waits for.
ALTER TABLE members VALIDATE CONSTRAINT members_profile_version_check;
