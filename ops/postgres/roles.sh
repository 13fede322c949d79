#!/bin/bash
# Roles of the mirror's database, made once, when the image makes an empty cluster:
#
#   mirror         owns the database and the schemas; migrations and commands; no superuser
#   mirror_worker  workers and beat: reads and writes rows, may alter nothing of the owner's
#   mirror_web     the status page: what it shows and its buttons write (sync/database/logins.py); no
#                  encrypted API key, and of crm the coverage alone
#
# Each one's password is that of its URL in /run/secrets; `postgres` stays the superuser, reached
# through the socket alone. For a server of your own run it as its superuser, with PGHOST and so on:
#   SECRETS=./secrets DATABASE=mirror bash ops/postgres/roles.sh
# ROLE names another role than mirror, the other two are named after it.
set -euo pipefail
secrets=${SECRETS:-/run/secrets} database=${DATABASE:-${POSTGRES_DB:-mirror}} role=${ROLE:-mirror}

password_in() { # the password of a URL; nothing but letters, digits, - and _ needs no decoding
    local file="$secrets/$1" url
    [ -r "$file" ] || { echo "roles.sh: uid $(id -u) cannot read $file: chmod 444 it" >&2; exit 1; }
    url=$(tr -d '\r\n' < "$file")
    [[ $url =~ ^[a-z+]+://([A-Za-z0-9_]+):([A-Za-z0-9_-]+)@ ]] && [ "${BASH_REMATCH[1]}" = "$2" ] || {
        echo "roles.sh: $file is no URL of the form postgresql://$2:PASSWORD@…, with a password of" \
            "letters, digits, - and _" >&2
        exit 1
    }
    printf %s "${BASH_REMATCH[2]}"
}

owner=$(password_in database_url "$role")
worker=$(password_in database_url_worker "${role}_worker")
web=$(password_in database_url_web "${role}_web")

# The passwords come by stdin: neither the process list nor the log shows them.
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" \
    --dbname "$database" <<SQL
SET log_statement = 'none';
SET log_min_error_statement = 'panic';
CREATE ROLE ${role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD '$owner';
-- Policies limit readers by store (grant --store); workers serve every store.
CREATE ROLE ${role}_worker LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE BYPASSRLS PASSWORD '$worker';
CREATE ROLE ${role}_web LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE BYPASSRLS PASSWORD '$web';
-- The views of custom fields are made by workers; the owner may replace and drop them.
GRANT ${role}_worker TO ${role};
ALTER DATABASE "$database" OWNER TO ${role};
REVOKE ALL ON DATABASE "$database" FROM PUBLIC;
GRANT CONNECT ON DATABASE "$database" TO PUBLIC;
GRANT TEMPORARY ON DATABASE "$database" TO ${role}_worker;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
-- What every role could stop all others with (sync/privacy/shared.py): all locks there are, and the disk.
DO \$\$ DECLARE f regprocedure; BEGIN FOR f IN SELECT oid FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ '^(pg_(try_)?advisory_(xact_)?lock|lo_(creat|from_bytea|put)|lowrite|pg_logical_emit_message)' LOOP EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f); END LOOP; END \$\$;
CREATE SCHEMA crm AUTHORIZATION ${role};
CREATE SCHEMA sync AUTHORIZATION ${role};
GRANT USAGE, CREATE ON SCHEMA crm TO ${role}_worker;
GRANT USAGE ON SCHEMA sync TO ${role}_worker, ${role}_web;
ALTER DEFAULT PRIVILEGES FOR ROLE ${role} IN SCHEMA crm
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO ${role}_worker;
-- Until the first migrate: then it takes from ${role}_web what the status page does not need.
ALTER DEFAULT PRIVILEGES FOR ROLE ${role} IN SCHEMA sync
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO ${role}_worker, ${role}_web;
ALTER DEFAULT PRIVILEGES FOR ROLE ${role} IN SCHEMA sync
    GRANT USAGE, SELECT ON SEQUENCES TO ${role}_worker, ${role}_web;
ALTER ROLE ${role}_web SET statement_timeout = '30s';
SQL
