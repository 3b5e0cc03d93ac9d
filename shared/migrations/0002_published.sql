-- The offset after the last record of its own topics that Kafka acknowledged. What lies beyond it and is not in the
-- outbox was published by a state of this database that is gone: it was restored from a backup.
CREATE TABLE published (
    topic       text    NOT NULL,
    partition   integer NOT NULL CHECK (partition >= 0),
    position    bigint  NOT NULL CHECK (position >= 0),
    cluster_id  text    NOT NULL,
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);

-- Long values lie here for moments: compressing them would cost more than it saves.
ALTER TABLE outbox ALTER COLUMN value SET STORAGE EXTERNAL;
