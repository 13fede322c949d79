"""What a look at a feed costs Postgres: hundreds of stores are looked at every few seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import sqlalchemy as sa

from tests.integration.pipeline.harness import Mirror
from tests.integration.pipeline.test_chain import edit
from tests.integration.pipeline.test_proofs import altered


@contextmanager
def counted(mirror: Mirror) -> Iterator[list[str]]:
    """The statements that the mirror sends, without BEGIN and COMMIT; each begin as 'begin'."""
    sent: list[str] = []

    def began(_: object) -> None:
        sent.append("begin")

    def executed(_: object, __: object, statement: str, *___: object) -> None:
        sent.append(statement)

    sa.event.listen(mirror.engine, "begin", began)
    sa.event.listen(mirror.engine, "before_cursor_execute", executed)
    try:
        yield sent
    finally:
        sa.event.remove(mirror.engine, "begin", began)
        sa.event.remove(mirror.engine, "before_cursor_execute", executed)


def test_a_look_without_news_takes_eight_transactions(mirror: Mirror) -> None:
    """Lease, what is known, the request's moment, the head, what is due of it, waiting records,
    the moment it is clear up to, lease: nineteen statements, one request."""
    mirror.work("order_history", "feed")
    mirror.wire.paths.clear()
    with counted(mirror) as sent:
        mirror.work("order_history", "feed")
    transactions = sent.count("begin")
    assert transactions <= 8, sent
    assert len(sent) - transactions <= 19, sent
    assert len(mirror.wire.paths) == 1


def test_a_look_without_news_writes_its_own_row_and_no_other(mirror: Mirror) -> None:
    """What many stores write every few seconds is what Postgres has to vacuum and to replicate."""
    mirror.work("order_history", "feed")
    with counted(mirror) as sent:
        mirror.work("order_history", "feed")
    written = {
        words[1] if words[0] == "UPDATE" else words[2]
        for words in (statement.split() for statement in sent)
        if words[0] in ("UPDATE", "INSERT", "DELETE")
    }
    assert written == {"sync.lane", "sync.store_clock", "sync.feed", "sync.coverage"}


def test_a_sample_of_nothing_is_not_looked_for_again_at_once(mirror: Mirror) -> None:
    """A feed that told of nothing for hours has no record to read again: this is found out once
    every lateness bound, not at every look."""
    mirror.pass_time(4 * 3_600)
    mirror.work("order_history", "feed")
    with counted(mirror) as sent:
        mirror.work("order_history", "feed")
    assert not [statement for statement in sent if "random()" in statement]


def test_news_are_written_in_one_transaction(mirror: Mirror) -> None:
    """Entry, record, all that follows and the checkpoint come together, or not at all."""
    mirror.work("order_history", "feed")
    edit(mirror, sorted(mirror.truth("orders"))[:1], "news")
    with counted(mirror) as sent:
        mirror.work("order_history", "feed")
    begins = [n for n, statement in enumerate(sent) if statement == "begin"]
    wrote = [
        next(n for n, statement in enumerate(sent) if text in statement)
        for text in ('INTO crm."order_history"', 'INTO crm."orders"', "SET head_id")
    ]
    assert not [n for n in begins if min(wrote) < n < max(wrote)]


def test_an_entry_that_is_nothing_readable_is_news(mirror: Mirror) -> None:
    """It has no id to be known by, and no other entry comes with it: what it told is unknown, so
    every order is in doubt until they were compared."""

    def spoil(request: httpx.Request, data: dict[str, Any]) -> None:
        if request.url.path.endswith("/history"):
            data["history"].append({"id": "not a number", "order": "neither"})

    altered(mirror, spoil)
    mirror.work("order_history", "feed")
    raised = "SELECT kind FROM sync.doubt WHERE store_id = :store AND resource = 'orders'"
    assert mirror.rows(raised) == [("unread",)]
