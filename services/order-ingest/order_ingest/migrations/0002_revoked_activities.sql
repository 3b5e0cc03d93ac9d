-- An activity may be undone once: what was told is kept, so that it can be told again as undone.
-- Nothing here stands in the way of services of the version before, which go on until they are replaced.

ALTER TABLE activities
    ADD COLUMN revoked_at  timestamptz,
    -- None until it is published, and of those published before this column was there.
    ADD COLUMN facts       bytea CHECK (facts IS NULL OR member_id IS NOT NULL);
