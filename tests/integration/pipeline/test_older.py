"""History older than the bookmark: every entry of it, whatever single answers say."""

from __future__ import annotations

import httpx
import pytest

from tests.integration.pipeline.conftest import Open

EMPTY = {
    "success": True,
    "history": [],
    "pagination": {"limit": 100, "totalCount": 0, "currentPage": 1, "totalPageCount": 0},
}


@pytest.mark.parametrize("after", [0, 1])
def test_an_answer_that_is_wrongly_empty_is_not_the_end_of_a_slice(
    open_mirror: Open, after: int
) -> None:
    """The chain is known to go on to the bookmark: an end before it takes a second answer."""
    mirror = open_mirror(orders=120)
    told: list[str] = []

    def once_empty(request: httpx.Request) -> httpx.Response | None:
        query = request.url.params
        if not request.url.path.endswith("/orders/history") or "filter[sinceId]" not in query:
            return None
        if mirror.lane("order_history").lease_until is None:
            return None
        told.append(query["filter[sinceId]"])
        return httpx.Response(200, json=EMPTY) if len(told) == after + 1 else None

    mirror.wire.answers = once_empty
    mirror.work("order_history", "walk")
    mirror.settle()
    assert len(told) > after + 1
    want = {entry.id for entry in mirror.account.histories["orders"].entries}
    have = {row[0] for row in mirror.rows("SELECT id FROM crm.order_history WHERE store_id=:store")}
    assert have == want
