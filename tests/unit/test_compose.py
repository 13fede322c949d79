"""docker-compose.yml says what the runbook promises: hardened, hidden, healthy when it consumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sync.settings import FIELDS, FROM_FILE, variable

COMPOSE = yaml.safe_load((Path(__file__).parents[2] / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
THEIRS = {"postgres", "redis", "prometheus", "grafana"}
OURS = {name: each for name, each in SERVICES.items() if name not in THEIRS}
KNOWN = {
    "build", "cap_add", "cap_drop", "command", "depends_on", "deploy", "entrypoint", "environment",
    "healthcheck", "image", "init", "logging", "networks", "ports", "profiles", "read_only",
    "restart",
    "secrets", "security_opt", "shm_size", "stdin_open", "stop_grace_period", "stop_signal",
    "tmpfs", "tty", "user", "volumes",
}  # fmt: skip


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_hardened_and_hidden(name: str) -> None:
    service = SERVICES[name]
    assert set(service) <= KNOWN
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert service["restart"] in {"unless-stopped", "no"}


@pytest.mark.parametrize("name", ["postgres", "redis", "worker-feeds", "worker-crawls", "beat"])
def test_nothing_is_published_of_servers_and_workers(name: str) -> None:
    assert "ports" not in SERVICES[name]
    assert SERVICES[name]["stop_grace_period"]


@pytest.mark.parametrize("name", OURS)
def test_our_services_run_as_an_ordinary_user_with_secrets_from_files(name: str) -> None:
    service = OURS[name]
    assert service["user"] == "10001:10001"
    for field in ("database_url", "redis_url", "secret_key"):
        assert field in FROM_FILE
        assert service["environment"][f"{variable(field)}_FILE"] == f"/run/secrets/{field}"
        assert field in service["secrets"]
    for name_ in service["environment"]:
        assert name_.removesuffix("_FILE") in {variable(f) for f in FIELDS}, name_


def test_what_serves_waits_for_the_migration_and_is_healthy_by_what_it_consumes() -> None:
    for name, queue in (("worker-feeds", "feeds"), ("worker-crawls", "crawls"), ("beat", "feeds")):
        service = SERVICES[name]
        assert service["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
        test = service["healthcheck"]["test"]
        assert test[:7] == ["CMD", "celery", "-A", "sync", "mirror", "health", "--queue"]
        assert test[7] == queue
        assert ("--here" in test) == (name != "beat")


def test_no_service_but_those_behind_a_profile_is_optional() -> None:
    behind = {name for name, each in SERVICES.items() if each.get("profiles")}
    assert set(SERVICES) - behind == {
        "postgres", "redis", "migrate", "worker-feeds", "worker-crawls", "beat", "web",
    }  # fmt: skip
    assert {"sandbox", "commands"} <= behind


def test_redis_keeps_what_it_is_given_and_asks_for_a_password() -> None:
    line = " ".join(SERVICES["redis"]["command"][2].split())
    assert "--appendonly yes" in line
    assert "--maxmemory-policy noeviction" in line
    assert "requirepass $$(cat /run/secrets/redis_password)" in line


def test_the_proxy_before_the_status_page_is_the_host() -> None:
    """What the host publishes at 127.0.0.1 reaches the container from its gateway."""
    about = SERVICES["web"]["environment"]["SYNC_WEB_PROXIES"]
    assert about == "${SYNC_WEB_PROXIES:-gateway}"
    assert "egress" in SERVICES["web"]["networks"], "an internal network has no gateway"


def test_every_secret_network_and_volume_is_declared() -> None:
    for service in SERVICES.values():
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
        assert set(service.get("networks", [])) <= set(COMPOSE["networks"])
        for mount in service.get("volumes", []):
            source = mount.partition(":")[0]
            assert source.startswith("./ops/") or source in COMPOSE["volumes"]
    assert COMPOSE["networks"]["mirror"] == {"internal": True}
