"""Where a feed begins."""

from __future__ import annotations

import pytest
from sqlalchemy import Row

from sync.work import context
from tests.integration.pipeline.conftest import Open
from tests.integration.pipeline.harness import Mirror

HOUR = 3_600


def feed(mirror: Mirror) -> Row[tuple[object, ...]]:
    [row] = mirror.rows("SELECT * FROM sync.feed WHERE resource = 'order_history'")
    return row


def test_a_burst_before_the_bookmark_is_not_followed(open_mirror: Open) -> None:
    """The bookmark is the newest entry older than some minutes, also where an import wrote more of
    them at once than one answer holds: the walk reads their records, the feed need not."""
    mirror = open_mirror()
    for turn in range(6):
        for order in sorted(mirror.truth("orders")):
            mirror.account.update_order(order, managerComment=f"import {turn}")
    newest = mirror.account.histories["orders"].newest_id(mirror.sandbox.clock.now())
    mirror.pass_time(HOUR)
    mirror.work("order_history", "feed")
    assert (feed(mirror).bookmark, feed(mirror).head_id) == (newest, newest)
    mirror.settle()
    mirror.assert_equal_to_oracle()
    assert mirror.coverage("order_history").state == "following"


def test_what_the_walk_of_older_history_has_not_read_yet_is_not_late(
    open_mirror: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look asks again for known entries; those that the walk of older history has stored so far
    have others between them and the bookmark, which are to come, and name nothing to read again."""
    mirror = open_mirror(orders=120)
    mirror.account.update_order(min(mirror.truth("orders")), managerComment="the only one for days")
    mirror.pass_time(HOUR)
    mirror.work("order_history", "feed")
    stored = 1
    with monkeypatch.context() as short:
        short.setattr(context, "SLICE_SECONDS", 1e-6)
        while stored == 1:
            mirror.work("order_history", "walk")
            [[stored]] = mirror.rows("SELECT count(*) FROM crm.order_history")
    entries = len(mirror.account.histories["orders"].entries)
    assert 30 < stored < entries - 100, "the walk is under way"
    mirror.pass_time(20)
    mirror.work("order_history", "feed")
    [[after]] = mirror.rows("SELECT count(*) FROM crm.order_history")
    assert after == stored, "the feed leaves them to the walk"
    mirror.settle()
    assert feed(mirror).late_entries == 0
    mirror.assert_equal_to_oracle()
    assert mirror.coverage("order_history").state == "following"


def test_the_end_of_a_long_history_is_found_without_reading_it(open_mirror: Open) -> None:
    """Each look shows how many entries follow: the way there is halved, not walked."""
    mirror = open_mirror(orders=400)
    entries = mirror.account.histories["orders"].entries
    newest = entries[-1].id
    mirror.pass_time(100 * 24 * HOUR)
    mirror.wire.paths.clear()
    mirror.work("order_history", "feed")
    looks = [path for path in mirror.wire.paths if "orders/history" in path]
    assert len(entries) > 2_000
    assert feed(mirror).bookmark == newest
    assert len(looks) <= 16


def test_of_three_lanes_that_begin_with_a_bookmark_one_looks_for_it(open_mirror: Open) -> None:
    """The lane of the list takes the feed's lease for it; who finds it set asks nothing."""
    mirror = open_mirror()
    mirror.wire.paths.clear()
    mirror.work("customers", "walk")
    mirror.work("orders", "walk")
    mirror.work("order_history", "walk")
    looks = [path for path in mirror.wire.paths if "startDate" in path]
    orders = [path for path in looks if "orders" in path]
    assert 0 < len(orders) <= 6
    before = len(mirror.wire.paths)
    mirror.work("order_history", "feed")
    assert not any("startDate" in path for path in mirror.wire.paths[before:])
    assert mirror.lane("order_history", "feed").lease_until is None
