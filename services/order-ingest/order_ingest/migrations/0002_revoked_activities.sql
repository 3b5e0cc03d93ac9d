-- An activity may be undone once: what was told is kept, so that it can be told again as undone.

ALTER TABLE activities
    ADD COLUMN revision    integer NOT NULL DEFAULT 0 CHECK (revision BETWEEN 0 AND 2),
    ADD COLUMN revoked_at  timestamptz,
    -- None until it is published, and of those published before this column was there.
    ADD COLUMN facts       bytea;
UPDATE activities SET revision = 1 WHERE member_id IS NOT NULL;
ALTER TABLE activities
    ADD CHECK ((revision = 0) = (member_id IS NULL)),
    ADD CHECK (revision < 2 OR revoked_at IS NOT NULL);
