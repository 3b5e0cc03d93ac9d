-- When a standing was taken over from the topic after a restore. Until all facts have been read again it is not judged:
-- it was announced from more facts than the tables hold.
ALTER TABLE members ADD COLUMN adopted_at timestamptz;
