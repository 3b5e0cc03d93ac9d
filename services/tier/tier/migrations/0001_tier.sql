-- A member's standing as last announced. The intervals are a function of order_bases and the program, kept to see what changes.
CREATE TABLE members (
    member_id       uuid PRIMARY KEY,
    program_id      text NOT NULL,
    partition       integer NOT NULL CHECK (partition >= 0),
    profile_version bigint NOT NULL DEFAULT 0 CHECK (profile_version >= 0),
    status          text CHECK (status IN ('shopper', 'member', 'erased')),
    program_version integer NOT NULL DEFAULT 0 CHECK (program_version >= 0),
    version         bigint NOT NULL DEFAULT 0 CHECK (version >= 0),
    intervals       jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(intervals) = 'array'),
    tier_id         text,
    evaluated_at    timestamptz,
    next_change_at  timestamptz,
    CHECK ((profile_version = 0) = (status IS NULL)),
    CHECK ((program_version = 0) = (evaluated_at IS NULL)),
    CHECK (next_change_at > evaluated_at),
    CHECK (tier_id IS NULL OR version > 0)
);
CREATE INDEX members_due ON members (partition, next_change_at) WHERE next_change_at IS NOT NULL;
CREATE INDEX members_judged ON members (partition, program_id, program_version);

-- Tier points: what each order counts for, from when on.
CREATE TABLE order_bases (
    member_id uuid NOT NULL REFERENCES members,
    source    text NOT NULL,
    order_id  text NOT NULL,
    placed_at timestamptz NOT NULL,
    revision  bigint NOT NULL CHECK (revision > 0),
    sequence  bigint NOT NULL CHECK (sequence > 0),
    steps     jsonb NOT NULL CHECK (jsonb_typeof(steps) = 'array'),
    PRIMARY KEY (member_id, source, order_id)
);

-- Everything that was announced. Rows are only added.
CREATE TABLE standing_changes (
    member_id       uuid NOT NULL REFERENCES members,
    version         bigint NOT NULL CHECK (version > 0),
    program_version integer NOT NULL CHECK (program_version > 0),
    change          text NOT NULL CHECK (change IN ('upgraded', 'downgraded', 'unchanged')),
    from_tier_id    text NOT NULL,
    to_tier_id      text NOT NULL,
    tier_points     bigint NOT NULL CHECK (tier_points >= 0),
    occurred_at     timestamptz NOT NULL,
    recorded_at     timestamptz NOT NULL,
    PRIMARY KEY (member_id, version)
);
