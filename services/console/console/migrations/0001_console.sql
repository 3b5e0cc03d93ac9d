-- One row per program, locked while a version is published, so that two at a time are judged one after the other.
CREATE TABLE programs (
    program_id text PRIMARY KEY
);

CREATE TABLE program_versions (
    program_id     text NOT NULL REFERENCES programs,
    version        integer NOT NULL CHECK (version BETWEEN 1 AND 1000000),
    hash           text NOT NULL CHECK (hash ~ '^[0-9a-f]{64}$'),
    document       text NOT NULL,
    effective_from timestamptz NOT NULL,
    published_at   timestamptz NOT NULL,
    published_by   text NOT NULL,
    PRIMARY KEY (program_id, version)
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a published version of a program never changes';
END
$$;

CREATE TRIGGER program_versions_never_change BEFORE UPDATE OR DELETE ON program_versions
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER program_versions_never_emptied BEFORE TRUNCATE ON program_versions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
