"""Answers nobody should send: each is put down in words, costs little, and stops nothing else."""

from __future__ import annotations

import datetime as dt

import httpx
import pytest

from sync.errors import OverLimit, TryLater
from sync.state import lanes
from sync.state.lanes import Claim
from sync.work.failures import ODD_TIMES, after_failure
from tests.integration.pipeline.harness import Mirror, sandbox_then
from tests.integration.resources.conftest import Open
from tests.integration.resources.fake import Fake, answer

USERS = "/api/v5/users"
HISTORY = "/api/v5/loyalty/bonus/operations"
AFTER = "SELECT extract(epoch FROM due_at - clock_timestamp()) FROM sync.lane WHERE resource = :r"


@pytest.fixture
def mirror(open_mirror: Open) -> Mirror:
    return open_mirror("users", "settings", "statuses", orders=0, customers=0)


@pytest.fixture
def fake(mirror: Mirror) -> Fake:
    return Fake(mirror)


@pytest.mark.parametrize("errors", ["a\x00b\x1b[2J", {"a\x00": ["\x00"]}, "x" * 100_000])
def test_a_refusal_is_kept_whatever_it_says(mirror: Mirror, fake: Fake, errors: object) -> None:
    """Postgres takes no NUL: a failure that cannot be written down is repeated for ever, unseen."""
    fake.handle(USERS, lambda _: answer(400, errorMsg="no\x00\x1b[31m", errors=errors))
    mirror.believe("users", "walk")
    lane = mirror.lane("users")
    assert lane.parked_at is not None
    assert "refused our request: HTTP 400: no" in lane.error
    assert lane.error.isprintable()
    assert len(lane.error) < 1_000


def test_a_failure_is_put_down_whatever_it_quotes(mirror: Mirror) -> None:
    claim = Claim(mirror.store_id, "users", "walk")
    with mirror.engine.begin() as connection:
        held = lanes.acquire(connection, claim, holder="test")
        assert held is not None
        lanes.fail(connection, held, error="a\x00b \ud800\nc", after_seconds=0, parked=False)
    assert mirror.lane("users").error == "a b   c"


def test_a_zone_that_is_none_is_kept_whatever_it_says(mirror: Mirror, fake: Fake) -> None:
    settings = {"timezone": {"value": "Mars/\x00\x1b[2J"}, "default_currency": {"value": "EUR"}}
    fake.handle("/api/v5/settings", lambda _: answer(settings=settings))
    mirror.believe("settings", "walk")
    lane = mirror.lane("settings")
    assert lane.parked_at is not None
    assert lane.error.isprintable()


@pytest.mark.parametrize("count", ["1e50000000", "9" * 4_000, "-5", "1e400", '"1e9"', "1000001"])
def test_a_number_of_pages_that_cannot_be_is_put_down(
    mirror: Mirror, fake: Fake, count: str
) -> None:
    body = (
        '{"success":true,"users":[],"pagination":'
        f'{{"limit":20,"currentPage":1,"totalCount":99999999999,"totalPageCount":{count}}}}}'
    )
    fake.handle(USERS, lambda _: httpx.Response(200, content=body))
    mirror.believe("users", "walk")
    assert mirror.lane("users").parked_at is not None
    assert len(mirror.lane("users").error) < 1_000
    assert mirror.value("SELECT body FROM sync.parked_page") == body.encode()
    mirror.work("statuses", "walk")
    assert mirror.coverage("statuses").state == "fresh"


@pytest.mark.parametrize(
    "after",
    ["7200", "99999999999", "Fri, 31 Dec 9999 23:59:59 -2359", "9" * 5_000],
    ids=lambda value: value[:20],
)
@pytest.mark.parametrize("status", [503, 502])
def test_an_account_puts_us_off_for_an_hour_at_most(
    mirror: Mirror, fake: Fake, after: str, status: int
) -> None:
    fake.handle(USERS, lambda _: httpx.Response(status, headers={"Retry-After": after}))
    mirror.work("users", "walk")
    assert mirror.lane("users").error is not None
    assert mirror.value(AFTER, r="users") <= 3_600


@pytest.mark.parametrize("after", [1e5, 1e30, float("inf")])
def test_no_wait_is_longer_than_an_hour_whoever_asks_for_it(after: float) -> None:
    for kind in (TryLater, OverLimit):
        then = after_failure(kind("later", after=after), attempts=1)
        assert dt.timedelta(seconds=then.again_in) <= dt.timedelta(hours=1)


def test_a_parked_answer_never_quotes_a_key(open_mirror: Open) -> None:
    """Also a key so short that a good answer may hold it as a word: the client leaves it there."""
    sandbox = sandbox_then()
    key = "k3y-short1"
    account = sandbox.account("brief", key=key, products=0, awkward=0)
    mirror = open_mirror("customers", "customer_history", sandbox=sandbox, account=account)
    fake = Fake(mirror)
    block = {"limit": 20, "totalCount": 30, "currentPage": 1, "totalPageCount": 2}
    fake.handle("/api/v5/customers", lambda _: answer(quoted=f"your key {key}", pagination=block))
    mirror.work("customer_history", "feed")
    mirror.work("customers", "walk")
    bodies = [bytes(row[0]) for row in mirror.rows("SELECT body FROM sync.parked_page")]
    assert bodies
    assert all(key.encode() not in body and b"your key [key]" in body for body in bodies)


@pytest.mark.parametrize(
    "cursor", ["x" * 3_000, "a\x00b", ["a"], {"a": 1}, "c\r\nX-Evil: 1"], ids=lambda c: repr(c)[:12]
)
def test_a_cursor_that_is_none_is_not_asked_with(open_mirror: Open, cursor: object) -> None:
    mirror = open_mirror("bonus_operations", orders=0, customers=0)
    fake = Fake(mirror)
    operation = {"type": "credit_manual", "createdAt": "2024-01-01 10:00:00", "amount": 5}
    fake.handle(
        HISTORY,
        lambda _: answer(bonusOperations=[operation], pagination={"nextCursor": cursor}),
    )
    mirror.believe("bonus_operations", "walk")
    lane = mirror.lane("bonus_operations")
    assert lane.parked_at is not None
    assert "nextCursor" in lane.error
    assert fake.count(HISTORY) == ODD_TIMES, "the first page alone"
