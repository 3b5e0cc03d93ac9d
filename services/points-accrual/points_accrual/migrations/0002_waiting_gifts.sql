-- Gifts of challenges that wait for a code of their pool: looked for by the sweeper.

CREATE INDEX claims_waiting ON claims (member_id) WHERE detail @> '{"waiting": true, "reached": true}';
