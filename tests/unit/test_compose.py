"""docker-compose.yml says what the runbook promises: hardened, hidden, healthy when it consumes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from sync.privacy import shared
from sync.settings import FIELDS, FROM_FILE, variable

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "ops/Dockerfile").read_text("utf-8")
ROLES = (ROOT / "ops/postgres/roles.sh").read_text("utf-8")
THEIRS = {"postgres", "redis", "prometheus", "grafana"}
OURS = {name: each for name, each in SERVICES.items() if name not in THEIRS}
OWNERS = {"migrate", "commands", "sandbox"}
KNOWN = {
    "build", "cap_add", "cap_drop", "command", "depends_on", "deploy", "entrypoint", "environment",
    "healthcheck", "image", "init", "logging", "networks", "ports", "profiles", "read_only",
    "restart",
    "secrets", "security_opt", "shm_size", "stdin_open", "stop_grace_period", "stop_signal",
    "tmpfs", "tty", "user", "volumes",
}  # fmt: skip


def secrets_of(service: dict[str, Any]) -> dict[str, str]:
    """The file each secret of a service comes from, by the name it is mounted under."""
    return {
        each if isinstance(each, str) else each["target"]: each
        if isinstance(each, str)
        else each["source"]
        for each in service.get("secrets", [])
    }


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_hardened_hidden_and_limited(name: str) -> None:
    """None may write its root, gain rights, be reached from outside, or take the whole host."""
    service = SERVICES[name]
    assert set(service) <= KNOWN
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert service["restart"] in {"unless-stopped", "no", "on-failure:5"}
    assert set(service["deploy"]["resources"]["limits"]) == {"memory", "pids"}


@pytest.mark.parametrize("name", ["postgres", "redis", "worker-feeds", "worker-crawls", "beat"])
def test_nothing_is_published_of_servers_and_workers(name: str) -> None:
    """Servers and workers are reached by nobody outside, and get time to end."""
    assert "ports" not in SERVICES[name]
    assert SERVICES[name]["stop_grace_period"]


@pytest.mark.parametrize("name", SERVICES)
def test_whoever_stops_a_service_may_signal_it(name: str) -> None:
    """An init without the capability KILL cannot pass a signal on to another uid: no clean end."""
    service = SERVICES[name]
    steps_down = "user" not in service  # the image begins as root and changes its uid
    assert service["init"] is (not steps_down)
    assert set(service.get("cap_add", [])) == (
        {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"} if steps_down else set()
    )
    if name == "postgres":
        assert service["stop_signal"] == "SIGINT"


@pytest.mark.parametrize("name", OURS)
def test_our_services_run_as_an_ordinary_user_with_secrets_from_files(name: str) -> None:
    """No secret stands in the environment, where `docker inspect` shows it."""
    service = OURS[name]
    assert service["user"] == "10001:10001"
    mounted = secrets_of(service)
    for field in ("database_url", "redis_url", "secret_key", "sentry_dsn", "webhook_secret"):
        assert field in FROM_FILE
        assert service["environment"][f"{variable(field)}_FILE"] == f"/run/secrets/{field}"
        assert field in mounted
    for name_ in service["environment"]:
        assert name_.removesuffix("_FILE") in {variable(f) for f in FIELDS}, name_
        assert name_.removesuffix("_FILE") == name_ or name_.endswith("_FILE")
        assert name_ not in {variable(field) for field in FROM_FILE}


def test_each_service_logs_in_by_the_role_with_the_least_rights() -> None:
    """Migrations and commands by the owner, workers and the status page by roles of their own."""
    for name, service in OURS.items():
        wanted = (
            "database_url"
            if name in OWNERS
            else "database_url_web"
            if name == "web"
            else "database_url_worker"
        )
        assert secrets_of(service)["database_url"] == wanted, name
    postgres = SERVICES["postgres"]
    assert postgres["environment"]["POSTGRES_USER"] == "postgres"
    assert "./ops/postgres/roles.sh:/docker-entrypoint-initdb.d/roles.sh:ro" in postgres["volumes"]
    assert {"database_url", "database_url_worker", "database_url_web"} <= set(postgres["secrets"])
    made = re.findall(r"CREATE ROLE (\S+) LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE", ROLES)
    assert made == ["${role}", "${role}_worker", "${role}_web"]


def test_no_role_may_take_all_locks_or_fill_the_disk() -> None:
    """The superuser that makes the roles closes what the mirror's own role could not."""
    assert shared.CLOSE.replace("$", r"\$") in ROLES


def test_no_two_purposes_share_a_secret() -> None:
    """Whoever knows Grafana's password, or Prometheus's, cannot push the status page's buttons."""
    assert secrets_of(SERVICES["grafana"]) == {"grafana_password": "grafana_password"}
    assert secrets_of(SERVICES["prometheus"]) == {"web_scrape_token": "web_scrape_token"}
    told = SERVICES["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"]
    assert told == "/run/secrets/grafana_password"


def test_an_image_is_built_once() -> None:
    """Of services that export one tag at once, all but one fail: "already exists"."""
    built = [service["image"] for service in SERVICES.values() if "build" in service]
    assert len(built) == len(set(built))
    assert {service["image"] for service in OURS.values()} == set(built)


def test_a_change_of_sync_installs_no_package_again() -> None:
    """Packages are a layer of their own, by hash, before any of our files is copied."""
    lines = [line for line in DOCKERFILE.splitlines() if line.startswith(("COPY", "RUN"))]
    copied = next(i for i, line in enumerate(lines) if line.startswith("COPY sync"))
    installed = next(i for i, line in enumerate(lines) if "--require-hashes" in line)
    assert installed < copied
    assert not any("--require-hashes" in line for line in lines[copied:])
    assert "pip install --no-deps --no-build-isolation -e ." in DOCKERFILE


def test_a_checkout_made_with_umask_077_makes_an_image_that_starts() -> None:
    """COPY keeps the modes of the checkout, and the image's user owns none of its files."""
    build = DOCKERFILE.partition("\nFROM ${PYTHON}\n")[0]
    assert build.rstrip().endswith("chmod -R a+rX /src /opt/mirror")


@pytest.mark.parametrize("kind", ["service", "sandbox", "build"])
def test_packages_are_named_by_hash_and_agree_with_the_constraints(kind: str) -> None:
    """What is installed into the image is what was tested, byte by byte."""
    text = (ROOT / f"ops/requirements/{kind}.txt").read_text("utf-8")
    pins, known = pins_of(text), pins_of((ROOT / "ops/constraints.txt").read_text("utf-8"))
    assert pins
    hashed = re.findall(r"^[\w.-]+==[^\n]*\\\n +--hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
    assert len(hashed) == len(pins)
    if kind != "build":
        assert {name: known.get(name) for name in pins} == pins
    assert "://" not in text


@pytest.mark.parametrize(
    ("kind", "extras"), [("service", ("web", "export", "otel")), ("sandbox", ("sandbox",))]
)
def test_the_image_gets_every_package_that_its_parts_ask_for(
    kind: str, extras: tuple[str, ...]
) -> None:
    """A package that is added to pyproject.toml alone would be missing in the image alone."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked = [*project["dependencies"]]
    asked += [line for extra in extras for line in project["optional-dependencies"][extra]]
    pins = pins_of((ROOT / f"ops/requirements/{kind}.txt").read_text("utf-8"))
    names = {re.split(r"[\[=><]", line)[0] for line in asked}
    assert names <= set(pins), names - set(pins)


def pins_of(text: str) -> dict[str, str]:
    """Versions by the normal form of a package's name."""
    found = re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


def test_a_migration_that_fails_leaves_nothing_that_nobody_starts() -> None:
    """Workers and beat wait for the schema by themselves. The page starts when the migration has
    ended, well or not; without one service that asks for its success `up --wait` would fail."""
    for name in ("worker-feeds", "worker-crawls", "beat"):
        assert set(SERVICES[name]["depends_on"]) == {"postgres", "redis"}
        assert SERVICES[name]["restart"] == "unless-stopped"
    on = SERVICES["web"]["depends_on"]["migrate"]
    assert on == {"condition": "service_completed_successfully", "required": False}
    assert SERVICES["migrate"]["restart"] == "on-failure:5"


def test_the_documented_upgrade_replaces_the_workers_after_the_migration() -> None:
    """The old ones are at work until it has ended, and stay where it failed."""
    text = (ROOT / "ops/docs/runbook.md").read_text("utf-8")
    upgrade = text.partition("## Upgrade")[2].partition("```sh\n")[2].partition("```")[0]
    assert [line.partition("#")[0].strip() for line in upgrade.splitlines()] == [
        "docker compose build",
        "docker compose run --rm migrate && docker compose up --detach --wait",
    ]


def test_the_documented_restore_brings_back_the_rights_to_the_database() -> None:
    """In one that `createdb` makes, every reader may fill the disk with temporary tables."""
    text = (ROOT / "ops/docs/runbook.md").read_text("utf-8")
    restore = text.partition("## Restore from a backup")[2].partition("```sh\n")[2]
    (line,) = [each for each in restore.partition("```")[0].splitlines() if "pg_restore" in each]
    assert "--dbname postgres --create --exit-on-error" in line
    assert "createdb" not in restore.partition("```")[0]


def test_health_is_a_file_that_was_touched_lately() -> None:
    """A check that boots Celery takes more of a busy host than the work it watches."""
    for name, file in (("worker-feeds", "feeds"), ("worker-crawls", "crawls"), ("beat", "beat")):
        check = SERVICES[name]["healthcheck"]
        assert check["test"] == ["CMD-SHELL", f'test -n "$$(find /tmp/health/{file} -mmin -1)"']
    assert "SYNC_HEALTH_DIR=/tmp/health" in DOCKERFILE
    for name, service in SERVICES.items():
        if "healthcheck" in service:
            assert "celery" not in str(service["healthcheck"]["test"]), name
            assert service["healthcheck"]["start_interval"] == "1s", name


def test_no_service_but_those_behind_a_profile_is_optional() -> None:
    """`up` starts all that the service needs, and nothing else."""
    behind = {name for name, each in SERVICES.items() if each.get("profiles")}
    assert set(SERVICES) - behind == {
        "postgres", "redis", "migrate", "worker-feeds", "worker-crawls", "beat", "web",
    }  # fmt: skip
    assert {"sandbox", "commands"} <= behind


def test_redis_keeps_what_it_is_given_and_asks_for_a_password() -> None:
    """Its file may end with CRLF; one that cannot be read is told in words, not left open."""
    line = " ".join(SERVICES["redis"]["command"][2].split())
    assert "--appendonly yes" in line
    assert "--maxmemory-policy noeviction" in line
    assert "password=$$(tr -d '\\r\\n' < /run/secrets/redis_password) || true" in line
    assert 'if [ -z "$$password" ]; then echo' in line
    assert "requirepass $$password" in line


def test_the_proxy_before_the_status_page_is_the_host() -> None:
    """What the host publishes at 127.0.0.1 reaches the container from its gateway."""
    about = SERVICES["web"]["environment"]["SYNC_WEB_PROXIES"]
    assert about == "${SYNC_WEB_PROXIES:-gateway}"
    assert "egress" in SERVICES["web"]["networks"], "an internal network has no gateway"


def test_images_can_be_pinned() -> None:
    """Every image has a variable, so that a digest is one line of .env."""
    for name, service in SERVICES.items():
        assert re.fullmatch(r"\$\{[A-Z]+_IMAGE:-[^}]+\}", service["image"]), name


def test_every_secret_network_and_volume_is_declared() -> None:
    """Nothing is mounted but files of ops/ and what is declared below."""
    for service in SERVICES.values():
        assert set(secrets_of(service).values()) <= set(COMPOSE["secrets"])
        assert set(service.get("networks", [])) <= set(COMPOSE["networks"])
        for mount in service.get("volumes", []):
            source = mount.partition(":")[0]
            assert source.startswith("./ops/") or source in COMPOSE["volumes"]
    assert COMPOSE["networks"]["mirror"] == {"internal": True}
