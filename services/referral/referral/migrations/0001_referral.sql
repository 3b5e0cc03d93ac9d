-- Advocates and friends alike. The row is the lock of all that concerns a member.
CREATE TABLE members (
    member_id        uuid PRIMARY KEY,
    program_id       text NOT NULL,
    partition        integer NOT NULL CHECK (partition >= 0),
    version          bigint NOT NULL DEFAULT 0 CHECK (version >= 0),
    status           text CHECK (status IN ('shopper', 'member', 'erased')),
    email            text,
    code             text CHECK (code ~ '^[0-9A-HJKMNP-TV-Z]{8}$'),
    code_assigned_at timestamptz,
    program_version  integer NOT NULL DEFAULT 0 CHECK (program_version >= 0),
    UNIQUE (program_id, code),
    CHECK ((version = 0) = (status IS NULL)),
    CHECK ((code IS NULL) = (code_assigned_at IS NULL))
);
CREATE INDEX members_seen ON members (partition, program_id, program_version);

-- Orders at their latest revision. The last three columns are fingerprints.
CREATE TABLE orders (
    member_id  uuid NOT NULL REFERENCES members,
    source     text NOT NULL,
    order_id   text NOT NULL,
    program_id text NOT NULL,
    revision   bigint NOT NULL CHECK (revision > 0),
    placed_at  timestamptz NOT NULL,
    payment    text NOT NULL CHECK (payment IN ('unpaid', 'paid', 'refunded', 'voided')),
    cancelled  boolean NOT NULL,
    test       boolean NOT NULL,
    currency   text NOT NULL,
    net_minor  bigint NOT NULL CHECK (net_minor >= 0),
    codes      text[] NOT NULL,
    email      text,
    address    text,
    card       text,
    PRIMARY KEY (member_id, source, order_id)
);
-- Who carried a code, known to be somebody's or not yet.
CREATE INDEX orders_codes ON orders USING gin (codes) WHERE codes <> '{}';

-- Whose code on which order of a friend, and what it is worth. The version counts what was announced, 0 for nothing yet.
CREATE TABLE referrals (
    referral_id    uuid PRIMARY KEY,
    program_id     text NOT NULL,
    friend_id      uuid NOT NULL REFERENCES members,
    advocate_id    uuid NOT NULL REFERENCES members,
    source         text NOT NULL,
    order_id       text NOT NULL,
    state          text NOT NULL CHECK (state IN ('confirmed', 'rejected', 'unqualified')),
    reason         text,
    version        bigint NOT NULL CHECK (version >= 0),
    order_revision bigint NOT NULL CHECK (order_revision > 0),
    order_minor    bigint NOT NULL CHECK (order_minor >= 0),
    placed_at      timestamptz NOT NULL,
    changed_at     timestamptz NOT NULL,
    UNIQUE (friend_id, source, order_id, advocate_id),
    CHECK ((state = 'confirmed') = (reason IS NULL)),
    CHECK (state = 'unqualified' OR version > 0),
    CHECK (state <> 'confirmed' OR friend_id <> advocate_id)
);
-- A friend is brought once.
CREATE UNIQUE INDEX referrals_one_confirmed ON referrals (friend_id) WHERE state = 'confirmed';
CREATE INDEX referrals_of_advocate ON referrals (advocate_id, referral_id);
