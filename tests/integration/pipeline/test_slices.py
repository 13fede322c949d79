"""A slice may end after any page: what is walked again goes on where it was, and nothing is called
walked, compared or proven that was not."""

from __future__ import annotations

import httpx
import pytest

from sync import crawl
from sync.work import context
from sync.work.windows import walk
from tests.integration.pipeline.conftest import Open
from tests.integration.pipeline.harness import Mirror, sandbox_then, small

SLICES = 90


def end_after(monkeypatch: pytest.MonkeyPatch, looks: int) -> None:
    """Let slices be over after so many looks at the clock."""
    monkeypatch.setattr(context, "SLICE_SECONDS", looks / 100)


def cut_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut whatever holds more than two pages."""
    monkeypatch.setattr(walk, "WINDOW_MAX", 40)
    monkeypatch.setattr(crawl, "WINDOW_TARGET", 20)


def finish(mirror: Mirror, crawl_id: int) -> None:
    """Slice after slice until a crawl is done."""
    mirror.finish(crawl_id, slices=SLICES)


def by_schedule(mirror: Mirror) -> int:
    """Tonight's reconcile, as the schedule queues it."""
    crawl_id = mirror.queue("orders", "reconcile")
    mirror.rows(
        "UPDATE sync.crawl SET asked_by = 'schedule' WHERE store_id = :store AND id = :id",
        id=crawl_id,
    )
    return crawl_id


def invent(mirror: Mirror, like: int, *, as_id: int) -> None:
    """A row the CRM has no record of."""
    columns = (
        "created_on, created_at, site, listed_at, as_of, first_seen_at, changed_at, raw,"
        " content_hash"
    )
    mirror.rows(
        f"INSERT INTO crm.orders (store_id, id, {columns}) SELECT store_id, :new, {columns}"
        " FROM crm.orders WHERE store_id = :store AND id = :id",
        id=like,
        new=as_id,
    )


@pytest.mark.parametrize("looks", [1, 4, 9, 15, 22, 29, 37, 46, 52])
def test_a_reconcile_that_found_a_difference_repairs_it_whenever_its_slices_end(
    open_settled: Open, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    """Done means proven: no slice ends so unluckily that the crawl is taken for finished."""
    mirror = open_settled(orders=150)
    cut_small(monkeypatch)
    orders = sorted(mirror.truth("orders"))
    mirror.rows("DELETE FROM crm.orders WHERE store_id = :store AND id = ANY(:i)", i=orders[3:40])
    before = mirror.value(
        "SELECT proven_as_of FROM sync.coverage WHERE store_id = :store AND resource = 'orders'"
    )
    end_after(monkeypatch, looks)
    finish(mirror, mirror.queue("orders", "reconcile"))
    mirror.assert_equal_to_oracle("orders")
    assert before < mirror.value(
        "SELECT proven_as_of FROM sync.coverage WHERE store_id = :store AND resource = 'orders'"
    )


@pytest.mark.parametrize("looks", [1, 4, 8, 20, 33])
def test_a_night_compares_every_part_of_a_month_that_was_cut(
    open_settled: Open, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    """A month that holds too much is cut into parts, and each of them is walked, cleared of rows
    the CRM has no record of, and only then called compared."""
    mirror = open_settled(orders=150)
    cut_small(monkeypatch)
    monkeypatch.setattr(
        "sync.work.windows.audit.months_of_turn",
        lambda turn, **_: [crawl.Days()] if turn == 0 else [],
    )
    orders = sorted(mirror.truth("orders"), reverse=True)
    for lost, invented in ((5, 900_001), (70, 900_002), (140, 900_003)):
        invent(mirror, orders[lost], as_id=invented)
        mirror.rows("DELETE FROM crm.orders WHERE store_id = :store AND id = :id", id=orders[lost])
    end_after(monkeypatch, looks)
    finish(mirror, by_schedule(mirror))
    mirror.come_to_rest()  # what the CRM has no record of is asked for twice
    mirror.assert_equal_to_oracle("orders")


@pytest.mark.parametrize("looks", [1, 7, 30])
def test_a_deep_reconcile_has_compared_every_id_when_it_says_so(
    open_settled: Open, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    """The same for `--deep`, whose windows are cut as its walk goes on."""
    mirror = open_settled(orders=150)
    cut_small(monkeypatch)
    orders = sorted(mirror.truth("orders"))
    for lost, invented in ((5, 900_001), (70, 900_002), (140, 900_003)):
        invent(mirror, orders[lost], as_id=invented)
        mirror.rows("DELETE FROM crm.orders WHERE store_id = :store AND id = :id", id=orders[lost])
    end_after(monkeypatch, looks)
    finish(mirror, mirror.queue("orders", "reconcile", deep=True))
    mirror.assert_equal_to_oracle("orders")


def test_a_walk_that_is_longer_than_a_slice_comes_to_its_end(
    open_mirror: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it was made on one day, so it cannot be cut; what a walk met is kept, and the next
    slice goes on after the last page."""
    mirror = open_mirror(orders=150)
    for order in sorted(mirror.truth("orders")):
        mirror.account.redate_order(order, "2026-03-01 10:00:00")
    mirror.settle()
    lost = min(mirror.truth("orders"))
    mirror.rows("DELETE FROM crm.orders WHERE store_id = :store AND id = :id", id=lost)
    end_after(monkeypatch, 1)
    finish(mirror, mirror.queue("orders", "reconcile", deep=True))
    mirror.assert_equal_to_oracle("orders")


@pytest.mark.parametrize("how", ["nightly", "by counts", "deep"])
def test_a_date_filter_that_stops_working_after_the_load(
    open_settled: Open, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Whichever walk notices it takes the list as one window, and is done with it."""
    mirror = open_settled(orders=150)
    cut_small(monkeypatch)
    monkeypatch.setattr(crawl, "LEAF_RECORDS", 40)
    mirror.sandbox.knobs.turn(ignore_date_filter=True)
    orders = sorted(mirror.truth("orders"), reverse=True)
    mirror.rows("DELETE FROM crm.orders WHERE store_id = :store AND id = :id", id=orders[70])
    if how != "by counts":
        invent(mirror, orders[71], as_id=900_001)
    crawl_id = (
        by_schedule(mirror) if how == "nightly" else mirror.queue("orders", deep=how == "deep")
    )
    finish(mirror, crawl_id)
    mirror.assert_equal_to_oracle("orders")
    cover = "SELECT {} FROM sync.coverage WHERE store_id = :store AND resource = 'orders'"
    assert mirror.value(cover.format("date_filter")) is False
    assert mirror.value(
        cover.format("proven_as_of")
        + " AND proven_as_of > (SELECT started_at FROM sync.crawl WHERE id = :id)",
        id=crawl_id,
    )
    following = by_schedule(mirror)
    finish(mirror, following)
    assert mirror.value(cover.format("ids_checked_at IS NOT NULL"))


def test_a_list_in_no_order_is_closed_by_passes_longer_than_a_slice(
    open_mirror: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two passes in a row prove it, and what the first one saw is known to its slice alone."""
    sandbox = sandbox_then()
    account = sandbox.account("demo", orders=5, customers=5, products=30, awkward=0)
    mirror = open_mirror(resources=small("offers"), sandbox=sandbox, account=account)

    def in_no_order(request: httpx.Request) -> httpx.Response | None:
        if not request.url.path.endswith("/store/offers"):
            return None
        _, whole = sandbox.get("/api/v5/store/offers?limit=100", key=account.key)
        offers = sorted(whole["offers"], key=lambda offer: offer["id"] * 7_919 % 101)
        limit, page = (int(request.url.params[name]) for name in ("limit", "page"))
        pages = -(-len(offers) // limit)
        block = {"limit": limit, "totalCount": len(offers), "currentPage": page}
        return httpx.Response(
            200,
            json={
                "success": True,
                "pagination": {**block, "totalPageCount": pages},
                "offers": offers[(page - 1) * limit : page * limit],
            },
        )

    mirror.wire.answers = in_no_order
    end_after(monkeypatch, 1)
    mirror.walks()
    assert 40 < len(mirror.account.ids("offers")) <= 100
    assert mirror.coverage("offers").state == "fresh", mirror.open_crawls()
