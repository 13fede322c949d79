"""`status`: what is wrong first, in the first lines, whatever it is; and nothing of it hidden."""

from __future__ import annotations

import io
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from sync import settings
from sync.commands import mirror
from sync.commands.tables import rendered
from sync.database.engine import connect
from sync.errors import TryLater
from sync.vault import Key
from sync.work import services
from sync.work.outlook import look_out
from tests.integration.many_stores import (
    REFUSED,
    add_stores,
    at_work,
    bring_trouble,
    disable_long_ago,
    silent,
)

Status = Callable[..., Result]


@pytest.fixture
def engine(
    database: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[sa.Engine]:
    """The database of an operator, whose commands run in this process."""
    monkeypatch.setenv("SYNC_DATABASE_URL", database)
    monkeypatch.setenv("SYNC_REDIS_URL", redis_url)
    monkeypatch.setenv("SYNC_SECRET_KEY", Key.generate().text().get_secret_value())
    monkeypatch.setenv("SYNC_DATA_DIR", str(tmp_path / "data"))
    _let_go()
    made = connect(database, size=2, name="test")
    yield made
    made.dispose()
    _let_go()


def _let_go() -> None:
    settings.forget()
    held = services._made.pop(os.getpid(), None)
    if held is not None and "engine" in held.__dict__:
        held.engine.dispose()


@pytest.fixture
def status(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> Status:
    # The stores of these tests have no sealed key.
    monkeypatch.setattr("sync.work.outlook._secret_key", lambda _: "")
    return lambda *arguments: CliRunner().invoke(mirror, ["status", *arguments])


def first_line(result: Result) -> str:
    return result.stdout.splitlines()[0]


def test_of_thirty_stores_all_that_matters_is_in_the_first_24_lines(
    engine: sa.Engine, status: Status
) -> None:
    names = add_stores(engine)
    bring_trouble(engine, refused=names[17], parked=names[23])
    at_work(engine)
    result = status()
    lines = result.stdout.splitlines()
    assert result.exit_code == 1
    assert lines[0].startswith(f"2 of 30 stores need a person: {names[17]}: {REFUSED}")
    head = "\n".join(lines[:24])
    assert "celery -A sync mirror retry shop-23" in head
    assert "statuses, users, costs: no list" in head
    assert head.count(REFUSED) <= 2, "one refused key is one line, and its store's"
    stores = [line.split()[0] for line in lines if line.startswith("shop-")]
    assert stores[:3] == [names[17], names[23], names[0]]
    assert len(stores) == 30
    assert len(lines) < 45


@pytest.mark.parametrize("height", [24, 40, 12])
def test_a_live_view_fits_the_terminal(engine: sa.Engine, status: Status, height: int) -> None:
    from rich.console import Console

    names = add_stores(engine)
    bring_trouble(engine, refused=names[17], parked=names[23])
    at_work(engine)
    for name in (None, names[0]):
        seen = look_out(services.services(), name)
        console = Console(width=160, height=height, force_terminal=True)
        shown = console.render_lines(rendered(seen, show_all=False, height=height))
        assert len(shown) <= height


def test_a_live_view_of_a_store_shows_its_orders_their_end_and_its_trouble(
    engine: sa.Engine, status: Status
) -> None:
    """In the 24 lines of a usual terminal, beside 54 resources of which most are dictionaries."""
    from rich.console import Console

    [name] = add_stores(engine, 1)
    bring_trouble(engine, refused="nobody", parked=name)
    at_work(engine)
    _load_orders(engine)
    seen = look_out(services.services(), name)
    console = Console(width=160, height=24, record=True, file=io.StringIO())
    console.print(rendered(seen, show_all=False, height=24))
    shown = console.export_text()
    assert f"mirror retry {name}" in shown
    assert len(shown.splitlines()) <= 24
    [orders] = [line for line in shown.splitlines() if line.startswith("orders ")]
    assert "620 of 1,000 pages, 0 rows, 0.2 pages/s, 41 min left" in orders


def test_a_disabled_store_says_how_old_its_rows_are(engine: sa.Engine, status: Status) -> None:
    [name] = add_stores(engine, 1)
    at_work(engine)
    words = f"its rows are of {disable_long_ago(engine)} at the latest, and no longer updated"
    assert f"disabled: {words}" in " ".join(status(name).stdout.split())


def test_a_store_shows_its_trouble_first_and_all_when_asked(
    engine: sa.Engine, status: Status
) -> None:
    names = add_stores(engine, 2)
    bring_trouble(engine, refused=names[0], parked=names[1])
    at_work(engine)
    short, whole = status(names[1]), status(names[1], "--all")
    table = [line.split()[0] for line in short.stdout.splitlines() if "attention" in line]
    assert {"statuses", "costs", "users"} <= set(table)
    assert "--all" in short.stdout
    assert len(short.stdout.splitlines()) < 30
    assert len(whole.stdout.splitlines()) > 50
    refused = status(names[0])
    assert len(refused.stdout.splitlines()) < 10, "one refused key is not 54 lines"


@pytest.mark.parametrize(
    ("queues", "beginning"),
    [
        ("feeds|crawls|beat", "No worker has taken work for "),
        ("beat", "Beat has sent nothing for "),
        ("crawls", "No worker has taken work from the queue crawls for "),
    ],
    ids=["worker", "beat", "one queue"],
)
def test_what_does_not_run_is_the_first_line_within_30_seconds(
    engine: sa.Engine, status: Status, queues: str, beginning: str
) -> None:
    names = add_stores(engine, 3)
    bring_trouble(engine, refused=names[0], parked=names[1])
    at_work(engine)
    assert first_line(status()).startswith("2 of 3 stores")
    silent(engine, queues=queues, seconds=27)
    result = status()
    assert first_line(result).startswith(beginning)
    assert result.exit_code == 1


def test_redis_away_is_the_first_line(
    engine: sa.Engine, status: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_stores(engine, 2)
    at_work(engine)
    monkeypatch.setenv("SYNC_REDIS_URL", "redis://127.0.0.1:9/0")
    _let_go()
    result = status()
    assert first_line(result).startswith("Redis does not answer, so nothing is requested")
    assert result.stdout.count(" waits ") == 2
    assert result.exit_code == 1
    assert json.loads(status("--json").stdout)["verdict"]["level"] == "down"


@pytest.mark.parametrize("options", [(), ("--json",), ("--watch",), ("--watch", "--json")])
def test_an_outage_of_postgres_during_the_look_could_not_be_found_out(
    engine: sa.Engine, status: Status, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    """Exit status 3, as when it is away before: 1 would say that a store needs attention."""

    def away(*_: object, **__: object) -> None:
        raise TryLater("the server closed the connection unexpectedly")

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sync.work.outlook.look.statuses", away)
    monkeypatch.setattr("sync.commands.status.pause", interrupted)
    result = status(*options)
    assert result.exit_code == 3
    assert "Postgres does not answer" in result.stdout


def test_json_has_the_verdict_its_causes_and_the_stores_error(
    engine: sa.Engine, status: Status
) -> None:
    names = add_stores(engine, 3)
    bring_trouble(engine, refused=names[0], parked=names[1])
    at_work(engine)
    told = json.loads(status("--json").stdout)
    assert (told["verdict"]["level"], told["verdict"]["well"]) == ("attention", False)
    stopped, parked = told["causes"]
    assert (stopped["kind"], stopped["stores"], stopped["depends"]) == ("stopped", [names[0]], 54)
    assert (parked["kind"], parked["resources"]) == ("parked", ["statuses", "users", "costs"])
    assert parked["command"] == f"celery -A sync mirror retry {names[1]}"
    assert [store["error"] for store in told["stores"]] == [REFUSED, None, None]


def test_all_well_says_so_in_one_line(engine: sa.Engine, status: Status) -> None:
    add_stores(engine, 2)
    at_work(engine)
    result = status()
    assert result.exit_code == 0
    assert first_line(result).startswith("All is well: 2 stores, ")


def _load_orders(engine: sa.Engine) -> None:
    """620 of 1,000 pages at 0.15 a second: 62 %, 41 min left."""
    from sync.state import paces

    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO sync.crawl (store_id, resource, kind, state, phase, started_at,"
                " pages_expected, pages_done) SELECT id, 'orders', 'load', 'running', 'walk',"
                " now() - interval '1 hour', 1000, 320 FROM sync.store"
            )
        )
        paces.sample(connection)
        connection.execute(sa.text("UPDATE sync.pace SET at = clock_timestamp() - interval '60 s'"))
        connection.execute(sa.text("UPDATE sync.crawl SET pages_done = 620"))
        paces.sample(connection)
        connection.execute(sa.text("UPDATE sync.pace SET per_second = 0.1545"))


def test_the_pace_of_a_load_is_sampled_and_its_end_told(engine: sa.Engine, status: Status) -> None:
    [name] = add_stores(engine, 1)
    at_work(engine)
    _load_orders(engine)
    assert first_line(status()).startswith(f"Loading {name} (62 %, 41 min left).")
    told = json.loads(status("--json").stdout)["stores"][0]["load"]
    assert (told["pages_done"], told["pages"], told["left_seconds"]) == (620, 1000, 2460)
    assert "620 of 1,000 pages, 0 rows, 0.2 pages/s, 41 min left" in status(name).stdout


@pytest.mark.parametrize(
    "typed", [("status",), ("migrate",), ("doctor",), ("budget",), ("store", "list")]
)
def test_a_misspelt_setting_is_a_mistake_in_every_command(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch, typed: tuple[str, ...]
) -> None:
    """Set and without effect, it would be found out when it is too late."""
    monkeypatch.setenv("SYNC_RATE_LIMT", "5")
    _let_go()
    result = CliRunner().invoke(mirror, list(typed))
    assert result.exit_code == 3
    assert "SYNC_RATE_LIMT is not a setting; did you mean SYNC_RATE_LIMIT?" in result.stderr


def test_days_in_the_future_and_a_taken_port_are_refused_in_words(engine: sa.Engine) -> None:
    [name] = add_stores(engine, 1)
    future = CliRunner().invoke(mirror, ["backfill", name, "orders", "--since", "2099-01-01"])
    assert future.exit_code == 2
    assert "The first day, 2099-01-01, is in the future" in future.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(mirror, ["web", "--port", port])
    assert result.exit_code == 3
    assert f"Port {port} of 127.0.0.1 is taken by another program" in result.stderr
    assert "The status page is at" not in result.stdout
