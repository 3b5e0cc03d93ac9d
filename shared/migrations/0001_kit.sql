-- What the shared kit keeps in every service's database.

-- The truth about what was consumed; Kafka's own group offsets are written for lag tools and never read.
CREATE TABLE consumer_offsets (
    topic        text        NOT NULL,
    partition    integer     NOT NULL CHECK (partition >= 0),
    position     bigint      NOT NULL CHECK (position >= 0),
    cluster_id   text        NOT NULL,
    record_at    timestamptz,
    stopped_why  text,
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);

CREATE TABLE outbox (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic       text        NOT NULL,
    key         bytea       NOT NULL,
    value       bytea,
    headers     bytea       NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE dead_letters (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic        text        NOT NULL,
    partition    integer     NOT NULL,
    "offset"     bigint      NOT NULL,
    cluster_id   text        NOT NULL,
    key          bytea,
    value        bytea,
    headers      bytea       NOT NULL,
    record_at    timestamptz,
    event_type   text,
    error_class  text        NOT NULL,
    error        text        NOT NULL,
    attempts     integer     NOT NULL DEFAULT 1,
    state        text        NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'replaying', 'replayed', 'discarded')),
    created_at   timestamptz NOT NULL DEFAULT now(),
    resolved_at  timestamptz,
    -- A record is set aside once, however often it is delivered.
    UNIQUE (cluster_id, topic, partition, "offset")
);
CREATE INDEX dead_letters_open ON dead_letters (state, id) WHERE state IN ('open', 'replaying');

CREATE TABLE breaker (
    one        boolean     PRIMARY KEY DEFAULT true CHECK (one),
    opened_at  timestamptz NOT NULL,
    why        text        NOT NULL
);

-- Who did what by hand. Rows are only added.
CREATE TABLE audit_log (
    id       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT now(),
    actor    text        NOT NULL,
    action   text        NOT NULL,
    subject  text        NOT NULL,
    detail   text        NOT NULL DEFAULT ''
);
