"""The cost of reading lists, from the totals that the API tells: a request for each list."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from sync.crawl import WINDOW_MAX, parts_of
from sync.crm import Priority, Stop
from sync.database.engine import reading
from sync.declare import DateWindows, Resource, SinglePage
from sync.errors import Forbidden, Refused, UnexpectedData
from sync.forecast import duration
from sync.state import operations
from sync.state.stores import Store
from sync.work.account import asking
from sync.work.feed.backlog import slices_of
from sync.work.services import Services
from sync.work.session import Session

USED_SHARE = 0.98
"""Share of the limit that a walk gets when it is alone, paced evenly."""
BOOKMARK = 5
"""The looks it takes, more or less, to find where a history is followed from."""
PROOFS = 4
"""Requests that usually prove a loaded list: one total, and the feed read before and after."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The cost of one resource."""

    resource: str
    records: int
    requests: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """The cost of reading some lists of a store, and the pace that it has beside `others`."""

    lines: Sequence[Estimate]
    per_second: float
    others: int

    @property
    def requests(self) -> int:
        """The requests of all lists together."""
        return sum(line.requests for line in self.lines)

    @property
    def words(self) -> str:
        """`1,020 requests, about 2 min at 9.8 a second (the whole budget).`"""
        share = "the whole budget"
        if self.others:
            share = f"a fair share beside {self.others} other store{'s' * (self.others > 1)}"
        return (
            f"{self.requests:,} requests, about {duration(self.requests / self.per_second)} at"
            f" {self.per_second:.1f} a second ({share})."
        )


def plan(
    found: Services,
    known: Store,
    names: Sequence[str],
    *,
    days: operations.Days,
    stop: Stop | None = None,
) -> Plan:
    """Ask an account how long its lists are, those named or all that are mirrored; queue nothing.

    A request for each list, which `stop` ends early.
    """
    with reading(found.engine) as connection:
        chosen = operations.wanted(connection, known, names)
        mirrored = mirrored_rows(connection, known.id)
        others = _others_at_work(connection, known.id)
    api = asking(found, found.account(known), store_id=known.id)
    api.stop = stop or api.stop
    days = (days[0] or known.since, days[1])
    lines = estimates(api, known.chosen_sites, chosen, days=days, mirrored=mirrored)
    return Plan(lines, found.settings.rate_limit * USED_SHARE / (others + 1), others)


def estimates(
    api: Session,
    sites: Sequence[str] | None,
    chosen: Iterable[Resource],
    *,
    days: tuple[dt.date | None, dt.date | None],
    mirrored: Mapping[str, int],
) -> list[Estimate]:
    """Return the cost of each resource, of these sites or of all.

    `mirrored` are live rows by resource, for those whose parents are not chosen.
    """
    found: list[Estimate] = []
    for each in chosen:
        found.append(_estimate(api, sites, each, days, before=found, mirrored=mirrored))
    return found


def _estimate(
    api: Session,
    sites: Sequence[str] | None,
    resource: Resource,
    days: tuple[dt.date | None, dt.date | None],
    *,
    before: Sequence[Estimate],
    mirrored: Mapping[str, int],
) -> Estimate:
    if resource.parent is not None:
        # One request for every live record of another resource.
        parent = resource.parent.resource
        parents = next((each.records for each in before if each.resource == parent), None)
        if parents is None:
            parents = mirrored.get(parent, 0)
        return Estimate(resource.name, 0, parents, f"a request for each of {parent}")
    if isinstance(resource.listing, SinglePage):
        return Estimate(resource.name, 0, 1, "not paged")
    params: dict[str, object] = {**dict(resource.params), "limit": 20}
    chosen: dict[str, object] = {}
    note = ""
    if isinstance(resource.listing, DateWindows):
        filters = (resource.listing.first, resource.listing.last)
        chosen = {f: d.isoformat() for f, d in zip(filters, days, strict=True) if d is not None}
    elif any(days):
        note = "read whole: it has no creation days"
    if sites is not None and resource.has_site:
        chosen["sites"] = list(sites)
    if chosen:
        params["filter"] = chosen
    try:
        total = api.ask(resource.path, params, priority=Priority.WALK).pagination.total
    except (Forbidden, Refused) as error:
        return Estimate(resource.name, 0, 0, f"cannot be read: {error}")
    except UnexpectedData:
        return Estimate(resource.name, 0, 1, "tells no total")
    pages = max(1, math.ceil(total / resource.page_size))
    if resource.is_followed and isinstance(resource.listing, DateWindows) and total > WINDOW_MAX:
        note = "newest first"
    return Estimate(resource.name, total, pages + _beside_pages(resource, total, pages), note)


def _beside_pages(resource: Resource, total: int, pages: int) -> int:
    """Return the requests of a load that bring no page, and the pages that are not full."""
    if resource.is_history:
        # A start and a page not full for each slice; the first one's is the history's.
        return BOOKMARK + 2 * (slices_of(total) - 1)
    if resource.is_followed:
        # Cutting it takes two requests, and the last page of each window is not full.
        is_cut = isinstance(resource.listing, DateWindows) and total > WINDOW_MAX
        return PROOFS + (2 + parts_of(total) // 2 if is_cut else 0)
    return int(pages > 1)  # the total asked for again after a pass


def mirrored_rows(connection: sa.Connection, store_id: int) -> dict[str, int]:
    """Return the number of live rows by resource."""
    rows = connection.execute(
        sa.text("SELECT resource, mirrored FROM sync.coverage WHERE store_id = :store"),
        {"store": store_id},
    )
    return {row.resource: row.mirrored for row in rows}


def _others_at_work(connection: sa.Connection, store_id: int) -> int:
    """Return the number of other stores that read lists now, which share the budget."""
    return int(
        connection.execute(
            sa.text(
                "SELECT count(DISTINCT store_id) FROM sync.crawl"
                " WHERE state IN ('pending', 'running') AND store_id <> :store"
                " AND kind <> 'refresh'"
            ),
            {"store": store_id},
        ).scalar_one()
    )
