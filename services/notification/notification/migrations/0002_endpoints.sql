-- Since when there is an endpoint (what was before is not told to it; nothing: it was made before this was kept), when it
-- last accepted something, and until when it is left alone since it said nothing at all.
ALTER TABLE endpoints
    ADD COLUMN created_at   timestamptz,
    ADD COLUMN accepted_at  timestamptz,
    ADD COLUMN paused_until timestamptz;
