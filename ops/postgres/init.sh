#!/bin/bash
# Runs once, on an empty volume: a role and a database for each service, named and protected as its URL says.
set -euo pipefail

for file in /run/secrets/*.url; do
  url=$(<"$file")
  login=${url#*://}
  login=${login%%@*}
  export role=${login%%:*} password=${login#*:} database=${url##*/}
  psql --quiet -v ON_ERROR_STOP=1 -U "${POSTGRES_USER:-postgres}" -d postgres <<'SQL'
\getenv role role
\getenv password password
\getenv database database
CREATE ROLE :"role" LOGIN PASSWORD :'password';
CREATE DATABASE :"database" OWNER :"role";
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
SQL
done
