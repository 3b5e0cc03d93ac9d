-- Members as far as their segments need to know; the row is the lock. Segments are whole at each version.
CREATE TABLE members (
    member_id        uuid PRIMARY KEY,
    program_id       text NOT NULL,
    profile_version  bigint NOT NULL CHECK (profile_version > 0),
    status           text NOT NULL CHECK (status IN ('shopper', 'member', 'erased')),
    segments         text[] NOT NULL DEFAULT '{}',
    segments_version bigint NOT NULL DEFAULT 0 CHECK (segments_version >= 0),
    changed_at       timestamptz,
    changed_by       text,
    CHECK (status <> 'erased' OR segments = '{}'),
    CHECK (segments_version > 0 OR segments = '{}'),
    CHECK (num_nulls(changed_at, changed_by) = CASE segments_version WHEN 0 THEN 2 ELSE 0 END)
);
