"""`why`: one record, its version, what it waits for, its history; --fresh only reads."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from sync.commands.why import _compared, _lines
from sync.crm import Account
from sync.resources import RESOURCES
from sync.state import one_record, stores
from sync.state.one_record import OneRecord
from sync.work.compare_now import Now, differences, read_now
from sync.work.session import Session
from tests.integration.pipeline.harness import URL, Mirror

ORDERS = RESOURCES["orders"]


def told_of(mirror: Mirror, key: Any, resource: str = "orders") -> OneRecord:
    with mirror.engine.connect() as connection:
        store = stores.by_id(connection, mirror.store_id)
        assert store is not None
        return one_record.look_up(connection, store, RESOURCES[resource], key)


def now_of(mirror: Mirror, key: int, resource: str = "orders") -> Now:
    api = Session(
        mirror.services.client,
        Account(URL, mirror.account.key),
        store_id=mirror.store_id,
        limiter=None,
        draw=lambda: dt.datetime.now(dt.UTC),
    )
    return read_now(api, RESOURCES[resource], key)


def text_of(told: OneRecord) -> str:
    return "\n".join(_lines(told))


def test_a_record_is_found_by_its_id_its_number_and_its_id_in_the_shop(mirror: Mirror) -> None:
    order = min(mirror.truth("orders"))
    mirror.rows("UPDATE crm.orders SET external_id = 'ext-7' WHERE id = :id", id=order)
    number = mirror.value("SELECT number FROM crm.orders WHERE id = :id", id=order)
    with mirror.engine.connect() as connection:
        for text in (str(order), number, "ext-7"):
            assert one_record.keys(connection, mirror.store_id, ORDERS, text)[0] == order, text
        assert one_record.keys(connection, mirror.store_id, ORDERS, "no such") == []
        assert one_record.keys(connection, mirror.store_id, ORDERS, "987654") == [987654]
    assert one_record.resource_of("order") is ORDERS
    assert one_record.resource_of("corporate-customers") is RESOURCES["corporate_customers"]
    assert one_record.resource_of("ordre") is None


def test_a_changed_order_tells_from_which_entry_and_in_which_version_it_is_here(
    mirror: Mirror,
) -> None:
    order = min(mirror.truth("orders"))
    mirror.account.update_order(order, managerComment="why")
    mirror.work("order_history", "feed")
    told = told_of(mirror, order)
    text = text_of(told)
    assert told.is_live
    assert f"order {order} of " in text
    assert "because entry " in text
    assert told.entries[0].told.startswith("manager_comment: ")
    assert "why" in told.entries[0].told
    assert "the history order_history: due in" in text
    assert told.link.startswith(f"{URL}/orders/")
    assert f"hash          {bytes(told.row['content_hash']).hex()}" in text  # type: ignore[index]


def test_it_says_what_a_record_waits_for(mirror: Mirror) -> None:
    """A re-read, a doubt about it, its parked list, a value that did not fit, a stopped store."""
    order = min(mirror.truth("orders"))
    assert "It waits for nothing." in text_of(told_of(mirror, order))
    mirror.rows(
        "INSERT INTO sync.reread (store_id, resource, id, reason, not_before, failures, error,"
        " failing_since) VALUES (:store, 'orders', :id, 'told', now() + interval '90 s', 2,"
        " 'HTTP 500', now())",
        id=order,
    )
    mirror.rows(
        "INSERT INTO sync.doubt (store_id, resource, record, kind, detail, since)"
        " VALUES (:store, 'orders', :id, 'unread', 'its entry names nothing', now())",
        id=order,
    )
    mirror.rows(
        "UPDATE sync.lane SET parked_at = now(), error = 'no list' WHERE store_id = :store"
        " AND resource = 'orders' AND lane = 'walk'"
    )
    mirror.rows(
        "INSERT INTO sync.reject (store_id, resource, record, field, value, reason)"
        " VALUES (:store, 'orders', :id, 'total_summ', '\"many\"', 'is no number')",
        id=str(order),
    )
    mirror.rows("UPDATE sync.store SET error = 'the account refuses the key'")
    text = text_of(told_of(mirror, order))
    for words in (
        "a re-read, in 90 s (told",
        "it could not be read 2 times: HTTP 500",
        "a doubt since",
        "orders (walk) is parked: no list; then: celery -A sync mirror retry",
        "total_summ: is no number",
        "the whole store waits for a person: the account refuses the key",
    ):
        assert words in text, words


def test_a_deleted_order_and_one_that_never_was(mirror: Mirror) -> None:
    order = min(mirror.truth("orders"))
    mirror.account.delete_order(order)
    mirror.work("order_history", "feed")
    gone, never = told_of(mirror, order), told_of(mirror, 900_000)
    assert "was deleted at" in text_of(gone)
    assert "its history tells" in text_of(gone)
    assert "is not here" in text_of(never)
    assert now_of(mirror, order).record is None


@pytest.mark.parametrize("resource", ["orders", "customers"])
def test_fresh_says_what_differs_and_writes_nothing(mirror: Mirror, resource: str) -> None:
    key = min(mirror.truth(resource))
    same = now_of(mirror, key, resource)
    row = told_of(mirror, key, resource).row
    assert row is not None
    assert list(differences(row["raw"], same.record)) == []
    if resource == "orders":
        mirror.account.update_order(key, managerComment="changed meanwhile")
        told, now = told_of(mirror, key), now_of(mirror, key)
        differs = list(differences(told.row["raw"], now.record))  # type: ignore[index]
        assert [each.path for each in differs] == ["managerComment"]
        text = "\n".join(_compared(told, now, differs))
        assert '"changed meanwhile"' in text
    after = told_of(mirror, key, resource).row
    assert after is not None
    assert dict(after) == dict(row)


@pytest.mark.parametrize(
    ("here", "there", "paths"),
    [
        ({"a": 1, "b": [1, 2]}, {"b": [1, 2], "a": 1.0}, []),
        ({"a": True}, {"a": 1}, ["a"]),
        ({"a": {"b": 1}}, {"a": {"b": 2}, "c": 3}, ["a.b", "c"]),
        ({"a": [1, {"x": 1}]}, {"a": [1, {"x": 2}]}, ["a[1].x"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a"]),
        ({"a": "b\ufffd"}, {"a": "b\x00"}, []),
    ],
)
def test_contents_are_compared_as_json(here: Any, there: Any, paths: list[str]) -> None:
    assert [each.path for each in differences(here, there)] == paths
