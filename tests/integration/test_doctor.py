"""`doctor`: each precondition with its cure; `probe`: what an account answers, without its data."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from sync import settings
from sync.broker import fitness
from sync.commands import mirror as commands
from sync.crm import Account
from sync.database.engine import writing
from sync.embedded import Servers
from sync.metrics.surroundings import surroundings_metrics
from sync.vault import Key
from sync.work import services, surroundings
from sync.work.preconditions import reach
from sync.work.probing import Answer, probe_account
from sync.work.session import Session
from tests.integration.conftest import Open
from tests.integration.pipeline.harness import URL, Mirror


@pytest.fixture
def environment(
    database: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.setenv("SYNC_DATABASE_URL", database)
    monkeypatch.setenv("SYNC_REDIS_URL", redis_url)
    monkeypatch.setenv("SYNC_SECRET_KEY", Key.generate().text().get_secret_value())
    monkeypatch.setenv("SYNC_DATA_DIR", str(tmp_path / "data"))
    _let_go()
    yield monkeypatch
    _let_go()


def _let_go() -> None:
    settings.forget()
    held = services._made.pop(os.getpid(), None)
    if held is not None and "engine" in held.__dict__:
        held.engine.dispose()


def doctor(*arguments: str) -> Result:
    _let_go()
    return CliRunner().invoke(commands, ["doctor", *arguments])


def test_where_all_is_well_it_says_so_in_one_line(environment: pytest.MonkeyPatch) -> None:
    result = doctor()
    assert result.exit_code == 0, result.output
    assert re.match(r"Ready: \d+ of \d+ checks hold", result.stdout)
    told = json.loads(doctor("--json").stdout)
    assert told["ready"] is True
    names = {check["what"] for check in told["checks"]}
    assert {"Postgres answers", "Redis answers and serves us", "the schema is this release's"} <= (
        names
    )


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        (
            "SYNC_DATABASE_URL",
            "postgresql://mirror:x@127.0.0.1:9/mirror",
            ("NO  Postgres answers", "start it, or correct SYNC_DATABASE_URL"),
        ),
        (
            "SYNC_REDIS_URL",
            "redis://127.0.0.1:9/0",
            ("NO  Redis answers and serves us", "start it, or correct SYNC_REDIS_URL"),
        ),
        (
            "SYNC_EGRESS_ADDRESS",
            "192.0.2.77",
            ("NO  requests can leave from 192.0.2.77", "has to be an address of this machine"),
        ),
    ],
)
def test_what_does_not_hold_is_first_with_its_cure(
    environment: pytest.MonkeyPatch, variable: str, value: str, words: tuple[str, str]
) -> None:
    environment.setenv(variable, value)
    result = doctor()
    assert result.exit_code == 1
    for text in words:
        assert text in result.stdout, result.stdout
    assert result.stdout.splitlines()[0].endswith("preconditions do not hold:")


def test_a_database_without_schema_is_ready_to_be_migrated(
    environment: pytest.MonkeyPatch, empty_database: str
) -> None:
    environment.setenv("SYNC_DATABASE_URL", empty_database)
    assert "NO  the schema is this release's" in doctor().stdout
    assert doctor("--before-migrate").exit_code == 0
    done = CliRunner().invoke(commands, ["migrate", "--doctor"])
    assert done.exit_code == 0, done.output
    assert "Ready: " in done.stderr


def test_a_wrong_secret_key_is_found(environment: pytest.MonkeyPatch, open_settled: Open) -> None:
    open_settled()
    result = doctor("--no-reach")
    assert result.exit_code == 1
    assert "NO  SYNC_SECRET_KEY opens the stored API keys" in result.stdout


def test_a_clock_that_differs_is_told_and_forbids_nothing(
    environment: pytest.MonkeyPatch,
) -> None:
    """By `doctor`, by `status` and the log, and by a metric; half a second is nothing to tell."""
    ours = services.services()
    with writing(ours.engine) as connection:
        connection.exec_driver_sql(
            "INSERT INTO sync.worker (id, host, pid, started_at, beat_at, ahead_seconds) VALUES"
            " (gen_random_uuid(), 'late', 7, now(), now() + interval '1 day', -300),"
            " (gen_random_uuid(), 'right', 8, now(), now() + interval '1 day', 0.5)"
        )
    result = doctor("--no-reach")
    assert result.exit_code == 0, result.output
    assert "the clock of late:7 agrees with Postgres's: -300.0 s" in result.stdout
    assert "let every host follow NTP" in result.stdout
    assert "NO  the clock of right:8" not in result.stdout
    ours = services.services()
    redis = fitness.look(ours.redis)
    [told] = surroundings.dangers(ours, redis)
    assert told.startswith("The clock of late:7 is 300.0 s behind Postgres's.")
    [metric] = [
        each
        for each in surroundings_metrics(ours, redis)
        if each.name == "mirror_clock_ahead_seconds"
    ]
    assert {s.labels["clock"]: s.value for s in metric.samples} == {
        "here": 0.0, "redis": 0.0, "late:7": -300.0, "right:8": 0.0,
    }  # fmt: skip


def test_a_redis_that_may_evict_keys_is_told_before_it_does(
    environment: pytest.MonkeyPatch, own_servers: Servers
) -> None:
    """Messages and the request budget are keys like others. It serves, so nothing is forbidden."""
    environment.setenv("SYNC_REDIS_URL", own_servers.redis_url)
    with own_servers.valkey.connect() as redis:
        redis.config_set("maxmemory-policy", "allkeys-lru")
    result = doctor()
    assert result.exit_code == 0, result.output
    assert "maxmemory-policy is allkeys-lru" in result.stdout
    with capture_logs() as told:
        for _ in range(2):
            surroundings.tell(services.services())
    [line] = told
    assert "maxmemory-policy is allkeys-lru" in line["reason"]


def test_a_host_is_tried_without_a_request() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert reach(f"http://127.0.0.1:{port}") == ""
    assert "refused" in reach(f"http://127.0.0.1:{port}").lower()
    assert reach("http://no-such-host.invalid")


def probe(mirror: Mirror) -> list[Answer]:
    api = Session(
        mirror.services.client,
        Account(URL, mirror.account.key),
        store_id=mirror.store_id,
        limiter=None,
        draw=lambda: dt.datetime.now(dt.UTC),
    )
    return list(probe_account(api, zone="Europe/Moscow"))


def test_an_account_as_the_papers_say_contradicts_nothing_in_about_twenty_requests(
    mirror: Mirror,
) -> None:
    mirror.wire.paths.clear()
    told = probe(mirror)
    assert [each for each in told if each.holds is False] == []
    assert 15 <= len(mirror.wire.paths) <= 28
    assert len(told) >= 20
    assert {each.assumption for each in told} >= {
        "sinceId is exclusive",
        "lists come newest first",
        "creation days narrow a list",
        "a record that does not exist is a JSON 404",
    }


def test_what_contradicts_the_papers_is_said_with_its_consequence(mirror: Mirror) -> None:
    def odd(request: httpx.Request) -> httpx.Response | None:
        if "history" in request.url.path and "sinceId" in str(request.url.query):
            return httpx.Response(200, json={"success": True, "history": [{"id": 1}]})
        return None

    mirror.wire.answers = odd
    wrong = {each.assumption: each for each in probe(mirror) if each.holds is False}
    assert "sinceId is exclusive" in wrong
    assert all(each.consequence for each in wrong.values())


def test_answers_hold_no_data_of_the_account(mirror: Mirror) -> None:
    """They are fit to be sent to us: no name, phone, e-mail, number, and no key."""
    text = " ".join(f"{each.assumption} {each.answer} {each.consequence}" for each in probe(mirror))
    people = mirror.rows(
        "SELECT first_name, last_name, email FROM crm.customers WHERE store_id = :store"
    )
    orders = mirror.rows("SELECT number, email FROM crm.orders WHERE store_id = :store")
    values = {str(value) for row in [*people, *orders] for value in row if value}
    assert values
    assert [value for value in values if re.search(rf"\b{re.escape(value)}\b", text)] == []
    assert mirror.account.key not in text
