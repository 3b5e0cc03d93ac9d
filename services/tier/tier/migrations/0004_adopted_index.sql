-- By itself: it reads the whole table, and readers do not wait for it.
CREATE INDEX members_adopted ON members (partition, adopted_at) WHERE adopted_at IS NOT NULL;
