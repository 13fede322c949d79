"""Passes over lists without a feed: their end, and the approval of the deletions they found."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import sqlalchemy as sa

from sync.declare import Resource
from sync.state import coverage, crawls
from sync.state.crawls import Crawl
from sync.state.stores import Store


@dataclass(frozen=True, slots=True)
class Approval:
    """A request for approval: the number of absent rows, the number of all rows, and the reason."""

    absent: int
    of: int
    words: str


def end(
    connection: sa.Connection,
    store: Store,
    resource: Resource,
    crawl: Crawl,
    *,
    complete_as_of: dt.datetime | None,
    approval: Approval | None = None,
) -> None:
    """End a pass; `complete_as_of` is None where coverage stays as it was.

    With `approval`, coverage gets a text: the reason, the command that allows the deletion, and the
    lost sites whose rows the command may delete too.
    """
    if approval is not None:
        lost = store.lost_sites
        also = f" (some may be of sites the key has lost, {lost}, and would go too)" if lost else ""
        text = (
            f"{approval.absent} of {approval.of} rows are no longer in the list{also}; let them be"
            f" tombstoned ({approval.words}):"
            f" celery -A sync mirror approve {store.name} {resource.name}"
        )
        coverage.ask_approval(connection, store.id, resource.name, text=text)
    elif complete_as_of is not None:
        coverage.mark_pass_complete(connection, resource, store.id, complete_as_of=complete_as_of)
    crawls.end_crawl(connection, crawl)
