-- The ledger. Every invariant of an account that SQL can say stands here a second time.

CREATE TABLE accounts (
    member_id     uuid        PRIMARY KEY,
    program_id    text        NOT NULL,
    partition     integer     NOT NULL CHECK (partition >= 0),
    pending       bigint      NOT NULL DEFAULT 0 CHECK (pending >= 0),
    active        bigint      NOT NULL DEFAULT 0 CHECK (active >= 0),
    held          bigint      NOT NULL DEFAULT 0 CHECK (held >= 0),
    deficit       bigint      NOT NULL DEFAULT 0 CHECK (deficit >= 0),
    -- How far the account was advanced; nothing is posted before.
    clock         timestamptz NOT NULL DEFAULT 'epoch',
    -- Of the last decision: the account's version.
    sequence      bigint      NOT NULL DEFAULT 0 CHECK (sequence >= 0),
    deficit_since timestamptz,
    -- When the member last did something that keeps points alive.
    active_at     timestamptz,
    frozen        boolean     NOT NULL DEFAULT false,
    household_id  uuid,
    -- When a day of the member or an old debt is due; lots and coupons have their own.
    due_at        timestamptz,
    CONSTRAINT never_both_spendable_and_owed CHECK (active = 0 OR deficit = 0),
    CONSTRAINT owed_since CHECK ((deficit = 0) = (deficit_since IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX accounts_due ON accounts (partition, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX accounts_of_household ON accounts (household_id) WHERE household_id IS NOT NULL;

-- What other services say of a member, each at its newest version.
CREATE TABLE members (
    member_id        uuid    PRIMARY KEY REFERENCES accounts,
    status           text    NOT NULL CHECK (status IN ('unknown', 'shopper', 'member', 'erased')),
    enrolled_at      timestamptz,
    version          bigint  NOT NULL CHECK (version >= 0),
    merged_into      uuid    REFERENCES accounts,
    attributes       jsonb   NOT NULL DEFAULT '{}',
    birthday         text,
    intervals        jsonb   NOT NULL DEFAULT '[]',
    memberships      jsonb   NOT NULL DEFAULT '[]',
    standing_version bigint  NOT NULL CHECK (standing_version >= 0),
    segments         text[]  NOT NULL DEFAULT '{}',
    segments_version bigint  NOT NULL DEFAULT 0 CHECK (segments_version >= 0),
    -- The version of the program by which the next day that brings points was found, and that day.
    dates_version    integer NOT NULL DEFAULT 0,
    next_date_at     timestamptz,
    -- Claims that one transaction could not judge again: why, and after which to go on.
    continuation     jsonb
) WITH (fillfactor = 80);
CREATE INDEX members_continued ON members (member_id) WHERE continuation IS NOT NULL;
CREATE INDEX members_planned ON members (dates_version) WHERE status = 'member';
CREATE INDEX members_merged ON members (merged_into) WHERE merged_into IS NOT NULL;

-- The account of a decision, claim or lot is locked before any of them is written, and accounts are never deleted; a
-- foreign key would have the server look it up again for every row.

-- Every accepted input with what was pinned for it, in the order in which the member's account took them. It is the inbox too.
CREATE TABLE decisions (
    member_id    uuid        NOT NULL,
    sequence     bigint      NOT NULL CHECK (sequence >= 1),
    kind         text        NOT NULL,
    decision_key text        NOT NULL,
    cause        jsonb       NOT NULL,
    occurred_at  timestamptz NOT NULL,
    effective_at timestamptz NOT NULL,
    input        text        NOT NULL,
    pinned       jsonb       NOT NULL,
    PRIMARY KEY (member_id, sequence),
    UNIQUE (member_id, decision_key)
);

-- Whatever points are given for, with what each rule gave after clawbacks. Kept for ever: nothing is granted twice.
CREATE TABLE claims (
    program_id        text        NOT NULL,
    kind              text        NOT NULL CHECK (kind IN
                          ('order', 'activity', 'referral', 'date', 'challenge', 'adjustment', 'transfer', 'import')),
    -- Orders and activities: source:id. Referrals: id:role. Days and challenges: member:rule:year or how-manieth time.
    claim_id          text        NOT NULL,
    -- Whose it was first; after a merge the account is another's.
    member_id         uuid        NOT NULL,
    version           bigint      NOT NULL CHECK (version >= 0),
    at                timestamptz NOT NULL,
    first_recorded_at timestamptz NOT NULL,
    -- Null: not judged yet, no version was in force.
    program_version   integer,
    program_hash      text,
    reason            text,
    granted           jsonb       NOT NULL,
    lots              jsonb       NOT NULL,
    pins              jsonb       NOT NULL,
    base              jsonb       NOT NULL,
    -- What it counts for challenges; null: nothing.
    counts            jsonb,
    detail            jsonb       NOT NULL,
    -- Of the decision that took the newest facts: its input is the order or activity as received.
    document_of       uuid,
    document_sequence bigint      NOT NULL,
    PRIMARY KEY (program_id, kind, claim_id),
    CONSTRAINT pinned_whole CHECK ((program_version IS NULL) = (program_hash IS NULL))
) WITH (fillfactor = 85);
CREATE INDEX claims_of_member ON claims (member_id, kind, at, claim_id);
CREATE INDEX claims_counted ON claims (member_id) WHERE counts IS NOT NULL;
CREATE INDEX claims_unjudged ON claims (program_id, at) WHERE program_version IS NULL;

CREATE TABLE lots (
    lot_id          uuid        PRIMARY KEY,
    member_id       uuid        NOT NULL,
    partition       integer     NOT NULL,
    claim_kind      text        NOT NULL,
    claim_id        text        NOT NULL,
    terms           text        NOT NULL,
    program_version integer     NOT NULL,
    opened_at       timestamptz NOT NULL,
    -- Null: when the order is fulfilled.
    activates_at    timestamptz,
    expires_at      timestamptz CHECK (expires_at >= activates_at),
    lapses_at       timestamptz,
    warnings        timestamptz[] NOT NULL,
    state           text        NOT NULL CHECK (state IN ('pending', 'active', 'ended')),
    remaining       bigint      NOT NULL CHECK (remaining >= 0),
    expired         bigint      NOT NULL CHECK (expired >= 0),
    -- What was taken back of its claim's grant and from where, last at the end.
    takings         jsonb       NOT NULL,
    -- When points in it change by themselves, or the member is warned.
    due_at          timestamptz GENERATED ALWAYS AS (
        CASE WHEN remaining = 0 OR state = 'ended' THEN NULL
             WHEN state = 'pending' THEN coalesce(activates_at, lapses_at)
             ELSE coalesce(warnings[1], expires_at) END
    ) STORED,
    CONSTRAINT ended_is_empty CHECK (state <> 'ended' OR remaining = 0)
) WITH (fillfactor = 80);
CREATE INDEX lots_with_points ON lots (member_id, expires_at, opened_at) WHERE remaining > 0;
CREATE INDEX lots_due ON lots (partition, due_at) WHERE due_at IS NOT NULL;

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
    claim_kind      text,
    claim_id        text,
    lot_id          uuid,
    -- Which lots a debit of active points consumed, and how many of each: {lot: points}.
    uses            jsonb,
    PRIMARY KEY (member_id, sequence, ordinal),
    CONSTRAINT between_two_buckets CHECK (debit <> credit),
    CONSTRAINT known_buckets CHECK (
        ARRAY[debit, credit] <@ ARRAY['pending', 'active', 'held', 'deficit', 'source', 'redeemed', 'expired',
                                      'clawed_back', 'waived', 'transferred', 'adjusted', 'imported']
    )
) WITH (fillfactor = 100);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are only added', TG_TABLE_NAME;
END $$;
CREATE TRIGGER only_added BEFORE UPDATE OR DELETE ON decisions FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER only_added BEFORE UPDATE OR DELETE ON transfers FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What is counted against caps, limits, budgets and stock, by window. Without a member: of all together.
CREATE TABLE uses (
    program_id text   NOT NULL,
    member_id  uuid,
    name       text   NOT NULL,
    time_window text  NOT NULL,
    used       bigint NOT NULL CHECK (used >= 0),
    UNIQUE NULLS NOT DISTINCT (member_id, program_id, name, time_window)
) WITH (fillfactor = 70);

-- What members got of rewards, from the hold of the points to the end.
CREATE TABLE coupons (
    coupon_id        uuid        PRIMARY KEY,
    program_id       text        NOT NULL,
    member_id        uuid        NOT NULL REFERENCES accounts,
    partition        integer     NOT NULL,
    reward_id        text        NOT NULL,
    kind             text        NOT NULL,
    program_version  integer     NOT NULL,
    state            text        NOT NULL CHECK (state IN ('held', 'released', 'issued', 'used', 'expired', 'returned')),
    points           bigint      NOT NULL CHECK (points >= 0),
    returned         bigint      NOT NULL CHECK (returned >= 0 AND returned <= points),
    by_hand          bigint      NOT NULL CHECK (by_hand >= 0 AND by_hand <= points),
    -- The lots that paid for it, in the order of use: [[lot, points], …].
    uses             jsonb       NOT NULL,
    value_minor      bigint,
    code             text,
    opened_at        timestamptz NOT NULL,
    held_until       timestamptz,
    issued_at        timestamptz,
    expires_at       timestamptz,
    order_id         text,
    challenge        jsonb,
    windows          jsonb       NOT NULL,
    due_at           timestamptz GENERATED ALWAYS AS (
        CASE state WHEN 'held' THEN held_until WHEN 'issued' THEN expires_at END
    ) STORED
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX coupons_by_code ON coupons (program_id, upper(code));
CREATE INDEX coupons_of_member ON coupons (member_id, opened_at);
CREATE INDEX coupons_of_order ON coupons (program_id, order_id) WHERE order_id IS NOT NULL;
CREATE INDEX coupons_due ON coupons (partition, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX coupons_of_reward ON coupons (program_id, reward_id, coupon_id);

-- Codes that the shop knows already, waiting to be drawn.
CREATE TABLE coupon_codes (
    program_id text NOT NULL,
    code       text NOT NULL CHECK (length(code) BETWEEN 1 AND 255),
    reward_id  text NOT NULL,
    drawn      boolean NOT NULL DEFAULT false,
    PRIMARY KEY (program_id, code)
);
CREATE INDEX coupon_codes_free ON coupon_codes (program_id, reward_id, code) WHERE NOT drawn;

-- The client's idempotency keys, for ever, with the committed effect.
CREATE TABLE commands (
    member_id       uuid        NOT NULL REFERENCES accounts,
    idempotency_key text        NOT NULL,
    kind            text        NOT NULL,
    body            jsonb       NOT NULL,
    answer          json        NOT NULL,
    done_at         timestamptz NOT NULL,
    PRIMARY KEY (member_id, idempotency_key)
);

-- Adjustments that wait for a second person.
CREATE TABLE approvals (
    approval_id  uuid        PRIMARY KEY,
    program_id   text        NOT NULL,
    member_id    uuid        NOT NULL REFERENCES accounts,
    body         jsonb       NOT NULL,
    requested_by text        NOT NULL,
    requested_at timestamptz NOT NULL,
    state        text        NOT NULL CHECK (state IN ('waiting', 'approved', 'rejected')),
    decided_by   text,
    decided_at   timestamptz,
    CONSTRAINT by_another CHECK (decided_by IS DISTINCT FROM requested_by OR state = 'rejected')
);
CREATE INDEX approvals_waiting ON approvals (program_id, requested_at) WHERE state = 'waiting';

-- Chance that was fixed before: secret until it is shown.
CREATE TABLE seeds (
    commitment text        PRIMARY KEY,
    program_id text        NOT NULL,
    seed       bytea       NOT NULL,
    made_at    timestamptz NOT NULL,
    -- When the seed was shown to everybody. It decides nothing that comes after.
    shown_at   timestamptz
);

CREATE TABLE draws (
    program_id text        NOT NULL,
    draw_id    text        NOT NULL,
    held_at    timestamptz NOT NULL,
    result     jsonb       NOT NULL,
    PRIMARY KEY (program_id, draw_id)
);
