"""What an operator types, what is answered, and what it leaves in the database."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
import redis
from click.testing import CliRunner, Result

from sync import settings
from sync.commands import mirror
from sync.commands import wait as waiting
from sync.crm import Bucket, Limiter, Priority, Slot
from sync.resources import RESOURCES
from sync.sandbox import Account, Sandbox, running
from sync.telemetry import plain
from sync.vault import Key
from sync.work import account as account_module
from sync.work import services
from sync.worker import tasks

Run = Callable[..., Result]
KEY = "k" * 32


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    made = Sandbox(seed=3)
    made.account("shop", zone="Europe/Moscow", orders=60, customers=30, key=KEY)
    made.account("other", zone="Europe/Madrid", orders=3, customers=3, key="o" * 32)
    return made


@pytest.fixture(scope="module")
def url(sandbox: Sandbox) -> Iterator[str]:
    with running(sandbox) as found:
        yield found


@pytest.fixture
def shop(sandbox: Sandbox) -> Account:
    return sandbox.accounts["shop"]


@pytest.fixture
def mirrored(
    database: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[str]:
    """The environment of an operator whose database is at head."""
    monkeypatch.setenv("SYNC_DATABASE_URL", database)
    monkeypatch.setenv("SYNC_REDIS_URL", redis_url)
    monkeypatch.setenv("SYNC_SECRET_KEY", Key.generate().text().get_secret_value())
    monkeypatch.setenv("SYNC_RATE_LIMIT", "500")
    monkeypatch.setenv("SYNC_DATA_DIR", str(tmp_path / "data"))
    yield from _fresh_services(database)


def _fresh_services(database: str) -> Iterator[str]:
    _let_go()
    yield database
    _let_go()


def _let_go() -> None:
    """Close what this process's services hold; the next command reads the environment anew."""
    settings.forget()
    made = services._made.pop(os.getpid(), None)
    held = {} if made is None else made.__dict__
    if "engine" in held:
        held["engine"].dispose()
    for name in ("redis", "client"):
        if name in held:
            held[name].close()


@pytest.fixture
def run(mirrored: str) -> Run:
    def typed(*arguments: str, key: str | None = None) -> Result:
        return CliRunner().invoke(mirror, list(arguments), input=key)

    return typed


@pytest.fixture
def rows(mirrored: str) -> Iterator[Callable[[str], list[tuple[Any, ...]]]]:
    plain = mirrored.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(plain, autocommit=True) as connection:
        yield lambda sql: connection.execute(sql).fetchall()


@pytest.fixture
def added(run: Run, url: str) -> Run:
    result = run("store", "add", "shop", url, key=KEY)
    assert result.exit_code == 0, result.output
    return run


def one_line(result: Result) -> str:
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.output
    return lines[0]


# --- store add ------------------------------------------------------------------------------


def test_a_store_is_added_with_its_zone_access_and_first_loads(
    added: Run, rows: Callable[[str], list[Any]], url: str
) -> None:
    found = rows("SELECT name, url, zone, currency, site_access, enabled, error FROM sync.store")
    assert found == [("shop", url, "Europe/Moscow", "RUB", "access_full", True, None)]
    wanted = {r.name for r in RESOURCES.values() if not r.optional}
    queued = rows("SELECT resource FROM sync.crawl WHERE kind = 'load' AND state = 'pending'")
    assert {resource for (resource,) in queued} == wanted


def test_only_the_long_lists_are_asked_for_their_lengths_before_the_load(
    run: Run, rows: Callable[[str], list[Any]], url: str, sandbox: Sandbox
) -> None:
    """The other lists tell theirs when they are begun; a load that has begun is not delayed."""
    sandbox.log.clear()
    assert run("store", "add", "shop", url, key=KEY).exit_code == 0
    long = {r.name for r in RESOURCES.values() if r.is_followed or r.is_history}
    asked = {a.path.rpartition("/api/v5")[2] or a.path for a in sandbox.log.matching("shop")}
    assert {RESOURCES[name].path.removeprefix("/api/v5") for name in long} <= asked
    assert len(sandbox.log.matching("shop")) <= len(long) + 4
    expected = dict(rows("SELECT resource, pages_expected FROM sync.crawl WHERE kind = 'load'"))
    assert expected["statuses"] is None
    assert expected["orders"] >= 1
    assert expected["task_comments"] is not None


def test_the_key_is_nowhere_but_sealed(added: Run, rows: Callable[[str], list[Any]]) -> None:
    """Neither what is printed nor any column of the store tells the key."""
    for command in (
        ("store", "list"),
        ("status",),
        ("status", "--json"),
        ("store", "check", "shop"),
    ):
        assert KEY not in added(*command).output
    ((text, sealed),) = rows("SELECT s::text, api_key FROM sync.store AS s")
    assert KEY not in text
    assert KEY.encode() not in bytes(sealed)


@pytest.mark.parametrize(
    "way", ["variable", "file", "stdin", "dash"], ids=lambda way: f"key_from_{way}"
)
def test_the_key_comes_from_a_variable_a_file_or_stdin(
    run: Run, url: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte order mark before it and the end of a line after it are not the key's."""
    (tmp_path / "key").write_text(f"\ufeff{KEY}\r\n", "utf-8")
    monkeypatch.setenv("SHOP_KEY", KEY)
    options = {
        "variable": ("--api-key-env", "SHOP_KEY"),
        "file": ("--api-key-file", str(tmp_path / "key")),
        "stdin": (),
        "dash": ("--api-key-file", "-"),
    }[way]
    result = run("store", "add", "shop", url, *options, key=f"\ufeff{KEY}\r\n")
    assert result.exit_code == 0, result.output


def test_since_and_no_load(run: Run, url: str, rows: Callable[[str], list[Any]]) -> None:
    result = run("store", "add", "shop", url, "--since", "2025-01-31", "--no-load", key=KEY)
    assert result.exit_code == 0, result.output
    assert str(rows("SELECT since FROM sync.store")[0][0]) == "2025-01-31"
    assert rows("SELECT count(*) FROM sync.crawl") == [(0,)]
    assert run("backfill", "shop", "orders").exit_code == 0
    assert str(rows("SELECT since FROM sync.crawl")[0][0]) == "2025-01-31"


def test_since_limits_the_first_load_of_lists_with_dates(
    run: Run, url: str, rows: Callable[[str], list[Any]]
) -> None:
    assert run("store", "add", "shop", url, "--since", "2025-01-31", key=KEY).exit_code == 0
    found = dict(rows("SELECT resource, since FROM sync.crawl"))
    assert str(found["orders"]) == "2025-01-31"
    assert found["statuses"] is None


def test_a_site_is_checked(run: Run, url: str, rows: Callable[[str], list[Any]]) -> None:
    wrong = run("store", "add", "shop", url, "--site", "mian", key=KEY)
    assert wrong.exit_code == 2
    assert "Did you mean 'main'?" in one_line(wrong)
    assert run("store", "add", "shop", url, "--site", "main", key=KEY).exit_code == 0
    assert rows("SELECT chosen_sites FROM sync.store") == [(["main"],)]


def test_an_account_is_added_once(added: Run, url: str, rows: Callable[[str], list[Any]]) -> None:
    """The account is known by what it says of itself, whatever its address."""
    again = added("store", "add", "second", url.replace("127.0.0.1", "localhost"), key=KEY)
    assert again.exit_code == 2
    assert "mirrored already, as 'shop'" in one_line(again)
    named = added("store", "add", "shop", url, key="o" * 32)
    assert named.exit_code == 2
    assert "There is a store 'shop' already" in one_line(named)
    assert rows("SELECT count(*) FROM sync.store") == [(1,)]


def test_an_account_that_names_no_address_is_known_by_its_key(
    added: Run, url: str, sandbox: Sandbox
) -> None:
    """Older accounts lack the method that names them. At a second address the key tells."""
    sandbox.faults.plan(kind="html", path="*system-info")
    again = added("store", "add", "second", url.replace("127.0.0.1", "localhost"), key=KEY)
    assert again.exit_code == 2
    assert "mirrored already, as 'shop'" in one_line(again)
    assert "store set shop --url URL" in one_line(again)


@pytest.fixture
def split(run: Run, url: str) -> Iterator[Callable[[str], Result]]:
    """A store whose key sees the site main alone, and what `store set` says to other keys."""
    keys = {"main": "1" * 32, "outlet": "2" * 32, "both": "3" * 32}
    sandbox = Sandbox(seed=3)
    made = sandbox.account("parted", orders=3, customers=3, key="4" * 32)
    for name, key in keys.items():
        made.add_key(key, sites=["main", "outlet"] if name == "both" else [name])
    with running(sandbox) as where:
        first = run("store", "add", "parted", where, key=keys["main"])
        assert first.exit_code == 0, first.output
        yield lambda name, *command: run(*(command or ("store", "set", "parted")), key=keys[name])


@pytest.mark.parametrize("command", ["set", "add"])
def test_a_key_of_another_shop_of_the_account_does_not_swap_the_shops(
    command: str, split: Callable[..., Result], rows: Callable[[str], list[Any]]
) -> None:
    """One store mirrors an account: for a second shop one key has to see both, and is told so."""
    [(url, key)] = rows("SELECT url, key_fingerprint FROM sync.store")
    typed = ("store", "add", "second", url) if command == "add" else ()
    told = split("outlet", *typed)
    assert told.exit_code == 2
    assert "sees outlet and not main, which parted mirrors" in one_line(told)
    assert "make one key that sees main, outlet" in one_line(told)
    assert ("store set parted --api-key-env VAR" in one_line(told)) == (command == "add")
    assert rows("SELECT key_fingerprint, sites FROM sync.store") == [(key, ["main"])]
    assert split("both").exit_code == 0
    assert rows("SELECT sites FROM sync.store") == [(["main", "outlet"],)]


def test_a_key_of_another_shop_is_not_the_way_around_a_chosen_site(
    split: Callable[..., Result], rows: Callable[[str], list[Any]]
) -> None:
    """With --site a store mirrors these sites alone; a wider key changes nothing of that."""
    rows("UPDATE sync.store SET chosen_sites = '{main}' RETURNING 1")
    [(url,)] = rows("SELECT url FROM sync.store")
    told = split("both", "store", "add", "second", url)
    assert told.exit_code == 2
    assert "parted mirrors main alone, as chosen with --site" in one_line(told)
    assert "a --site for each" in one_line(told)


def test_a_wrong_key_is_said_in_words(run: Run, url: str, rows: Callable[[str], list[Any]]) -> None:
    result = run("store", "add", "shop", url, key="wrong" * 6)
    assert result.exit_code == 1
    assert "refuses this API key" in one_line(result)
    assert "wrongwrong" not in result.output
    assert rows("SELECT count(*) FROM sync.store") == [(0,)]


def test_a_host_that_answers_html_is_no_account(run: Run, sandbox: Sandbox, url: str) -> None:
    sandbox.knobs.turn(html_always=["shop"])
    try:
        result = run("store", "add", "shop", url, key=KEY)
    finally:
        sandbox.knobs.turn(html_always=[])
    assert result.exit_code != 0
    assert "not as a RetailCRM account" in one_line(result)


def test_a_host_out_of_reach_could_not_be_asked(run: Run) -> None:
    result = run("store", "add", "shop", "http://127.0.0.1:9", key=KEY)
    assert result.exit_code == 3
    assert "cannot be reached" in one_line(result)


def test_a_key_without_a_scope_is_warned_of_by_resource(run: Run, url: str, shop: Account) -> None:
    shop.add_key("narrow" * 5, scopes=["order_read", "customer_read", "reference_read"])
    result = run("store", "add", "shop", url, key="narrow" * 5)
    assert result.exit_code == 0, result.output
    assert "Without the scope task_read the key cannot read: task" in result.stderr


# --- bad input ------------------------------------------------------------------------------

BAD = [
    (("statsu",), "Did you mean 'status'?"),
    (("store", "ad"), "Did you mean 'add'?"),
    (("status", "shpo"), "Did you mean 'shop'?"),
    (("backfill", "nowhere"), "There is no store 'nowhere'."),
    (("backfill", "shop", "order"), "Did you mean 'orders'?"),
    (("backfill", "shop", "order_items"), "comes with 'orders'"),
    (("backfill", "shop", "--since", "31.01.2024"), "write it like 2024-01-31"),
    (("backfill", "shop", "--since", "2024-02-30"), "is not a day"),
    (("backfill", "shop", "--since", "2024-02-02", "--until", "2024-02-01"), "is before"),
    (("backfill",), "NAME"),
    (("plan", "shop", "--until", "tomorrow"), "is not a day"),
    (("reconcile", "shop", "--wiat"), "--wait"),
    (("resource", "shop", "orders", "maybe"), "maybe"),
    (("resource", "shop", "order_history", "off"), "turn orders off first"),
    (("resource", "shop", "credentials", "off"), "decides what an absence means"),
    (("approve", "shop", "statuses"), "Nothing of statuses waits"),
    (("accept", "shop", "orders"), "Nothing of orders is in doubt"),
    (("reset", "shop", "carts"), "does not mirror carts"),
    (("retry", "shop", "odrers"), "Did you mean 'orders'?"),
    (("store", "add", "with space", "https://a.retailcrm.ru"), "cannot be a store's name"),
    (("store", "add", "x", "https://example.com"), "SYNC_ALLOW_HOSTS"),
    (("store", "add", "x", "http://a.retailcrm.ru"), "Plain http"),
    (("store", "add", "x", "https://a.retailcrm.ru", "--api-key-env", "NO_SUCH"), "NO_SUCH"),
    (
        ("store", "add", "x", "https://a.retailcrm.ru", "--api-key-file", "/no/such"),
        "cannot be read",
    ),
    (("store", "add", "x", "https://a.retailcrm.ru", "--since", "soon"), "is not a day"),
    (("store", "add", "x"), "URL"),
    (("store", "set", "nowhere"), "There is no store"),
    (("store", "remove", "nowhere", "--yes"), "There is no store"),
]


def test_bad_input_is_one_helpful_line(added: Run) -> None:
    for typed, said in BAD:
        result = added(*typed, key=KEY)
        assert (typed, result.exit_code) == (typed, 2), result.output
        assert said in one_line(result), typed


def test_a_key_given_as_a_variables_name_is_not_repeated(run: Run) -> None:
    secret = "3f9a0c1d2b4e5f60718293a4b5c6d7e8"
    result = run("store", "add", "x", "https://a.retailcrm.ru", "--api-key-env", secret)
    assert result.exit_code == 2
    assert secret not in result.output


@pytest.mark.parametrize("command", ["status", "migrate"])
def test_postgres_away_is_status_3(command: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNC_DATABASE_URL", "postgresql://mirror:x@127.0.0.1:9/mirror")
    _let_go()
    result = run(command)
    assert result.exit_code == 3
    assert "Postgres could not serve us" in one_line(result)


def test_a_database_without_our_schema_says_what_to_run(
    run: Run, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNC_DATABASE_URL", empty_database)
    for _ in _fresh_services(empty_database):
        result = run("status")
        assert result.exit_code == 3
        assert "celery -A sync mirror migrate" in one_line(result)
        assert run("migrate").exit_code == 0
        assert run("migrate").exit_code == 0
        assert run("status").exit_code == 0


def test_redis_away_is_status_3(run: Run, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNC_REDIS_URL", "redis://127.0.0.1:9/0")
    _let_go()
    result = run("store", "add", "shop", url, key=KEY)
    assert result.exit_code == 3
    assert "Redis" in one_line(result)


def test_wrong_settings_are_told_all_together(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNC_RATE_LIMIT", "ten")
    monkeypatch.setenv("SYNC_EGRESS", "a b")
    _let_go()
    result = run("status")
    assert result.exit_code == 3
    assert "SYNC_RATE_LIMIT" in result.stderr
    assert "SYNC_EGRESS" in result.stderr


# --- status ---------------------------------------------------------------------------------


def test_status_json_has_the_promised_shape(added: Run) -> None:
    result = added("status", "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert list(told) == ["stores", "verdict", "causes"]
    assert list(told["verdict"]) == ["level", "well", "text"]
    (store,) = told["stores"]
    assert list(store) == ["name", "title", "enabled", "resources", "error", "load"]
    assert [each["resource"] for each in store["resources"]] == list(RESOURCES)
    for each in store["resources"]:
        assert list(each) == [
            "resource", "state", "expected", "mirrored", "complete_as_of", "lag_seconds",
            "rejects", "error",
        ]  # fmt: skip
        assert each["state"] in {"pending", "disabled"}
        assert each["complete_as_of"] is None


def test_status_without_a_store_says_how_to_begin(run: Run) -> None:
    result = run("status")
    assert result.exit_code == 0
    assert "store add NAME URL" in result.stdout
    told = json.loads(run("status", "--json").stdout)
    assert (told["stores"], told["verdict"]["level"], told["causes"]) == ([], "empty", [])


def test_attention_is_status_1_and_says_what_to_do(
    added: Run, rows: Callable[[str], list[Any]]
) -> None:
    rows(
        "UPDATE sync.lane SET parked_at = now(), error = 'the list is no list' "
        "WHERE resource = 'orders' AND lane = 'walk' RETURNING 1"
    )
    result = added("status")
    assert result.exit_code == 1
    assert "celery -A sync mirror retry shop orders" in " ".join(result.stdout.split())
    told = json.loads(added("status", "--json").stdout)["stores"][0]["resources"]
    (orders,) = [each for each in told if each["resource"] == "orders"]
    assert (orders["state"], "the list is no list" in orders["error"]) == ("attention", True)
    assert added("retry", "shop", "orders").stdout == "1 lane is released.\n"
    assert added("status").exit_code == 0
    assert added("retry", "shop").stdout == "Nothing was parked or failing.\n"


def test_status_says_why_claims_are_older_than_usual(
    added: Run, rows: Callable[[str], list[Any]]
) -> None:
    """A lateness bound that rose makes coverage older: the reader of a claim is told."""
    assert "lateness" not in added("status").stdout
    rows(
        "INSERT INTO sync.feed (store_id, resource, bookmark, head_id, tail_id, lateness_seconds)"
        " SELECT id, 'order_history', 0, 0, 0, 1200 FROM sync.store RETURNING 1"
    )
    said = " ".join(added("status").stdout.split())
    assert "lateness bound 1,200 s" in said
    assert "1,200 s old, 2,400 s while the account is busy" in said


HOSTILE = "[/b] [link=http://x]here\x1b]0;owned\x07 \x1b[2J \x9b31m \u202eder\u202c"
"""Markup that closes nothing, a link, a window's title, a cleared screen, red, right to left."""
OBEYED = "\x1b\x07\x9b\u202e\u202c\x00"


def harmless(text: str) -> bool:
    return not set(text) & set(OBEYED)


@pytest.mark.parametrize(
    "typed", [("status",), ("status", "shop"), ("status", "--json"), ("store", "list")]
)
@pytest.mark.parametrize("where", ["sync.store", "sync.lane"])
def test_what_an_account_said_is_printed_and_not_obeyed(
    added: Run, rows: Callable[[str], list[Any]], typed: tuple[str, ...], where: str
) -> None:
    """One account's errorMsg must not end the status of all stores, nor write to the terminal."""
    also = ", parked_at = now()" if where == "sync.lane" else ""
    rows(f"UPDATE {where} SET error = E'{HOSTILE}'{also} RETURNING 1")
    result = added(*typed)
    assert result.exit_code == (0 if typed == ("store", "list") else 1), result.output
    assert harmless(result.output)
    if typed[0] == "status" or where == "sync.store":
        assert "[/b]" in result.stdout


@pytest.mark.parametrize("is_terminal", [True, False], ids=["live", "lines"])
def test_waiting_prints_what_an_account_said_as_it_is(
    added: Run,
    rows: Callable[[str], list[Any]],
    monkeypatch: pytest.MonkeyPatch,
    is_terminal: bool,
) -> None:
    stdout = SimpleNamespace(isatty=lambda: is_terminal)
    monkeypatch.setattr(waiting, "sys", SimpleNamespace(stdout=stdout))
    monkeypatch.setenv("COLUMNS", "200")
    rows(
        f"UPDATE sync.lane SET parked_at = now(), error = E'{HOSTILE}'"
        " WHERE resource = 'statuses' RETURNING 1"
    )
    result = added("backfill", "shop", "statuses", "--wait")
    assert result.exit_code == 1, result.output
    assert harmless(result.output)
    assert "[/b]" in result.stdout


def test_an_accounts_own_names_are_printed_and_not_obeyed(
    run: Run, sandbox: Sandbox, url: str
) -> None:
    """Sites and currency of an account that is added, looked at and listed."""
    odd = sandbox.account("odd", sites=("main", f"x{HOSTILE}\x00"), key="q" * 32)
    odd.add_key("w" * 32, sites=["main", f"x{HOSTILE}\x00"])
    odd.currency = HOSTILE
    result = run("store", "add", "odd", url, key="w" * 32)
    assert result.exit_code == 0, result.output
    wrong = run("store", "add", "odd", url, "--site", "mian", key="w" * 32)
    assert "Did you mean 'main'?" in one_line(wrong)
    for each in (result, wrong, run("store", "check", "odd"), run("store", "list")):
        assert harmless(each.output)
    assert result.stdout.count("[/b]") == 2


# --- crawls and repairs ---------------------------------------------------------------------


def test_backfill_queues_a_crawl_once(added: Run, rows: Callable[[str], list[Any]]) -> None:
    for _ in range(2):
        result = added(
            "backfill", "shop", "orders", "--since", "2025-01-01", "--until", "2025-01-31"
        )
        assert result.exit_code == 0, result.output
    found = rows(
        "SELECT resource, asked_by, since::text, until::text FROM sync.crawl"
        " WHERE kind = 'backfill'"
    )
    assert found == [("orders", "operator", "2025-01-01", "2025-01-31")]


def test_reconcile_deep_is_kept_with_the_crawl(
    added: Run, rows: Callable[[str], list[Any]]
) -> None:
    assert added("reconcile", "shop", "orders", "customers", "--deep").exit_code == 0
    found = rows("SELECT resource, deep FROM sync.crawl WHERE kind = 'reconcile' ORDER BY 1")
    assert found == [("customers", True), ("orders", True)]


def test_waiting_without_a_worker_says_so_at_once_and_ends(
    added: Run, rows: Callable[[str], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "GIVE_UP_SECONDS", 1.0)
    result = added("backfill", "shop", "statuses", "--wait")
    assert result.exit_code == 3
    assert "No worker consumes the queue crawls" in result.stderr
    assert "stay queued" in result.stderr
    assert rows("SELECT state FROM sync.crawl WHERE kind = 'backfill'") == [("pending",)]


def test_waiting_for_a_parked_crawl_ends_with_1(
    added: Run, rows: Callable[[str], list[Any]]
) -> None:
    rows(
        "UPDATE sync.lane SET parked_at = now(), error = 'bad page'"
        " WHERE resource = 'statuses' RETURNING 1"
    )
    result = added("backfill", "shop", "statuses", "--wait")
    assert result.exit_code == 1
    assert "bad page" in result.stdout


def test_reset_drops_open_crawls_fences_and_loads_anew(
    added: Run, rows: Callable[[str], list[Any]]
) -> None:
    (before,) = rows("SELECT token FROM sync.lane WHERE resource = 'orders' AND lane = 'walk'")
    rows("UPDATE sync.coverage SET proven_as_of = now() WHERE resource = 'orders' RETURNING 1")
    assert added("reset", "shop", "orders").exit_code == 0
    states = rows("SELECT kind, state FROM sync.crawl WHERE resource = 'orders' ORDER BY id")
    assert states == [("load", "dropped"), ("load", "pending")]
    assert rows("SELECT proven_as_of FROM sync.coverage WHERE resource = 'orders'") == [(None,)]
    (after,) = rows("SELECT token FROM sync.lane WHERE resource = 'orders' AND lane = 'walk'")
    assert after[0] > before[0]


def test_a_resource_is_turned_off_and_on(added: Run, rows: Callable[[str], list[Any]]) -> None:
    ask = (
        "SELECT c.selected, l.enabled FROM sync.coverage AS c"
        " JOIN sync.lane AS l USING (store_id, resource) WHERE resource = 'costs'"
    )
    assert added("resource", "shop", "costs", "off").exit_code == 0
    assert rows(ask) == [(False, False)]
    assert added("resource", "shop", "costs", "on").exit_code == 0
    assert rows(ask) == [(True, True)]
    assert "already" in added("resource", "shop", "costs", "on").stdout


def test_an_optional_resource_is_loaded_when_turned_on(
    added: Run, rows: Callable[[str], list[Any]]
) -> None:
    optional = next(r.name for r in RESOURCES.values() if r.optional)
    ask = f"SELECT count(*) FROM sync.crawl WHERE resource = '{optional}'"
    assert rows(ask) == [(0,)]
    assert added("resource", "shop", optional, "on").exit_code == 0
    assert rows(ask) == [(1,)]


def test_what_a_resource_is_asked_for_by_is_turned_on_with_it(
    added: Run, rows: Callable[[str], list[Any]]
) -> None:
    """Alone it would wait for ever."""
    ask = "SELECT selected FROM sync.coverage WHERE resource = 'loyalty_accounts'"
    assert added("resource", "shop", "loyalty_accounts", "off").exit_code == 0
    assert rows(ask) == [(False,)]
    child = next(
        name
        for name, each in RESOURCES.items()
        if each.parent is not None and each.parent.resource == "loyalty_accounts"
    )
    assert "loyalty_accounts" in added("resource", "shop", child, "on").stdout
    assert rows(ask) == [(True,)]


def test_accept_lists_what_is_in_doubt_and_asks_for_yes(
    added: Run, rows: Callable[[str], list[Any]]
) -> None:
    """What cannot be mended is accepted by name, and analysts see who did it and why."""
    rows(
        "INSERT INTO sync.doubt (store_id, resource, kind, detail, since, difference) SELECT id,"
        " 'orders', 'count', 'the API counts 46, here are 45', now(), 1 FROM sync.store RETURNING 1"
    )
    listed = added("accept", "shop", "orders")
    assert listed.exit_code == 0
    assert "…–…: the API counts 46, here are 45" in listed.stdout
    assert listed.stdout.endswith("to accept it, say --yes.\n")
    assert rows("SELECT count(*) FROM crm.known_gaps") == [(0,)]
    done = added("accept", "shop", "orders", "--because", "a phantom", "--by", "Ann", "--yes")
    assert done.stdout.endswith("1 accepted by Ann: orders of shop is complete without.\n")
    assert rows("SELECT store, difference, accepted_by, accepted_because FROM crm.known_gaps") == [
        ("shop", 1, "Ann", "a phantom")
    ]


def test_rebuild_queues_every_resource_of_every_store(
    added: Run, rows: Callable[[str], list[Any]]
) -> None:
    assert added("rebuild").exit_code == 0
    assert rows("SELECT count(*) > 20 FROM sync.crawl WHERE kind = 'rebuild'") == [(True,)]


def test_plan_counts_requests_without_queueing(
    added: Run, rows: Callable[[str], list[Any]]
) -> None:
    before = rows("SELECT count(*) FROM sync.crawl")
    result = added("plan", "shop", "orders", "statuses")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert any(line.split()[:2] == ["orders", "60"] for line in lines)
    assert "requests, about" in lines[-2]
    assert rows("SELECT count(*) FROM sync.crawl") == before


def test_plan_says_how_many_addresses_a_wished_lag_needs(
    added: Run, url: str, rows: Callable[[str], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all stores together, loaded or not; by the addresses whose workers live."""

    def told(*options: str) -> str:
        result = added("plan", "shop", "statuses", *options)
        assert result.exit_code == 0, result.output
        return str(result.stdout.splitlines()[-1])

    monkeypatch.setenv("SYNC_RATE_LIMIT", "0.5")
    assert added("store", "add", "other", url, key="o" * 32).exit_code == 0
    _let_go()
    [(feeds,)] = rows("SELECT count(*) FROM sync.lane WHERE lane = 'feed' AND enabled")
    assert feeds == 10
    # A quarter of a request a second is for feeds, and 1.15 requests are a look.
    assert told() == (
        "2 stores, 10 feeds: looked at every 46 s on average with 1 egress address;"
        " every 15 s would need 4."
    )
    monkeypatch.setenv("SYNC_EGRESS", "second")
    _let_go()
    tasks.pulse("feeds")
    assert rows("SELECT queue, egress FROM sync.heartbeat") == [("feeds", "second")]
    monkeypatch.setenv("SYNC_EGRESS", "default")
    _let_go()
    assert told("--lag", "120") == (
        "2 stores, 10 feeds: looked at every 23 s on average with 2 egress addresses;"
        " every 2 min would need 1."
    )
    assert told("--lag", "5").endswith("; every 5 s would need 10, and SYNC_FEED_SECONDS=5.")
    assert added("plan", "shop", "--lag", "0").exit_code == 2


# --- budget ---------------------------------------------------------------------------------


def _ids(rows: Callable[[str], list[Any]]) -> dict[str, int]:
    return dict(rows("SELECT name, id FROM sync.store"))


@pytest.fixture
def spent(
    added: Run, url: str, redis_url: str, rows: Callable[[str], list[Any]]
) -> Callable[..., Result]:
    """Two stores asked from two addresses; one of them was refused for a minute."""
    assert added("store", "add", "other", url, key="o" * 32).exit_code == 0
    ids = _ids(rows)
    with redis.Redis.from_url(redis_url) as server:
        server.flushdb()  # what adding them cost
        first, second = (
            Limiter(server, egress=name, rate_limit=500) for name in ("default", "second-1")
        )

        def take(limiter: Limiter, store: str, priority: Priority) -> Slot:
            return limiter.reserve(
                store=ids[store], bucket=Bucket.DEFAULT, priority=priority, give_up_after=10
            )

        for priority in (Priority.FEED, Priority.WALK, Priority.WALK):
            take(first, "shop", priority)
        take(first, "other", Priority.FEED)
        take(second, "other", Priority.RECONCILE)
        second.refused(take(second, "other", Priority.RECONCILE), after=60)
        second.reserve(store=10**6, bucket=Bucket.DEFAULT, priority=Priority.WALK, give_up_after=10)
    return added


def test_budget_json_tells_who_was_granted_waited_and_was_refused(spent: Run) -> None:
    """By address, store and class; of all addresses that share the Redis."""
    result = spent("budget", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)["budgets"]
    assert [(each["egress"], each["bucket"], each["limit"]) for each in told] == [
        ("default", "default", 500),
        ("default", "telephony", 40),
        ("second-1", "default", 500),
    ]
    used = {
        (each["egress"], line["store"], line["class"]): (line["granted"], line["refused"])
        for each in told
        for line in each["requests"]
    }
    assert used == {
        ("default", "shop", "feed"): (1, 0),
        ("default", "shop", "walk"): (2, 0),
        ("default", "other", "feed"): (1, 0),
        ("second-1", "other", "reconcile"): (2, 1),
        ("second-1", "#1000000", "walk"): (1, 0),
    }
    [line, *_] = told[0]["requests"]
    assert line["waited_seconds"] >= 0.3  # a Redis without a state grants nothing for that long
    assert line["mean_wait_seconds"] == pytest.approx(line["waited_seconds"] / line["granted"])
    first, _, second = told
    assert first["paused"] == []
    [paused] = second["paused"]
    assert paused["store"] == "other"
    assert 50 < paused["seconds"] <= 60
    assert first["pace"] == 490
    assert second["pace"] == 490  # a refusal says nothing of the address until one is served
    numbers = ("frozen_seconds", "used_last_minute", "used_last_hour", "stores_with_work", "lost")
    assert all(each[name] >= 0 for each in told for name in (*numbers, "late", "overdue"))


def test_budget_is_a_table_with_a_line_for_each_store_and_class(spent: Run) -> None:
    result = spent("budget")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0][:4] == ["egress", "bucket", "limit/s", "pace/s"]
    assert ["default", "default", "500", "490.0"] in [line[:4] for line in lines]
    assert ["default", "telephony", "40", "39.2"] in [line[:4] for line in lines]
    by_store = [line[:5] for line in lines if line[3:4] and line[3] in {"feed", "walk"}]
    assert by_store == [
        ["default", "default", "other", "feed", "1"],
        ["default", "default", "shop", "feed", "1"],
        ["default", "default", "shop", "walk", "2"],
        ["second-1", "default", "#1000000", "walk", "1"],
    ]
    [refused] = [line for line in lines if line[3:4] == ["reconcile"]]
    assert (refused[2], refused[4], refused[-1]) == ("other", "2", "1")
    assert "second-1, default: other was refused and is paused for" in result.stdout


def test_a_budget_nobody_used_is_told_all_the_same(run: Run) -> None:
    result = run("budget")
    assert result.exit_code == 0, result.output
    assert [line.split()[:3] for line in result.stdout.splitlines()[1:]] == [
        ["default", "default", "500"],
        ["default", "telephony", "40"],
    ]


def test_budget_without_redis_is_status_3(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNC_REDIS_URL", "redis://127.0.0.1:9/0")
    _let_go()
    result = run("budget", "--json")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "the request budget's Redis did not serve us" in one_line(result)


# --- set, check, disable, remove ------------------------------------------------------------


def test_set_refuses_another_account(added: Run, url: str) -> None:
    result = added("store", "set", "shop", key="o" * 32)
    assert result.exit_code == 2
    assert "is another account" in one_line(result)


def test_set_takes_a_new_key_of_the_same_account_and_lifts_the_error(
    added: Run, shop: Account, rows: Callable[[str], list[Any]]
) -> None:
    shop.add_key("n" * 32)
    rows("UPDATE sync.store SET error = 'the account refuses the API key' RETURNING 1")
    before = rows("SELECT key_fingerprint FROM sync.store")
    assert added("status").exit_code == 1
    result = added("store", "set", "shop", key="n" * 32)
    assert result.exit_code == 0, result.output
    assert rows("SELECT error FROM sync.store") == [(None,)]
    assert rows("SELECT key_fingerprint FROM sync.store") != before
    assert added("store", "check", "shop").exit_code == 0


def test_a_store_has_a_title_of_any_text_beside_its_name(
    run: Run, url: str, rows: Callable[[str], list[Any]]
) -> None:
    title = "Магазин на Невском, 17"
    assert run("store", "add", "shop", url, "--title", f" {title}\n", key=KEY).exit_code == 0
    assert rows("SELECT title FROM crm.store JOIN crm.store_titles USING (store_id)") == [(title,)]
    # Whoever may connect reads the notes of a database: none has it.
    assert rows("SELECT FROM pg_description WHERE description ~ 'Невском'") == []
    assert f"shop · {title}" in run("status").stdout
    assert json.loads(run("status", "--json").stdout)["stores"][0]["title"] == title
    for wrong in ("x" * 101, "a\x1b[2Jb", "a\u202eb", "a\x85\x00b"):
        assert "one line of at most" in one_line(run("store", "set", "shop", "--title", wrong))
    assert title in run("store", "list").stdout
    joined = "می\u200cخواهم 👩\u200d🔧"
    assert run("store", "set", "shop", "--title", joined).exit_code == 0
    assert rows("SELECT title FROM crm.store_titles") == [(joined,)]
    assert run("store", "set", "shop", "--title", "").exit_code == 0  # no key is asked for
    assert rows("SELECT title FROM crm.store_titles") == [("shop",)]
    assert rows("SELECT detail FROM sync.act WHERE what = 'store title'") == [
        (plain(joined),), ("none",),
    ]  # fmt: skip


def test_a_name_has_up_to_63_letters(run: Run, url: str, rows: Callable[[str], list[Any]]) -> None:
    """A name of other letters is told of titles, which may have any."""
    name = "a-shop-of-many-words-in-a-town-of-many-more.and_one_digit-1"
    assert run("store", "add", name, url, key=KEY).exit_code == 0
    assert rows("SELECT name FROM crm.store") == [(name,)]
    refused = run("store", "add", "магазин", url, key=KEY)
    assert (refused.exit_code, "any other text can be its --title" in one_line(refused)) == (
        2,
        True,
    )


def test_check_says_what_it_changes(added: Run, rows: Callable[[str], list[Any]]) -> None:
    assert "Nothing was changed here." in added("store", "check", "shop").stdout
    rows("UPDATE sync.store SET currency = 'EUR', error = 'the key is refused' RETURNING 1")
    told = added("store", "check", "shop").stdout
    assert "Changed here:\n  currency: EUR → RUB\n  its error is cleared: the key is" in told
    assert rows("SELECT currency, error FROM sync.store") == [("RUB", None)]


def test_a_title_beside_a_refused_key_is_not_set(
    added: Run, shop: Account, rows: Callable[[str], list[Any]]
) -> None:
    """Nothing was changed, it says. A key that comes on stdin is used with a title, too."""
    refused = added("store", "set", "shop", "--title", "Other", key="o" * 32)
    assert refused.exit_code == 2
    assert rows("SELECT title FROM sync.store") == [(None,)]
    wrong = added("store", "set", "shop", "--title", "Other", "--url", "nothing")
    assert (wrong.exit_code, rows("SELECT title FROM sync.store")) == (2, [(None,)])
    before = rows("SELECT key_fingerprint FROM sync.store")
    shop.add_key("n" * 32)
    assert added("store", "set", "shop", "--title", "Other", key="n" * 32).exit_code == 0
    assert rows("SELECT title FROM sync.store") == [("Other",)]
    assert rows("SELECT key_fingerprint FROM sync.store") != before


@pytest.mark.parametrize("meanwhile", ["store set", "store remove"])
def test_a_change_meanwhile_is_not_undone(
    meanwhile: str, added: Run, shop: Account, rows: Callable[[str], list[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """While `store set` asks the account, another one gives a key, or the store is removed."""
    shop.add_key("n" * 32)
    asked = account_module.look_up

    def slowly(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(account_module, "look_up", asked)
        fingerprint = "" if meanwhile == "store remove" else "other"
        rows(f"UPDATE sync.store SET key_fingerprint = '{fingerprint}' RETURNING 1")
        return asked(*arguments, **options)

    monkeypatch.setattr(account_module, "look_up", slowly)
    result = added("store", "set", "shop", key="n" * 32)
    assert result.exit_code == 2
    assert "changed or removed meanwhile" in one_line(result)
    assert rows("SELECT key_fingerprint IN ('', 'other') FROM sync.store") == [(True,)]


def test_a_disabled_store_is_not_worked_on(added: Run, rows: Callable[[str], list[Any]]) -> None:
    assert added("store", "disable", "shop").exit_code == 0
    assert rows("SELECT count(*) FROM sync.lane WHERE enabled") == [(0,)]
    refused = added("backfill", "shop")
    assert (refused.exit_code, "store enable shop" in one_line(refused)) == (2, True)
    assert json.loads(added("status", "--json").stdout)["stores"][0]["enabled"] is False
    assert added("store", "enable", "shop").exit_code == 0
    assert rows("SELECT count(*) > 0 FROM sync.lane WHERE enabled") == [(True,)]


def test_remove_forgets_the_key_and_keeps_the_rows_until_purged(
    added: Run, url: str, rows: Callable[[str], list[Any]]
) -> None:
    """Removed, added again under the same id with its rows, removed for good."""
    rows(
        "INSERT INTO crm.orders (store_id, id, number, as_of, first_seen_at, changed_at)"
        " SELECT id, 7, '7A', now(), now(), now() FROM sync.store RETURNING 1"
    )
    assert "Nothing was changed" in added("store", "remove", "shop", key="n\n").stdout
    assert added("store", "remove", "shop", "--yes").exit_code == 0
    assert rows("SELECT enabled, length(api_key) FROM sync.store") == [(False, 0)]
    assert rows("SELECT count(*) FROM sync.crawl") == [(0,)]
    assert rows("SELECT min(token) > 0 FROM sync.lane") == [(True,)], "workers are fenced off"
    assert rows("SELECT name FROM crm.store") == [("shop",)]
    assert json.loads(added("status", "--json").stdout)["stores"] == []
    assert added("backfill", "shop").exit_code == 2
    again = added("store", "add", "shop", url, key=KEY)
    assert again.exit_code == 0, again.output
    assert rows("SELECT o.id FROM crm.orders AS o JOIN sync.store AS s ON s.id = o.store_id") == [
        (7,)
    ]
    assert rows("SELECT count(*) > 20 FROM sync.crawl WHERE kind = 'load'") == [(True,)]
    assert added("store", "remove", "shop", "--purge", "--yes").exit_code == 0
    assert rows("SELECT count(*) FROM sync.store") == [(0,)]
    assert rows("SELECT count(*) FROM crm.orders") == [(0,)]
    assert rows("SELECT count(*) FROM sync.lane") == [(0,)]


def test_a_store_taken_up_by_a_key_that_sees_less_keeps_what_it_does_not_see(
    added: Run, url: str, shop: Account, rows: Callable[[str], list[Any]]
) -> None:
    """Removed, and added again: its rows of other sites are hidden, not gone, and it says so."""
    added("store", "remove", "shop", "--yes")
    shop.limit_sites(["main"])
    try:
        again = added("store", "add", "shop", url, key=KEY)
    finally:
        shop.limit_sites(None)
    assert again.exit_code == 0, again.output
    assert "The key has lost sites (others): their rows stay as they were" in one_line(again)
    assert rows("SELECT hidden_sites FROM sync.store") == [(["*"],)]


def test_a_store_taken_up_again_is_worked_at_once_and_for_the_same_sites(
    added: Run, url: str, rows: Callable[[str], list[Any]]
) -> None:
    """Also when its large lists are held back; and not for other sites than its rows are of."""
    added("store", "remove", "shop", "--yes")
    other = added("store", "add", "shop", url, "--site", "main", key=KEY)
    assert other.exit_code == 2
    assert "those of no --site: add it so again" in one_line(other)
    again = added("store", "add", "shop", url, "--no-load", key=KEY)
    assert again.exit_code == 0, again.output
    assert rows("SELECT count(*) > 20 FROM sync.lane WHERE enabled") == [(True,)]
    assert rows("SELECT count(*) FROM sync.crawl WHERE resource = 'orders'") == [(0,)]


@pytest.mark.parametrize(
    "command", [[], ["store"], ["store", "add"], ["backfill"], ["status"], ["budget"], ["plan"]]
)
def test_help_has_examples(command: list[str]) -> None:
    result = CliRunner().invoke(mirror, [*command, "--help"])
    assert result.exit_code == 0
    assert command == ["store"] or "Example" in result.output
