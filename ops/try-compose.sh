#!/bin/bash
# Tries docker-compose.yml on a real engine, as the runbook says it behaves; needs Docker 25 or newer
# with Compose 2.24 or newer. It works in a copy of this checkout, under a project name of its own,
# and removes all of it at the end but the engine's build cache (docker builder prune):
#
#   bash ops/try-compose.sh            # prints one line for each promise, ends at the first broken one
#   SLOW=3 bash ops/try-compose.sh     # on a host with other work: all limits of time are three times as long
set -euo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=$(mktemp -d)
SLOW=${SLOW:-1}
export COMPOSE_PROJECT_NAME=mirror-try MIRROR_IMAGE=mirror-try:latest MIRROR_WEB_PORT=18080
dc() { docker compose "$@"; } # in the background by its full name, so that its pid is its own
images() { docker images --quiet --no-trunc "$@" | sort -u; }
build() { dc build "$@" && built="${built:-} $(images "$MIRROR_IMAGE")"; } # a later build takes the name from it
dangling() { images --filter dangling=true; }
ended() {
    kill $(jobs -p) 2>/dev/null || true; wait # what still starts something would do so after `down`
    dc --profile '*' down --volumes --timeout 60 >/dev/null 2>&1 || true
    docker image rm --force "$MIRROR_IMAGE" ${built:-} >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap ended EXIT
trap 'printf "BROKEN   line %s: %s\n" "$LINENO" "$BASH_COMMAND" >&2' ERR
held() { printf 'held     %s\n' "$*"; }
broken() { printf 'BROKEN   %s\n' "$*" >&2; dc logs --no-color --tail 30 >&2 || true; exit 1; }
says() { grep -q -- "$1" <<< "$(shift; "$@" 2>&1 || true)"; } # TEXT COMMAND…: whatever its exit status
healthy() { [ "$(docker inspect --format '{{.State.Health.Status}}' "$1")" = healthy ]; }
within() { # SECONDS CONDITION…: repeats a condition until it holds
    local until=$((SECONDS + $1 * SLOW)); shift
    until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $until ] || return 1; sleep 1; done
}
random() { head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n'; }
psql_() { dc exec -T postgres psql --no-psqlrc --quiet --tuples-only --no-align --username postgres --dbname mirror -c "$1"; }

# A checkout made with umask 077, secrets as the runbook makes them, a password file with CRLF.
umask 077
git clone --quiet "$source" "$folder/checkout"
cd "$folder/checkout"
chmod -R a+rX ops
mkdir secrets
owner=$(random) worker=$(random) web=$(random) redis=$(random)
random > secrets/postgres_password
printf %s "postgresql://mirror:$owner@postgres:5432/mirror" > secrets/database_url
printf %s "postgresql://mirror_worker:$worker@postgres:5432/mirror" > secrets/database_url_worker
printf %s "postgresql://mirror_web:$web@postgres:5432/mirror" > secrets/database_url_web
printf '%s\r\n' "$redis" > secrets/redis_password
printf %s "redis://:$redis@redis:6379/0" > secrets/redis_url
head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n' > secrets/secret_key
random > secrets/web_token; random > secrets/web_scrape_token; random > secrets/grafana_password
: > secrets/web_read_token
: > secrets/sentry_dsn; : > secrets/webhook_url; : > secrets/webhook_secret
chmod 444 secrets/*

dc config --quiet && held "the file is valid"
before=$(dangling)
began=$SECONDS
build > "$folder/build.log" 2>&1 || { cat "$folder/build.log" >&2; broken "the first build"; }
[ "$(dangling)" = "$before" ] || broken "a build leaves dangling images"
held "one build of $((SECONDS - began)) s, nothing dangling"
echo '# a change' >> sync/__init__.py
build --progress plain > "$folder/build.log" 2>&1 || broken "the second build"
grep -A1 -- '--require-hashes' "$folder/build.log" | grep CACHED >/dev/null || broken "a change of sync installs all anew"
held "a change of sync installs no package again"

began=$SECONDS
dc up --detach --wait >/dev/null 2>&1 || broken "up --wait"
held "up --wait took $((SECONDS - began)) s, with a checkout of umask 077 and CRLF in Redis's password"
began=$SECONDS
dc up --detach --wait --scale worker-crawls=3 >/dev/null 2>&1 || broken "three workers"
[ $((SECONDS - began)) -le $((20 * SLOW)) ] || broken "up --wait --scale worker-crawls=3 took $((SECONDS - began)) s"
held "up --wait --scale worker-crawls=3 took $((SECONDS - began)) s"
[ "$(psql_ "SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles WHERE rolname LIKE 'mirror%' AND NOT rolsuper")" \
    = "mirror mirror_web mirror_worker" ] || broken "the roles"
held "three roles without superuser"

# An upgrade beside a reader's open transaction, by a release with one revision more: migrate waits
# and says for whom, and the old workers stay at work until it has ended.
head=$(psql_ "SELECT version_num FROM sync.alembic_version")
cat > migrations/versions/9999_try.py <<END
"""A column that the old release does not know."""
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = "9999", "$head", None, None
def upgrade() -> None:
    op.add_column("orders", sa.Column("try", sa.Text), schema="crm")
END
build >/dev/null 2>&1 || broken "the release with one revision more"
workers=$(dc ps --quiet worker-feeds worker-crawls beat)
docker compose exec -T postgres psql --username postgres --dbname mirror \
    -c "BEGIN; LOCK crm.orders IN ACCESS SHARE MODE; SELECT pg_sleep(120)" >/dev/null 2>&1 &
within 20 says '^1$' psql_ "SELECT count(*) FROM pg_locks WHERE relation = 'crm.orders'::regclass AND mode = 'AccessShareLock'" || broken "a reader's transaction"
docker compose run --rm -T migrate > "$folder/migrate.log" 2>&1 &
migrating=$!
within 60 grep -q 'Revision 9999 waits for pid' "$folder/migrate.log" || { cat "$folder/migrate.log" >&2; broken "migrate says for whom it waits"; }
[ "$(dc ps --quiet worker-feeds worker-crawls beat)" = "$workers" ] || broken "migrate replaced the workers"
for each in $workers; do healthy "$each" || broken "an old worker is not healthy beside a migrate that waits"; done
psql_ "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(120)' AND pid <> pg_backend_pid()" >/dev/null
wait $migrating || { cat "$folder/migrate.log" >&2; broken "migrate passes when the reader has gone"; }
for each in $workers; do healthy "$each" || broken "an old worker is not healthy beside the new schema"; done
began=$SECONDS
dc up --detach --wait >/dev/null 2>&1 || broken "up after migrate"
held "an upgrade beside an open transaction left the old workers at work; up --wait replaced them in $((SECONDS - began)) s"

# A migration that fails (here it makes again what is there): new workers start, wait, and go on.
psql_ "UPDATE sync.alembic_version SET version_num = '$head'" >/dev/null
workers=$(dc ps --quiet worker-feeds)
docker compose up --detach --force-recreate migrate worker-feeds worker-crawls beat web >/dev/null 2>&1 &
upgrading=$!
replaced() { [ "$(dc ps --quiet worker-feeds)" != "$workers" ]; }
within 60 replaced || broken "up replaces the workers"
within 60 says 'the worker waits' dc logs worker-feeds || broken "new workers start although migrate fails"
within 60 says 'already exists' dc logs migrate || broken "migrate says why it fails"
psql_ "UPDATE sync.alembic_version SET version_num = '9999'" >/dev/null
within 60 says '^healthy' dc ps --format '{{.Health}}' worker-feeds || broken "they go on by themselves"
wait $upgrading || true
held "a migration that fails keeps no worker from starting, and they go on by themselves"

dc stop postgres >/dev/null 2>&1; dc start postgres >/dev/null 2>&1
within 60 dc exec -T postgres pg_isready --quiet || broken "Postgres starts again"
says "not properly shut down" dc logs postgres && broken "Postgres was not shut down cleanly"
says "database system was shut down at" dc logs postgres || broken "Postgres says how it was shut down"
held "Postgres shuts down cleanly"

# A wrong secret key: no worker takes work, and the right one costs nothing.
docker run --rm --network none --entrypoint python "$MIRROR_IMAGE" -c 'import sync.vault' || broken "the image imports"
psql_ "INSERT INTO sync.store (name, url, account, api_key, key_fingerprint, zone) VALUES ('try', 'https://try.retailcrm.ru', 'try', decode('01deadbeef00', 'hex'), '', 'UTC')" >/dev/null
dc up --detach --force-recreate --no-deps worker-feeds >/dev/null 2>&1
within 30 says 'SYNC_SECRET_KEY is not the key' dc logs worker-feeds || broken "a worker with a wrong secret key says so"
says 'SYNC_SECRET_KEY is not the key' dc run --rm -T migrate || broken "migrate says that the secret key is wrong"
[ "$(psql_ "SELECT count(*) FROM sync.lane WHERE parked_at IS NOT NULL")" = 0 ] || broken "a wrong secret key parks work"
psql_ "DELETE FROM sync.store" >/dev/null
within 90 says '^healthy' dc ps --format '{{.Health}}' worker-feeds || broken "the right key"
held "a wrong secret key is found before any work, and costs nothing"

chmod 644 secrets/redis_url; printf %s "redis://:wrong@redis:6379/0" > secrets/redis_url
says "does not accept the user and password" dc run --rm -T migrate || broken "migrate says that Redis's URL is wrong"
held "a wrong Redis URL is told by migrate"
chmod 644 secrets/redis_password; chmod 400 secrets/redis_password
if [ "$(id -u)" != 999 ]; then
    dc up --detach --force-recreate --no-deps redis >/dev/null 2>&1
    within 20 says 'uid 999 cannot read it' dc logs redis || broken "a secret of mode 0400 is told in words"
    held "a secret of mode 0400 is told in words"
fi
echo "All promises held."
