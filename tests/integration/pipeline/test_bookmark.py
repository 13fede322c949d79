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
