"""Small lists read whole: what a closed pass lacks, and when that is not believed."""

from __future__ import annotations

import datetime as dt
from itertools import count
from typing import Any

import httpx
import orjson
import pytest

from sync.state import operations, stores
from sync.work import rebuild
from tests.integration.pipeline.conftest import Open
from tests.integration.pipeline.harness import Mirror, sandbox_then, small


@pytest.fixture
def lists(open_mirror: Open) -> Mirror:
    """Statuses (13, one answer), offers (in pages), settings and credentials, all read."""
    mirror = open_mirror(resources=small("statuses", "offers", "settings", "credentials"))
    for _ in range(3):
        mirror.walks()
    assert not mirror.open_crawls()
    return mirror


def _refresh(mirror: Mirror, name: str) -> None:
    mirror.queue(name, "refresh")
    mirror.work(name, "walk")


def _dead(mirror: Mirror, name: str, key: str = "code") -> dict[object, str]:
    return {
        row[0]: row[1]
        for row in mirror.rows(
            f"SELECT {key}, deleted_reason FROM crm.{name} WHERE store_id = :store"
            " AND deleted_at IS NOT NULL"
        )
    }


def test_what_a_closed_sweep_lacks_is_absent_and_revived_when_back(lists: Mirror) -> None:
    """A dictionary's entry that is gone has no history: the whole list proves it."""
    before = dict(lists.account.references["statuses"]["complete"])
    del before["code"]
    lists.account.remove_reference("statuses", "complete")
    _refresh(lists, "statuses")
    assert _dead(lists, "statuses") == {"complete": "absent"}
    assert lists.coverage("statuses").mirrored == 12
    lists.account.set_reference("statuses", "complete", **before)
    _refresh(lists, "statuses")
    assert _dead(lists, "statuses") == {}
    assert lists.coverage("statuses").mirrored == 13


def test_a_record_missing_from_a_paged_sweep(lists: Mirror) -> None:
    """The same for a list in pages: one pass, closed by its totals and ids."""
    gone = lists.account.ids("offers")[0]
    lists.account.delete("offers", gone)
    _refresh(lists, "offers")
    assert _dead(lists, "offers", "id") == {gone: "absent"}


def test_half_of_a_list_waits_for_a_person(lists: Mirror) -> None:
    """More than half of a list of twenty: said, not done, until somebody approves."""
    for number in range(30):
        lists.account.set_reference("statuses", f"made-{number}", name="x", group="new")
    _refresh(lists, "statuses")
    for number in range(25):
        lists.account.remove_reference("statuses", f"made-{number}")
    _refresh(lists, "statuses")
    assert _dead(lists, "statuses") == {}
    cover = lists.coverage("statuses")
    assert (cover.state, cover.mirrored) == ("attention", 43)
    assert "25 of 43" in lists.value(
        "SELECT approval FROM sync.coverage WHERE store_id = :store AND resource = 'statuses'"
    )
    with lists.engine.begin() as connection:
        store = stores.by_id(connection, lists.store_id)
        assert store is not None
        operations.approve(connection, store, "statuses")
    lists.walks()
    assert len(_dead(lists, "statuses")) == 25
    assert lists.coverage("statuses").state == "fresh"


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, json={"success": True, "statuses": []}),
        httpx.Response(200, json={"success": True}),
        httpx.Response(200, html="<html>maintenance</html>"),
        httpx.Response(200, content=b'{"success":true,"statuses":{"new":'),
        httpx.Response(403, json={"success": False, "errorMsg": "Access denied."}),
    ],
    ids=["empty", "no key", "html", "cut", "forbidden"],
)
def test_no_odd_answer_empties_a_dictionary(lists: Mirror, answer: httpx.Response) -> None:
    """Whatever a list answers that is not a list: nothing is tombstoned."""
    lists.wire.answers = lambda request: answer if request.url.path.endswith("statuses") else None
    _refresh(lists, "statuses")
    assert _dead(lists, "statuses") == {}
    assert lists.coverage("statuses").mirrored == 13


def test_a_list_that_shrinks_under_its_pass_is_read_again(lists: Mirror) -> None:
    """A shifted page loses a record: the pass does not close, and nothing is called absent."""
    gone = lists.account.ids("offers")[-1]
    before = len(lists.account.ids("offers"))
    assert before > 20 or before > 0
    with lists.between("/store/offers?", lambda: lists.account.delete("offers", gone)):
        _refresh(lists, "offers")
    assert set(_dead(lists, "offers", "id")) <= {gone}
    _refresh(lists, "offers")
    assert _dead(lists, "offers", "id") == {gone: "absent"}


def test_less_access_is_no_absence(lists: Mirror) -> None:
    """The key lost a site: what it does not see any more is not called absent."""
    lists.account.limit_sites(["main"])
    before = lists.value(
        "SELECT count(*) FROM crm.offers WHERE store_id = :store AND deleted_at IS NULL"
    )
    _refresh(lists, "offers")
    _refresh(lists, "credentials")
    assert _dead(lists, "offers", "id") == {}
    assert before == lists.value(
        "SELECT count(*) FROM crm.offers WHERE store_id = :store AND deleted_at IS NULL"
    )


def test_a_reject_is_forgotten_when_the_value_becomes_good(open_mirror: Open) -> None:
    """A value that does not parse is NULL, kept with its reason; it goes with its cause."""
    mirror = open_mirror()
    order = max(mirror.truth("orders"))
    mirror.account.update_order(order, shipmentDate="next week")
    mirror.settle()
    [reject] = mirror.rows(
        "SELECT record, field, value FROM sync.reject WHERE store_id = :store"
        " AND resource = 'orders' AND record = :id",
        id=str(order),
    )
    assert (reject.field, "next week" in reject.value) == ("shipment_date", True)
    assert (
        mirror.value(
            "SELECT rejects FROM sync.coverage WHERE store_id = :store AND resource = 'orders'"
        )
        == 1
    )
    mirror.account.update_order(order, shipmentDate="2026-01-02")
    mirror.feeds()
    assert not mirror.rows(
        "SELECT 1 FROM sync.reject WHERE store_id = :store AND resource = 'orders'"
    )
    assert (
        mirror.value(
            "SELECT rejects FROM sync.coverage WHERE store_id = :store AND resource = 'orders'"
        )
        == 0
    )
    mirror.assert_equal_to_oracle("orders")


def test_a_changed_zone_makes_every_row_anew(open_mirror: Open) -> None:
    """Local times mean other moments: rows are remade from raw, and coverage waits for it."""
    mirror = open_mirror(
        resources=small("settings", "customers", "customer_history", "orders", "order_history")
    )
    mirror.settle()
    mirror.account.set_zone("Asia/Vladivostok")
    mirror.queue("settings", "refresh")
    mirror.work("settings", "walk")
    assert mirror.coverage("orders").complete_as_of is None
    assert ("orders", "rebuild", "plan") in mirror.open_crawls()
    requests = len(mirror.wire.paths)
    mirror.work("orders", "walk")
    assert len(mirror.wire.paths) == requests, "a rebuild asks for nothing"
    mirror.settle()
    assert mirror.value("SELECT zone FROM sync.store WHERE id = :store") == "Asia/Vladivostok"
    mirror.assert_equal_to_oracle()
    assert mirror.coverage("orders").complete_as_of is not None


def test_a_zone_that_changes_again_amid_a_rebuild_makes_its_rows_anew(
    open_mirror: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows that were made in the zone between are remade too, and nothing is claimed before."""
    mirror = open_mirror(
        resources=small("settings", "customers", "customer_history", "orders", "order_history")
    )
    mirror.settle()
    monkeypatch.setattr(rebuild, "BATCH", 10)
    write, batches = rebuild._write, count(1)

    def change(zone: str) -> None:
        mirror.account.set_zone(zone)
        mirror.queue("settings", "refresh")
        mirror.work("settings", "walk")

    def written(*what: Any) -> None:
        write(*what)
        if next(batches) == 2:
            change("Asia/Tokyo")

    change("Asia/Vladivostok")
    monkeypatch.setattr(rebuild, "_write", written)
    mirror.work("orders", "walk")
    assert mirror.coverage("orders").complete_as_of is None
    mirror.settle()
    mirror.assert_equal_to_oracle("orders")


def test_a_zone_by_its_former_name_becomes_the_present_one(open_mirror: Open) -> None:
    """Servers without former names fail every query that joins crm.store. The clock is the same:
    rows are remade without a request, and nothing is doubted."""
    mirror = open_mirror(
        resources=small("settings", "orders", "order_history"), zone="Europe/Kiev", customers=0
    )
    mirror.settle()
    assert mirror.value("SELECT zone FROM sync.store WHERE id = :store") == "Europe/Kyiv"
    assert mirror.value("SELECT count(*) FROM sync.doubt WHERE store_id = :store") == 0
    mirror.assert_equal_to_oracle()
    assert mirror.coverage("orders").complete_as_of is not None


def test_a_zone_whose_change_alters_the_texts_of_dates_leaves_all_in_doubt(
    open_mirror: Open,
) -> None:
    """Old dates are written anew, hours later: no rebuild from raw can set that right."""
    mirror = open_mirror(
        resources=small("settings", "customers", "customer_history", "orders", "order_history")
    )
    mirror.settle()
    mirror.account.set_zone("Asia/Vladivostok")

    def anew(request: httpx.Request) -> httpx.Response | None:
        if request.url.path not in ("/api/v5/orders", "/api/v5/customers"):
            return None
        data = orjson.loads(mirror.wire._answer(request).content)
        for record in data[request.url.path.rpartition("/")[2]]:
            made = dt.datetime.fromisoformat(record["createdAt"]) + dt.timedelta(hours=7)
            record["createdAt"] = f"{made:%Y-%m-%d %H:%M:%S}"
        return httpx.Response(200, json=data)

    mirror.wire.answers = anew
    mirror.queue("settings", "refresh")
    mirror.work("settings", "walk")
    kinds = mirror.rows("SELECT resource, kind FROM sync.doubt ORDER BY resource")
    assert [tuple(row) for row in kinds] == [
        (name, "zone") for name in ("customer_history", "customers", "order_history", "orders")
    ]
    assert mirror.coverage("orders").complete_as_of is None, "a rebuild comes first"
    assert mirror.rows(
        "SELECT 1 FROM sync.crawl WHERE resource = 'orders' AND deep AND state = 'pending'"
    )


def test_rows_made_in_the_old_zone_are_not_written_after_the_change(open_mirror: Open) -> None:
    """The page was read and made into rows before the zone changed: it is refused."""
    mirror = open_mirror(
        resources=small("settings", "customers", "customer_history", "orders", "order_history")
    )
    mirror.settle()

    def change() -> None:
        mirror.account.set_zone("Asia/Vladivostok")
        mirror.queue("settings", "refresh")
        mirror.work("settings", "walk")

    mirror.queue("orders", "reconcile", deep=True)
    with mirror.between("/api/v5/orders?limit=20&page=", change, nth=2):
        mirror.work("orders", "walk")
    held = (
        "SELECT count(*) FROM sync.lane WHERE store_id = :store"
        " AND resource = 'orders' AND lease_until IS NOT NULL"
    )
    assert mirror.value(held) == 0, "the refused slice keeps nobody waiting"
    mirror.settle()
    mirror.assert_equal_to_oracle()


def test_a_store_with_chosen_sites_has_the_rows_of_those_alone(open_mirror: Open) -> None:
    """--site narrows requests, rows and proofs alike; an order that moves away is absent."""
    mirror = open_mirror(sites=["main"])
    mirror.settle()
    want = {k: o for k, o in mirror.truth("orders").items() if o["site"] == "main"}
    assert mirror.live("orders") == want
    cover = mirror.coverage("orders")
    assert (cover.state, cover.mirrored) == ("following", len(want))
    moved = max(want)
    mirror.account.move_order(moved, "outlet")
    mirror.come_to_rest()
    assert moved not in mirror.live("orders")
    mirror.account.move_order(moved, "main")
    mirror.come_to_rest()
    assert moved in mirror.live("orders")
    mirror.queue("orders", "reconcile")
    mirror.settle()
    assert mirror.live("orders").keys() == want.keys()


def test_a_selective_key_mirrors_what_it_sees(open_mirror: Open) -> None:
    """A key of one site: the lists are the site's, and so is the proof."""
    sandbox = sandbox_then()
    account = sandbox.account(
        "demo", orders=45, customers=20, products=6, awkward=0, only_sites=["main"]
    )
    mirror = open_mirror(sandbox=sandbox, account=account)
    mirror.settle()
    want = {k for k, o in mirror.truth("orders").items() if o["site"] == "main"}
    assert mirror.live("orders").keys() == want
    assert mirror.coverage("orders").state == "following"


def test_a_store_since_a_day_is_complete_from_then_on(open_mirror: Open) -> None:
    """--since limits load, proof and coverage to creation days from then on."""
    probe = open_mirror()
    day = sorted(order["createdAt"][:10] for order in probe.truth("orders").values())[20]
    import datetime as dt

    mirror = open_mirror(
        since=dt.date.fromisoformat(day),
        engine=probe.engine,
        sandbox=probe.sandbox,
        account=probe.account,
    )
    mirror.settle()
    want = {k for k, o in mirror.truth("orders").items() if o["createdAt"][:10] >= day}
    assert mirror.live("orders").keys() == want
    cover = mirror.coverage("orders")
    assert cover.complete_as_of is not None
    assert (cover.mirrored, cover.expected) == (len(want), len(want))


def test_a_list_without_dates_of_a_store_since_a_day_is_complete(open_mirror: Open) -> None:
    """--since cannot limit what has no creation days: it is read whole, and proven whole."""
    import datetime as dt

    mirror = open_mirror(resources=small("packs", "pack_history"), since=dt.date(2025, 1, 1))
    mirror.settle()
    assert mirror.coverage("packs").complete_as_of is not None
