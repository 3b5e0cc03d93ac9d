-- The edge's tables: who may send, what was sent, and what is known from it.

CREATE TABLE sources (
    program_id  text        NOT NULL,
    source      text        NOT NULL CHECK (source ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (program_id, source)
);

-- Credentials of a source. Never part of an order's identity: an app installed again must not grant again.
CREATE TABLE connections (
    connection_id  text        PRIMARY KEY CHECK (connection_id ~ '^[A-Za-z0-9_-]{8,64}$'),
    program_id     text        NOT NULL,
    source         text        NOT NULL,
    platform       text        NOT NULL CHECK (platform IN ('shopify')),
    active         boolean     NOT NULL DEFAULT true,
    created_at     timestamptz NOT NULL,
    FOREIGN KEY (program_id, source) REFERENCES sources
);

-- Several are valid at once while a secret is rotated.
CREATE TABLE connection_secrets (
    secret_id      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    connection_id  text        NOT NULL REFERENCES connections,
    secret         text        NOT NULL CHECK (length(secret) > 0),
    valid_until    timestamptz,
    created_at     timestamptz NOT NULL
);
CREATE INDEX connection_secrets_of ON connection_secrets (connection_id);

CREATE TABLE deliveries (
    delivery_id    bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    program_id     text        NOT NULL,
    source         text        NOT NULL,
    connection_id  text        REFERENCES connections,
    platform       text        NOT NULL CHECK (platform IN ('shopify', 'api')),
    -- What the sender called it: a hint that no signature covers, but for the API's own.
    topic          text        NOT NULL,
    webhook_id     text,
    headers        jsonb       NOT NULL,
    body           bytea       NOT NULL,
    body_bytes     integer     NOT NULL GENERATED ALWAYS AS (octet_length(body)) STORED,
    body_sha256    bytea       NOT NULL CHECK (octet_length(body_sha256) = 32),
    traceparent    text,
    received_at    timestamptz NOT NULL,
    status         text        NOT NULL DEFAULT 'received' CHECK (status IN ('received', 'processed', 'quarantined')),
    reason         text,
    processed_at   timestamptz,
    CHECK ((platform = 'api') = (connection_id IS NULL)),
    CHECK ((status = 'quarantined') = (reason IS NOT NULL)),
    CHECK ((status = 'received') = (processed_at IS NULL)),
    FOREIGN KEY (program_id, source) REFERENCES sources
);
CREATE UNIQUE INDEX deliveries_once ON deliveries (connection_id, webhook_id, body_sha256) WHERE webhook_id IS NOT NULL;
CREATE INDEX deliveries_received ON deliveries (delivery_id) WHERE status = 'received';
CREATE INDEX deliveries_quarantined ON deliveries (delivery_id) WHERE status = 'quarantined';
CREATE INDEX deliveries_age ON deliveries (received_at);

-- Kept for ever: the same key never means two things.
CREATE TABLE idempotency_keys (
    program_id      text        NOT NULL,
    key             text        NOT NULL,
    request_sha256  bytea       NOT NULL CHECK (octet_length(request_sha256) = 32),
    answer          text,
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (program_id, key)
);

CREATE TABLE members (
    member_id        uuid        PRIMARY KEY,
    program_id       text        NOT NULL,
    version          integer     NOT NULL CHECK (version >= 1),
    contact_version  integer     NOT NULL CHECK (contact_version >= 0),
    status           text        NOT NULL CHECK (status IN ('shopper', 'member')),
    enrolled_at      timestamptz,
    recorded_at      timestamptz NOT NULL,
    email            text CHECK (email = lower(email)),
    undecided        boolean     NOT NULL,
    state            bytea       NOT NULL,
    CHECK ((status = 'member') = (enrolled_at IS NOT NULL))
);
CREATE INDEX members_by_email ON members (program_id, email) WHERE email IS NOT NULL;
-- Their program was unknown when something happened that may make them members.
CREATE INDEX members_undecided ON members (member_id) WHERE undecided;

-- What leads to a member: a customer id within a source, or an e-mail address within the program. A row without a
-- member is a lock that a transaction took and found nothing to claim.
CREATE TABLE identities (
    program_id  text NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('customer', 'email')),
    source      text NOT NULL,
    value       text NOT NULL,
    member_id   uuid,
    PRIMARY KEY (program_id, kind, source, value),
    CHECK ((kind = 'email') = (source = ''))
);
CREATE INDEX identities_of ON identities (member_id);

-- One row per order of the world. Revision 0: only refunds of it are known so far.
CREATE TABLE orders (
    program_id   text    NOT NULL,
    source       text    NOT NULL,
    order_id     text    NOT NULL,
    member_id    uuid,
    revision     integer NOT NULL DEFAULT 0 CHECK (revision >= 0),
    recorded_at  timestamptz,
    state        bytea,
    PRIMARY KEY (program_id, source, order_id),
    CHECK ((revision = 0) = (member_id IS NULL)),
    CHECK ((revision = 0) = (recorded_at IS NULL))
);
CREATE INDEX orders_of ON orders (member_id);

-- Each activity is told once, for ever; its content is compared at the edge.
CREATE TABLE activities (
    program_id      text  NOT NULL,
    source          text  NOT NULL,
    activity_id     text  NOT NULL,
    content_sha256  bytea NOT NULL CHECK (octet_length(content_sha256) = 32),
    member_id       uuid,
    PRIMARY KEY (program_id, source, activity_id)
);
