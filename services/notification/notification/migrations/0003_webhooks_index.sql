-- By itself: it reads the whole table, and readers do not wait for it.
CREATE INDEX messages_webhooks ON messages (program_id, next_attempt_at)
    WHERE channel = 'webhook' AND state IN ('due', 'failed');
