-- The ledger. Every invariant of an account that SQL can say stands here a second time.

CREATE TABLE accounts (
    member_id   uuid        PRIMARY KEY,
    program_id  text        NOT NULL,
    partition   integer     NOT NULL CHECK (partition >= 0),
    pending     bigint      NOT NULL DEFAULT 0 CHECK (pending >= 0),
    active      bigint      NOT NULL DEFAULT 0 CHECK (active >= 0),
    held        bigint      NOT NULL DEFAULT 0 CHECK (held >= 0),
    deficit     bigint      NOT NULL DEFAULT 0 CHECK (deficit >= 0),
    -- How far the account was advanced; nothing is posted before.
    clock       timestamptz NOT NULL DEFAULT 'epoch',
    -- Of the last decision: the account's version.
    sequence    bigint      NOT NULL DEFAULT 0 CHECK (sequence >= 0),
    -- When the first of its lots changes by itself.
    due_at      timestamptz,
    CONSTRAINT never_both_spendable_and_owed CHECK (active = 0 OR deficit = 0)
) WITH (fillfactor = 70);
CREATE INDEX accounts_due ON accounts (partition, due_at) WHERE due_at IS NOT NULL;

-- What other services say of a member, each at its newest version.
CREATE TABLE members (
    member_id        uuid    PRIMARY KEY REFERENCES accounts,
    status           text    NOT NULL CHECK (status IN ('unknown', 'shopper', 'member', 'erased')),
    enrolled_at      timestamptz,
    version          bigint  NOT NULL CHECK (version >= 0),
    intervals        jsonb   NOT NULL,
    standing_version bigint  NOT NULL CHECK (standing_version >= 0),
    -- Orders that one transaction could not judge again: why, and after which to go on.
    continuation     jsonb
) WITH (fillfactor = 80);
CREATE INDEX members_continued ON members (member_id) WHERE continuation IS NOT NULL;

CREATE TABLE orders (
    program_id        text        NOT NULL,
    source            text        NOT NULL,
    order_id          text        NOT NULL,
    member_id         uuid        NOT NULL REFERENCES accounts,
    revision          bigint      NOT NULL CHECK (revision >= 1),
    placed_at         timestamptz NOT NULL,
    first_recorded_at timestamptz NOT NULL,
    -- Of the decision that took the newest revision: its input is the order as received.
    document_sequence bigint      NOT NULL,
    -- Null: not judged yet, no version was in force.
    program_version   integer,
    program_hash      text,
    reason            text,
    explanation       jsonb       NOT NULL,
    base              jsonb       NOT NULL,
    lot_id            uuid,
    PRIMARY KEY (program_id, source, order_id),
    CONSTRAINT pinned_whole CHECK ((program_version IS NULL) = (program_hash IS NULL))
);
CREATE INDEX orders_of_member ON orders (member_id, placed_at, source, order_id);
CREATE INDEX orders_unjudged ON orders (program_id, placed_at) WHERE program_version IS NULL;

-- What an order was granted by each rule, after clawbacks. Kept for ever: nothing is granted twice.
CREATE TABLE claims (
    program_id text   NOT NULL,
    source     text   NOT NULL,
    order_id   text   NOT NULL,
    rule_id    text   NOT NULL,
    granted    bigint NOT NULL CHECK (granted >= 0),
    PRIMARY KEY (program_id, source, order_id, rule_id),
    FOREIGN KEY (program_id, source, order_id) REFERENCES orders
);

CREATE TABLE referral_claims (
    referral_id     uuid        NOT NULL,
    role            text        NOT NULL CHECK (role IN ('advocate', 'friend')),
    member_id       uuid        NOT NULL REFERENCES accounts,
    program_id      text        NOT NULL,
    version         bigint      NOT NULL CHECK (version >= 1),
    confirmed       boolean     NOT NULL,
    placed_at       timestamptz NOT NULL,
    program_version integer,
    program_hash    text,
    reason          text,
    explanation     jsonb       NOT NULL,
    granted         bigint      NOT NULL CHECK (granted >= 0),
    lot_id          uuid,
    PRIMARY KEY (referral_id, role),
    CONSTRAINT pinned_whole CHECK ((program_version IS NULL) = (program_hash IS NULL))
);
CREATE INDEX referral_claims_of_member ON referral_claims (member_id);
CREATE INDEX referral_claims_unjudged ON referral_claims (program_id, placed_at) WHERE program_version IS NULL;

CREATE TABLE lots (
    lot_id          uuid        PRIMARY KEY,
    member_id       uuid        NOT NULL REFERENCES accounts,
    source          text,
    order_id        text,
    referral_id     uuid,
    role            text,
    program_version integer     NOT NULL,
    opened_at       timestamptz NOT NULL,
    activates_at    timestamptz NOT NULL,
    expires_at      timestamptz CHECK (expires_at > activates_at),
    state           text        NOT NULL CHECK (state IN ('pending', 'active', 'ended')),
    remaining       bigint      NOT NULL CHECK (remaining >= 0),
    expired         bigint      NOT NULL CHECK (expired >= 0),
    -- What was taken back of its origin's grant and from where, last at the end.
    takings         jsonb       NOT NULL,
    -- When points in it change by themselves.
    due_at          timestamptz GENERATED ALWAYS AS (
        CASE WHEN remaining = 0 OR state = 'ended' THEN NULL WHEN state = 'pending' THEN activates_at ELSE expires_at END
    ) STORED,
    CONSTRAINT one_origin CHECK (
        (source IS NULL) = (order_id IS NULL) AND (referral_id IS NULL) = (role IS NULL)
        AND (source IS NULL) <> (referral_id IS NULL)
    ),
    CONSTRAINT ended_is_empty CHECK (state <> 'ended' OR remaining = 0)
) WITH (fillfactor = 80);
CREATE INDEX lots_with_points ON lots (member_id, due_at) WHERE remaining > 0;

-- Every accepted input with what was pinned for it, in the order in which the member's account took them. It is the inbox too.
CREATE TABLE decisions (
    member_id    uuid        NOT NULL REFERENCES accounts,
    sequence     bigint      NOT NULL CHECK (sequence >= 1),
    decision_key text        NOT NULL,
    cause        jsonb       NOT NULL,
    occurred_at  timestamptz NOT NULL,
    effective_at timestamptz NOT NULL,
    input        text        NOT NULL,
    pinned       jsonb       NOT NULL,
    PRIMARY KEY (member_id, sequence),
    UNIQUE (member_id, decision_key)
);

CREATE TABLE transfers (
    member_id       uuid        NOT NULL,
    sequence        bigint      NOT NULL,
    ordinal         integer     NOT NULL CHECK (ordinal >= 1),
    transfer_id     uuid        NOT NULL,
    debit           text        NOT NULL,
    credit          text        NOT NULL,
    points          bigint      NOT NULL CHECK (points > 0),
    effective_at    timestamptz NOT NULL,
    program_version integer     NOT NULL,
    rule_id         text,
    source          text,
    order_id        text,
    referral_id     uuid,
    role            text,
    lot_id          uuid        REFERENCES lots,
    PRIMARY KEY (member_id, sequence, ordinal),
    FOREIGN KEY (member_id, sequence) REFERENCES decisions,
    CONSTRAINT between_two_buckets CHECK (debit <> credit),
    CONSTRAINT known_buckets CHECK (
        ARRAY[debit, credit] <@ ARRAY['pending', 'active', 'held', 'deficit', 'source', 'redeemed', 'expired',
                                      'clawed_back', 'waived', 'forfeited', 'adjusted', 'imported']
    )
) WITH (fillfactor = 100);

-- Which lots a debit of active points consumed.
CREATE TABLE lot_uses (
    member_id uuid    NOT NULL,
    sequence  bigint  NOT NULL,
    ordinal   integer NOT NULL,
    lot_id    uuid    NOT NULL REFERENCES lots,
    points    bigint  NOT NULL CHECK (points > 0),
    PRIMARY KEY (member_id, sequence, ordinal, lot_id),
    FOREIGN KEY (member_id, sequence, ordinal) REFERENCES transfers
) WITH (fillfactor = 100);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are only added', TG_TABLE_NAME;
END $$;
CREATE TRIGGER only_added BEFORE UPDATE OR DELETE ON decisions FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER only_added BEFORE UPDATE OR DELETE ON transfers FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER only_added BEFORE UPDATE OR DELETE ON lot_uses FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE coupons (
    coupon_id  uuid        PRIMARY KEY,
    program_id text        NOT NULL,
    member_id  uuid        NOT NULL REFERENCES accounts,
    reward_id  text        NOT NULL,
    code       text        NOT NULL,
    issued_at  timestamptz NOT NULL,
    expires_at timestamptz,
    UNIQUE (program_id, code)
);

-- Codes that the shop knows already, waiting to be drawn.
CREATE TABLE coupon_codes (
    program_id text NOT NULL,
    code       text NOT NULL CHECK (length(code) BETWEEN 1 AND 255),
    reward_id  text NOT NULL,
    coupon_id  uuid,
    PRIMARY KEY (program_id, code)
);
CREATE INDEX coupon_codes_free ON coupon_codes (program_id, reward_id, code) WHERE coupon_id IS NULL;

-- The client's idempotency keys, for ever, with the committed effect.
CREATE TABLE redemptions (
    member_id       uuid  NOT NULL REFERENCES accounts,
    idempotency_key text  NOT NULL,
    sequence        bigint NOT NULL,
    coupon_id       uuid  NOT NULL REFERENCES coupons,
    body            jsonb NOT NULL,
    answer          json  NOT NULL,
    PRIMARY KEY (member_id, idempotency_key),
    FOREIGN KEY (member_id, sequence) REFERENCES decisions
);
