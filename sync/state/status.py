"""The figures of `status`: every resource of every store, its progress, its troubles in words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from sync.state import feeds, stores
from sync.state.stores import Store

_ROWS = sa.text(
    """
    SELECT v.store_id, v.resource, v.state, v.expected, v.mirrored, v.complete_as_of,
        c.rejects, c.unavailable, c.approval, c.every_seconds, c.feed,
        extract(epoch FROM clock_timestamp() - f.head_at) AS lag_seconds,
        extract(epoch FROM clock_timestamp() - v.complete_as_of) AS age_seconds,
        l.error, l.parked_at IS NOT NULL AS parked,
        extract(epoch FROM clock_timestamp() - l.failing_since) AS failing_seconds,
        w.kind, w.phase, w.pages_planned, w.pages_done, w.rows_seen,
        extract(epoch FROM clock_timestamp() - w.started_at) AS working_seconds,
        d.detail AS doubt, d.since AS doubt_since, d.others AS other_doubts,
        x.rounds, extract(epoch FROM clock_timestamp() - x.fruitless_since) AS fruitless_seconds,
        r.unread, r.unread_ids, r.unread_error
    FROM crm.coverage AS v
    JOIN sync.coverage AS c ON c.store_id = v.store_id AND c.resource = v.resource
    LEFT JOIN sync.feed AS f ON f.store_id = c.store_id AND f.resource = c.feed
    LEFT JOIN LATERAL (
        SELECT error, parked_at, failing_since FROM sync.lane
        WHERE store_id = c.store_id AND resource = c.resource
        ORDER BY parked_at IS NULL, failing_since IS NULL, failing_since LIMIT 1
    ) AS l ON true
    LEFT JOIN LATERAL (
        SELECT kind, phase, pages_planned, pages_done, rows_seen, started_at FROM sync.crawl
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
    """The crawl that works on a resource, and its progress."""

    kind: str
    phase: str
    pages_planned: int
    pages_done: int
    rows: int
    seconds: float | None

    @property
    def left_seconds(self) -> float | None:
        """The estimated time for the rest at the pace so far; None when there is no estimate."""
        if not self.seconds or not self.pages_done or self.pages_planned <= self.pages_done:
            return None
        return self.seconds / self.pages_done * (self.pages_planned - self.pages_done)


@dataclass(frozen=True, slots=True)
class ResourceStatus:
    """A line of `status`: one resource of a store."""

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


@dataclass(frozen=True, slots=True)
class Trouble:
    """A problem that a person has to act on. `resource` is empty for the store as a whole."""

    resource: str
    text: str


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """A store with its resources, in the order they are declared, and its lateness bound."""

    store: Store
    resources: list[ResourceStatus] = field(default_factory=list)
    lateness_seconds: float = feeds.LATENESS_SECONDS

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
    def needs_attention(self) -> bool:
        """True when a person has something to do."""
        return any(each.state == "attention" for each in self.resources) or (
            self.store.enabled and self.store.error is not None
        )

    @property
    def troubles(self) -> list[Trouble]:
        """The problems a person has to act on: the store's if it has one, else the resources'."""
        if not self.store.enabled:
            return []
        if self.store.error is not None:
            return [Trouble("", self.store.error)]
        return [
            Trouble(line.resource, line.error or "needs attention")
            for line in self.resources
            if line.state == "attention"
        ]


def statuses(
    connection: sa.Connection, found: Sequence[Store], *, order: Sequence[str]
) -> list[StoreStatus]:
    """Return the status of the given stores; `order` are the resources' names as declared."""
    rows = connection.execute(_ROWS, {"ids": [store.id for store in found]}).all()
    place = {name: number for number, name in enumerate(order)}
    told = {
        store.id: StoreStatus(store, lateness_seconds=feeds.lateness_seconds(connection, store.id))
        for store in found
    }
    for row in sorted(rows, key=lambda r: place.get(r.resource, len(place))):
        if row.resource in place:
            told[row.store_id].resources.append(_status(told[row.store_id].store, row))
    return list(told.values())


def _status(store: Store, row: sa.Row[tuple[object, ...]]) -> ResourceStatus:
    is_off = row.state == "disabled"
    progress = None
    if row.kind is not None and not is_off:
        seconds = None if row.working_seconds is None else float(row.working_seconds)
        progress = Progress(
            row.kind, row.phase, row.pages_planned, row.pages_done, row.rows_seen, seconds
        )
    return ResourceStatus(
        resource=row.resource,
        state=row.state,
        expected=row.expected,
        mirrored=row.mirrored,
        complete_as_of=row.complete_as_of,
        lag_seconds=None if row.lag_seconds is None or is_off else round(float(row.lag_seconds), 1),
        rejects=row.rejects,
        error=None if is_off else _error(store, row),
        parked=bool(row.parked) and not is_off,
        progress=progress,
    )


def _error(store: Store, row: sa.Row[tuple[object, ...]]) -> str | None:
    """Return what is wrong and what to do next, in words; None when nothing is."""
    if row.unavailable:
        return str(row.unavailable)
    if store.error:
        return store.error
    if row.approval:
        return str(row.approval)
    if row.parked:
        return f"{row.error}; then: celery -A sync mirror retry {store.name} {row.resource}"
    if row.failing_seconds is not None:
        minutes = float(row.failing_seconds) / 60
        return f"{row.error}; failing for {minutes:.0f} min, it is tried again by itself"
    if row.unread:
        also = f" and {row.unread - 5} more" if row.unread > 5 else ""
        return (
            f"cannot be had, while all else goes on: {row.unread_ids}{also} ({row.unread_error});"
            " requested again by itself, less and less often"
        )
    if row.doubt:
        return _doubt(store, row)
    if store.hidden_words and row.complete_as_of and row.complete_as_of <= store.hidden_as_of:
        return store.hidden_words
    if row.state == "attention":
        hours = float(row.age_seconds or 0) / 3600
        return (
            f"last read whole {hours:.1f} h ago, due every {row.every_seconds / 3600:g} h: "
            "does a worker and beat run?"
        )
    return None


def _doubt(store: Store, row: sa.Row[tuple[object, ...]]) -> str:
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
    return [store for store in stores.every(connection) if store.api_key]


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
