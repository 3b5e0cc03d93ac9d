-- Members as far as messages need to know. One row holds what two versioned streams, the referral code and the member's own wish say.
CREATE TABLE members (
    member_id       uuid PRIMARY KEY,
    program_id      text NOT NULL,
    version         bigint NOT NULL DEFAULT 0 CHECK (version >= 0),
    status          text CHECK (status IN ('shopper', 'member', 'erased')),
    locale          text,
    contact_version bigint NOT NULL DEFAULT 0 CHECK (contact_version >= 0),
    email           text,
    first_name      text,
    last_name       text,
    referral_code   text,
    opted_out_at    timestamptz
);

-- Every message ever called for. Rows are kept for ever, since they are what stops a second one; parameters go once it is done.
CREATE TABLE messages (
    message_id      uuid PRIMARY KEY,
    program_id      text NOT NULL,
    member_id       uuid NOT NULL REFERENCES members,
    event_id        uuid NOT NULL,
    channel         text NOT NULL CHECK (channel IN ('email', 'webhook')),
    template        text NOT NULL,
    parameters      text NOT NULL,
    recorded_at     timestamptz NOT NULL,
    created_at      timestamptz NOT NULL,
    correlation_id  text NOT NULL,
    traceparent     text,
    state           text NOT NULL CHECK (state IN ('due', 'sent', 'suppressed', 'failed')),
    reason          text,
    locale          text,
    attempts        integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_attempt_at timestamptz,
    finished_at     timestamptz,
    UNIQUE (event_id, channel),
    CHECK ((state = 'due') = (next_attempt_at IS NOT NULL)),
    CHECK ((state = 'due') = (finished_at IS NULL)),
    CHECK (state NOT IN ('suppressed', 'failed') OR reason IS NOT NULL),
    CHECK (state NOT IN ('sent', 'suppressed') OR parameters = '{}')
);
CREATE UNIQUE INDEX messages_one_welcome ON messages (member_id) WHERE template = 'welcome';
CREATE INDEX messages_due ON messages (channel, next_attempt_at) WHERE state = 'due';
CREATE INDEX messages_of_member ON messages (member_id, message_id);

-- Where a program's systems are told. A disabled endpoint keeps its messages waiting.
CREATE TABLE endpoints (
    program_id      text PRIMARY KEY,
    url             text NOT NULL,
    enabled         boolean NOT NULL DEFAULT true,
    disabled_reason text,
    CHECK (enabled = (disabled_reason IS NULL))
);

-- The newest secret has no end; older ones sign as well until theirs.
CREATE TABLE endpoint_secrets (
    program_id text NOT NULL REFERENCES endpoints,
    secret     text NOT NULL CHECK (secret LIKE 'whsec\_%'),
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    PRIMARY KEY (program_id, secret)
);
CREATE UNIQUE INDEX endpoint_secrets_one_current ON endpoint_secrets (program_id) WHERE expires_at IS NULL;
