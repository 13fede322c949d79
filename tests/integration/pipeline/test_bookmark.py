"""Where a feed begins."""

from __future__ import annotations

from tests.integration.pipeline.conftest import Open

HOUR = 3_600


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
    [feed] = mirror.rows("SELECT bookmark, head_id FROM sync.feed WHERE resource = 'order_history'")
    assert (feed.bookmark, feed.head_id) == (newest, newest)
    mirror.settle()
    mirror.assert_equal_to_oracle()
    assert mirror.coverage("order_history").state == "following"
