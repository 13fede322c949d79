#!/bin/bash
# Tries docker-compose.yml on a real engine, as the runbook says it behaves; needs Docker 25 or newer
# with Compose 2.24 or newer. It works in a copy of this checkout, under a project name of its own,
# and removes all of it at the end:
#
#   bash ops/try-compose.sh            # prints one line for each promise, ends at the first broken one
set -euo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=$(mktemp -d)
export COMPOSE_PROJECT_NAME=mirror-try MIRROR_IMAGE=mirror-try:latest MIRROR_WEB_PORT=18080
dc() { (cd "$folder/checkout" && docker compose "$@"); }
ended() { dc --profile '*' down --volumes --timeout 60 >/dev/null 2>&1 || true; rm -rf "$folder"; }
trap ended EXIT
held() { printf 'held     %s\n' "$*"; }
broken() { printf 'BROKEN   %s\n' "$*" >&2; dc logs --tail 30 >&2 || true; exit 1; }
within() { # SECONDS CONDITION…: repeats a condition until it holds
    local until=$((SECONDS + $1)); shift
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
dangling() { docker images --quiet --filter dangling=true | sort -u | wc -l; }
before=$(dangling)
dc build >/dev/null 2>&1 || broken "the first build"
[ "$(dangling)" -eq "$before" ] || broken "a build leaves dangling images"
held "one build, nothing dangling"
echo '# a change' >> sync/__init__.py
dc build --progress plain > "$folder/build.log" 2>&1 || broken "the second build"
grep -A1 -- '--require-hashes' "$folder/build.log" | grep -q CACHED || broken "a change of sync installs all anew"
held "a change of sync installs no package again"

began=$SECONDS
dc up --detach --wait >/dev/null 2>&1 || broken "up --wait"
held "up --wait took $((SECONDS - began)) s, with a checkout of umask 077 and CRLF in Redis's password"
began=$SECONDS
dc up --detach --wait --scale worker-crawls=3 >/dev/null 2>&1 || broken "three workers"
[ $((SECONDS - began)) -le 20 ] || broken "up --wait --scale worker-crawls=3 took $((SECONDS - began)) s"
held "up --wait --scale worker-crawls=3 took $((SECONDS - began)) s"
[ "$(psql_ "SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles WHERE rolname LIKE 'mirror%' AND NOT rolsuper")" \
    = "mirror mirror_web mirror_worker" ] || broken "the roles"
held "three roles without superuser"

# An upgrade beside a reader's open transaction: the old workers stay at work.
psql_ "CREATE ROLE analyst; GRANT USAGE ON SCHEMA crm TO analyst" >/dev/null
(cd "$folder/checkout" && docker compose exec -T postgres psql --username postgres --dbname mirror \
    -c "BEGIN; LOCK crm.orders IN ACCESS SHARE MODE; SELECT pg_sleep(25)" >/dev/null 2>&1) &
workers=$(dc ps --quiet worker-feeds)
dc run --rm -T migrate >/dev/null 2>&1 || true
[ "$(dc ps --quiet worker-feeds)" = "$workers" ] || broken "migrate replaced the workers"
within 30 sh -c "[ \"\$(docker inspect --format '{{.State.Health.Status}}' $workers)\" = healthy ]" || broken "the old worker is not healthy"
wait
dc run --rm -T migrate >/dev/null 2>&1 || broken "migrate again"
dc up --detach --wait >/dev/null 2>&1 || broken "up after migrate"
held "migrate beside an open transaction left the workers at work"

# A migration that fails (here it would make again what is there): new workers start, wait, and go on.
head=$(psql_ "SELECT version_num FROM sync.alembic_version")
psql_ "UPDATE sync.alembic_version SET version_num = '0016'" >/dev/null
dc up --detach --force-recreate >/dev/null 2>&1 &
upgrading=$!
within 60 sh -c "cd $folder/checkout && docker compose logs worker-feeds 2>&1 | grep -q 'the worker waits'" || broken "new workers start although migrate fails"
psql_ "UPDATE sync.alembic_version SET version_num = '$head'" >/dev/null
within 60 sh -c "cd $folder/checkout && docker compose ps --format '{{.Health}}' worker-feeds | grep -q '^healthy'" || broken "they go on by themselves"
wait $upgrading || true
held "a migration that fails keeps no worker from starting, and they go on by themselves"

dc stop postgres >/dev/null 2>&1; dc start postgres >/dev/null 2>&1
within 60 dc exec -T postgres pg_isready --quiet || broken "Postgres starts again"
dc logs postgres 2>&1 | grep -q "not properly shut down" && broken "Postgres was not shut down cleanly"
held "Postgres shuts down cleanly"

# A wrong secret key: no worker takes work, and the right one costs nothing.
docker run --rm --network none --entrypoint python "$MIRROR_IMAGE" -c 'import sync.vault' || broken "the image imports"
psql_ "INSERT INTO sync.store (name, url, account, api_key, key_fingerprint, zone) VALUES ('try', 'https://try.retailcrm.ru', 'try', decode('01deadbeef00', 'hex'), '', 'UTC')" >/dev/null
dc up --detach --force-recreate --no-deps worker-feeds >/dev/null 2>&1
within 30 sh -c "cd $folder/checkout && docker compose logs worker-feeds 2>&1 | grep -q 'SYNC_SECRET_KEY is not the key'" || broken "a worker with a wrong secret key says so"
dc run --rm -T migrate 2>&1 | grep -q 'SYNC_SECRET_KEY is not the key' || broken "migrate says that the secret key is wrong"
[ "$(psql_ "SELECT count(*) FROM sync.lane WHERE parked_at IS NOT NULL")" = 0 ] || broken "a wrong secret key parks work"
psql_ "DELETE FROM sync.store" >/dev/null
within 60 sh -c "cd $folder/checkout && docker compose ps --format '{{.Health}}' worker-feeds | grep -q '^healthy'" || broken "the right key"
held "a wrong secret key is found before any work, and costs nothing"

chmod 644 secrets/redis_url; printf %s "redis://:wrong@redis:6379/0" > secrets/redis_url
dc run --rm -T migrate 2>&1 | grep -q "does not accept the user and password" || broken "migrate says that Redis's URL is wrong"
held "a wrong Redis URL is told by migrate"
chmod 644 secrets/redis_password; chmod 400 secrets/redis_password
if [ "$(id -u)" != 999 ]; then
    dc up --detach --force-recreate --no-deps redis >/dev/null 2>&1
    within 20 sh -c "cd $folder/checkout && docker compose logs redis 2>&1 | grep -q 'uid 999 cannot read it'" || broken "a secret of mode 0400 is told in words"
    held "a secret of mode 0400 is told in words"
fi
echo "All promises held."
