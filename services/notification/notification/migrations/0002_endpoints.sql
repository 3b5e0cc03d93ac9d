-- Since when there is an endpoint (what was before is not told to it; nothing: it was made before this was kept), when it
-- last accepted something, and until when it is left alone since it said nothing at all.
ALTER TABLE endpoints
    ADD COLUMN created_at   timestamptz,
    ADD COLUMN accepted_at  timestamptz,
    ADD COLUMN paused_until timestamptz;

-- In which order messages were called for, and since when the recipient is refused for the time being. Rows from before have
-- no number: they come first.
CREATE SEQUENCE messages_numbers;
ALTER TABLE messages ADD COLUMN number bigint, ADD COLUMN refused_at timestamptz;
ALTER TABLE messages ALTER COLUMN number SET DEFAULT nextval('messages_numbers');
