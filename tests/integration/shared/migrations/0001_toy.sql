CREATE TABLE effects (
    n            bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    activity_id  text    NOT NULL,
    member_id    uuid    NOT NULL,
    partition    integer NOT NULL,
    "offset"     bigint  NOT NULL
);
