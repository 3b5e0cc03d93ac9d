-- When a referral of theirs was taken over from the topic after a restore. Until all orders have been read again they
-- are not judged as friends: they were judged by more than the tables hold.
ALTER TABLE members ADD COLUMN adopted_at timestamptz;
