"""The figures of `status`: every resource of every store, its progress, its troubles in words.

`sync/verdict.py` judges them; `sync/work/outlook.py` adds what is known of the servers.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from sync.forecast import Way, together
from sync.resources import RESOURCES
from sync.state import feeds, paces, stores
from sync.state.stores import Store
from sync.verdict import Need, StoreFacts, Trouble

_ROWS = sa.text(
    """
    SELECT v.store_id, v.resource, v.state, v.expected, v.mirrored, v.complete_as_of,
        c.rejects, c.unavailable, c.approval, c.every_seconds, c.feed,
        extract(epoch FROM clock_timestamp() - f.head_at) AS lag_seconds,
        extract(epoch FROM clock_timestamp() - v.complete_as_of) AS age_seconds,
        l.error, l.parked_at IS NOT NULL AS parked, l.at,
        extract(epoch FROM clock_timestamp() - l.failing_since) AS failing_seconds,
        w.kind, w.phase, w.pages_planned, w.pages_done, w.pages_expected, w.rows_seen,
        extract(epoch FROM clock_timestamp() - w.started_at) AS working_seconds,
        d.detail AS doubt, d.since AS doubt_since, d.others AS other_doubts,
        x.rounds, extract(epoch FROM clock_timestamp() - x.fruitless_since) AS fruitless_seconds,
        r.unread, r.unread_ids, r.unread_error
    FROM crm.coverage AS v
    JOIN sync.coverage AS c ON c.store_id = v.store_id AND c.resource = v.resource
    LEFT JOIN sync.feed AS f ON f.store_id = c.store_id AND f.resource = c.feed
    LEFT JOIN LATERAL (
        -- A list is stuck with the history that it is followed by.
        SELECT error, parked_at, failing_since, resource AS at FROM sync.lane
        WHERE store_id = c.store_id AND (resource = c.resource
            OR (v.state = 'attention' AND resource = c.feed AND lane = 'feed'))
        ORDER BY parked_at IS NULL, failing_since IS NULL, failing_since LIMIT 1
    ) AS l ON true
    LEFT JOIN LATERAL (
        SELECT kind, phase, pages_planned, pages_done, pages_expected, rows_seen, started_at
        FROM sync.crawl
        WHERE store_id = c.store_id AND resource = c.resource AND state IN ('pending', 'running')
        ORDER BY asked_by <> 'operator', id LIMIT 1
    ) AS w ON true
    LEFT JOIN LATERAL (
        SELECT (array_agg(detail ORDER BY since, id))[1] AS detail, min(since) AS since,
            count(*) - 1 AS others FROM sync.doubt
        WHERE store_id = c.store_id AND resource = c.resource AND accepted_at IS NULL
        HAVING count(*) > 0
    ) AS d ON true
    LEFT JOIN LATERAL (
        SELECT rounds, fruitless_since FROM sync.crawl
        WHERE store_id = c.store_id AND resource = c.resource AND state IN ('pending', 'running')
            AND fruitless_since IS NOT NULL ORDER BY fruitless_since LIMIT 1
    ) AS x ON true
    LEFT JOIN LATERAL (
        SELECT count(*) AS unread, array_to_string((array_agg(id
                ORDER BY failing_since, id))[1:5], ', ') AS unread_ids,
            (array_agg(error ORDER BY failing_since, id))[1] AS unread_error FROM sync.reread
        WHERE store_id = c.store_id AND resource = c.resource AND failing_since IS NOT NULL
        HAVING count(*) > 0
    ) AS r ON true
    WHERE v.store_id = ANY(:ids)
    """
)


@dataclass(frozen=True, slots=True)
class Progress:
    """The crawl that works on a resource, and its progress.

    `total` is the number of pages there are as far as is known, 0 for unknown; `per_second` the
    pages a second of late, None before the first sample.
    """

    kind: str
    phase: str
    pages_planned: int
    pages_done: int
    rows: int
    seconds: float | None
    total: int = 0
    per_second: float | None = None

    @property
    def way(self) -> Way:
        """Pages done, pages there are, and the pace: that of late, else the mean so far."""
        mean = self.pages_done / self.seconds if self.seconds and self.pages_done else None
        total = self.total or self.pages_planned
        return Way(self.pages_done, total or None, self.per_second or mean)

    @property
    def left_seconds(self) -> float | None:
        """The estimated time for the rest; None when there is no estimate."""
        way = self.way
        if not self.seconds or not way.total or way.total <= way.done:
            return None
        return way.left_seconds


def pages_there_are(resource: str, row: Any, *, expected: Mapping[str, int | None]) -> int:
    """Return the number of pages that a crawl has to read as far as is known, 0 for unknown.

    `row` is one of sync.crawl, `expected` the records of each list of the store. What has been read
    to its end has as many pages as were read, whatever was planned.
    """
    if row.phase not in {"plan", "walk"}:
        return int(row.pages_done)
    planned = max(int(row.pages_planned), int(row.pages_expected or 0))
    declared = RESOURCES.get(resource)
    if not planned and declared is not None:
        of = resource if declared.parent is None else declared.parent.resource
        records = expected.get(of)
        size = 1 if declared.parent is not None else declared.page_size
        planned = 0 if records is None else math.ceil(records / size)
    return max(planned, int(row.pages_done)) if planned else 0


@dataclass(frozen=True, slots=True)
class ResourceStatus:
    """A line of `status`: one resource of a store. `need` says who looks at `error`, and how soon.

    `reason` is what others that fail alike may share with it.
    """

    resource: str
    state: str
    expected: int | None
    mirrored: int
    complete_as_of: dt.datetime | None
    lag_seconds: float | None
    rejects: int
    error: str | None
    parked: bool = False
    progress: Progress | None = None
    need: Need | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """A store with its resources, in the order they are declared, and its lateness bound.

    `load` is its first load as a whole, None when there is none.
    """

    store: Store
    resources: list[ResourceStatus] = field(default_factory=list)
    lateness_seconds: float = feeds.LATENESS_SECONDS
    load: Way | None = None

    @property
    def lateness_words(self) -> str:
        """The reason why claims are older than usual, for people; "" where they are not."""
        bound = self.lateness_seconds
        if bound <= feeds.LATENESS_SECONDS:
            return ""
        return (
            f"Its history tells changes late (lateness bound {bound:,.0f} s): by design coverage is"
            f" {bound:,.0f} s old, {2 * bound:,.0f} s while the account is busy"
        )

    @property
    def stopped_words(self) -> str:
        """Age of a disabled store's rows, for people; "" where it is enabled."""
        if self.store.enabled:
            return ""
        known = [line.complete_as_of for line in self.resources if line.complete_as_of]
        of = f"of {max(known):%Y-%m-%d %H:%M} UTC at the latest" if known else "incomplete"
        return f"its rows are {of}, and no longer updated"

    @property
    def needs_attention(self) -> bool:
        """True when it is not well: a person has something to do, or something keeps failing."""
        return any(each.state == "attention" for each in self.resources) or (
            self.store.enabled and self.store.error is not None
        )

    @property
    def troubles(self) -> list[Trouble]:
        """The troubles: the store's as a whole if it has one, else its resources'."""
        if not self.store.enabled:
            return []
        if self.store.error is not None:
            return [Trouble("", self.store.error, Need.STOPPED, self.store.error)]
        return [
            Trouble(
                line.resource,
                line.error or "needs attention",
                line.need or Need.FAILING,
                line.reason,
            )
            for line in self.resources
            if line.state == "attention"
        ]

    @property
    def lag_seconds(self) -> float | None:
        """The longest lag of its feeds; None where it has none."""
        lags = [line.lag_seconds for line in self.resources if line.lag_seconds is not None]
        return max(lags, default=None)

    @property
    def rows(self) -> int:
        """Live rows of all its resources."""
        return sum(line.mirrored for line in self.resources)

    @property
    def wanted(self) -> list[ResourceStatus]:
        """The resources that it mirrors and that its key gives."""
        return [each for each in self.resources if each.state not in {"disabled", "unavailable"}]

    @property
    def complete(self) -> int:
        """The number of those that are proven complete as of some moment."""
        return sum(line.complete_as_of is not None for line in self.wanted)

    @property
    def facts(self) -> StoreFacts:
        """The facts that the verdict on the service is made from."""
        return StoreFacts(
            self.store.name,
            self.store.enabled,
            self.troubles,
            self.load,
            len(self.wanted),
            self.rows,
            self.lag_seconds,
        )


def state_of(each: StoreStatus, *, is_down: bool = False) -> str:
    """Return the state of a store in a word; none is well while the service is down."""
    if not each.store.enabled:
        return "disabled"
    if each.store.error is not None:
        return "stopped"
    if troubles := each.troubles:
        return "attention" if any(t.need.is_for_a_person for t in troubles) else "failing"
    if is_down:
        return "waits"
    return "loading" if each.load is not None else "well"


def by_need(told: Sequence[StoreStatus]) -> list[StoreStatus]:
    """Sort stores: what a person has to see first, then what loads, then the well, by name."""

    def key(each: StoreStatus) -> tuple[int, str]:
        needs = [trouble.need for trouble in each.troubles]
        if needs:
            return min(needs), each.store.name
        return (100 if each.load else 101 if each.store.enabled else 102), each.store.name

    return sorted(told, key=key)


ORDER = ("attention", "loading", "pending", "following", "fresh", "unavailable", "disabled")
"""States of resources in the order a person wants to see them."""


def trouble_first(lines: Sequence[ResourceStatus]) -> list[ResourceStatus]:
    """Sort resources: those in trouble, those at work, then as declared."""
    place = {state: number for number, state in enumerate(ORDER)}
    return sorted(
        lines, key=lambda r: (place.get(r.state, 0), not (r.error or r.progress), r.need or 99)
    )


def statuses(
    connection: sa.Connection, found: Sequence[Store], *, order: Sequence[str]
) -> list[StoreStatus]:
    """Return the status of the given stores; `order` are the resources' names as declared."""
    ids = [store.id for store in found]
    rows = connection.execute(_ROWS, {"ids": ids}).all()
    place = {name: number for number, name in enumerate(order)}
    expected: dict[int, dict[str, int | None]] = defaultdict(dict)
    for row in rows:
        expected[row.store_id][row.resource] = row.expected or row.mirrored or None
    pace = paces.per_second(connection, ids)
    loads = _loads(connection, ids, expected, pace)
    told = {
        store.id: StoreStatus(
            store,
            lateness_seconds=feeds.lateness_seconds(connection, store.id),
            load=loads.get(store.id) if store.enabled else None,
        )
        for store in found
    }
    for row in sorted(rows, key=lambda r: place.get(r.resource, len(place))):
        if row.resource in place:
            mine = told[row.store_id]
            progress = _progress(row, expected[row.store_id], pace)
            mine.resources.append(_status(mine.store, row, progress))
    return list(told.values())


def _loads(
    connection: sa.Connection,
    ids: list[int],
    expected: Mapping[int, Mapping[str, int | None]],
    pace: Mapping[tuple[int, str], float],
) -> dict[int, Way]:
    """Return the first loads that are not over; a list of which nothing is known is a page."""
    ways: dict[int, list[Way]] = defaultdict(list)
    for store, row in paces.of_loads(connection, ids):
        if row.state == "done":
            total = row.pages_done
        else:
            total = pages_there_are(row.resource, row, expected=expected[store]) or 1
        ways[store].append(Way(row.pages_done, max(total, row.pages_done)))
    return {
        store: together(found, per_second=pace.get((store, ""))) for store, found in ways.items()
    }


def _progress(
    row: Any, expected: Mapping[str, int | None], pace: Mapping[tuple[int, str], float]
) -> Progress | None:
    if row.kind is None or row.state == "disabled":
        return None
    return Progress(
        row.kind,
        row.phase,
        row.pages_planned,
        row.pages_done,
        row.rows_seen,
        None if row.working_seconds is None else float(row.working_seconds),
        pages_there_are(row.resource, row, expected=expected),
        pace.get((row.store_id, row.resource)),
    )


def _status(
    store: Store, row: sa.Row[tuple[object, ...]], progress: Progress | None
) -> ResourceStatus:
    is_off = row.state == "disabled"
    wrong = None if is_off else _wrong(store, row)
    return ResourceStatus(
        resource=row.resource,
        state=row.state,
        expected=row.expected,
        mirrored=row.mirrored,
        complete_as_of=row.complete_as_of,
        lag_seconds=None if row.lag_seconds is None or is_off else round(float(row.lag_seconds), 1),
        rejects=row.rejects,
        error=None if wrong is None else wrong.text,
        parked=bool(row.parked) and not is_off,
        progress=progress,
        need=None if wrong is None else wrong.need,
        reason="" if wrong is None else wrong.reason,
    )


def _wrong(store: Store, row: Any) -> Trouble | None:
    """Return what is wrong and what to do next, in words; None when nothing is."""

    def trouble(need: Need, text: str, reason: str = "") -> Trouble:
        return Trouble(row.resource, text, need, reason or text)

    if row.unavailable:
        return trouble(Need.HIDDEN, str(row.unavailable))
    if store.error:
        return trouble(Need.STOPPED, store.error)
    if row.approval:
        return trouble(Need.APPROVAL, str(row.approval))
    if row.parked:
        retry = f"celery -A sync mirror retry {store.name} {row.at}"
        return trouble(Need.PARKED, f"{row.error}; then: {retry}", str(row.error))
    if row.failing_seconds is not None:
        minutes = float(row.failing_seconds) / 60
        text = f"{row.error}; failing for {minutes:.0f} min, it is tried again by itself"
        return trouble(Need.FAILING, text, str(row.error))
    if row.unread:
        also = f" and {row.unread - 5} more" if row.unread > 5 else ""
        return trouble(
            Need.UNREAD,
            f"cannot be had, while all else goes on: {row.unread_ids}{also} ({row.unread_error});"
            " requested again by itself, less and less often",
        )
    if row.doubt:
        need = Need.UNREAD if row.fruitless_seconds is None else Need.DOUBT
        return trouble(need, _doubt(store, row))
    if store.hidden_words and row.complete_as_of and row.complete_as_of <= store.hidden_as_of:
        return trouble(Need.HIDDEN, store.hidden_words)
    if row.state == "attention":
        hours = float(row.age_seconds or 0) / 3600
        return trouble(
            Need.OVERDUE,
            f"last read whole {hours:.1f} h ago, due every {row.every_seconds / 3600:g} h: "
            "does a worker and beat run?",
            "lists were not read for longer than their interval: does a worker and beat run?",
        )
    return None


def _doubt(store: Store, row: Any) -> str:
    """Describe a doubt, how often it was compared in vain, and the way out."""
    also = f", and {row.other_doubts} more" if row.other_doubts else ""
    text = f"in doubt since {row.doubt_since:%Y-%m-%d %H:%M} UTC: {row.doubt}{also}"
    if row.fruitless_seconds is None:
        return f"{text}; it is compared by itself"
    hours = float(row.fruitless_seconds) / 3600
    return (
        f"{text}; {row.rounds} rounds in {hours:.1f} h found nothing: if it cannot be mended, "
        f"celery -A sync mirror accept {store.name} {row.resource}"
    )


def chosen(connection: sa.Connection, name: str | None) -> list[Store]:
    """Return one store, or all that were not removed."""
    if name is not None:
        return [stores.by_name(connection, name)]
    return [store for store in stores.every(connection) if store.sealed_under]


def consumed_seconds_ago(
    connection: sa.Connection, *, queue: str, host: str | None = None
) -> float | None:
    """Return how long ago a task of a queue ended, in any process or on `host`; None for never."""
    found = connection.execute(
        sa.text(
            "SELECT extract(epoch FROM clock_timestamp() - max(consumed_at)) FROM sync.heartbeat"
            " WHERE queue = :queue AND (cast(:host AS text) IS NULL"
            " OR process LIKE replace(:host, '_', '\\_') || ':%')"
        ),
        {"queue": queue, "host": host},
    ).scalar()
    return None if found is None else float(found)
