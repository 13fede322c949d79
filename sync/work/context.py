"""The state of a slice of work: the store, Postgres, the API, the lease and the deadline."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Any

import sqlalchemy as sa

from sync import failpoints
from sync.crm import Stop
from sync.database.engine import Transaction, reading, repeated, writing
from sync.declare import Resource
from sync.declare.moments import Zone, utc_of_local, zone_of
from sync.records.normalise import Batch, Normaliser, Row
from sync.state import clock, diagnostics, lanes
from sync.state.lanes import OVER_SECONDS, SLICE_SECONDS, STOP_SECONDS, Lease
from sync.state.stores import Store
from sync.telemetry import counted, log
from sync.work.fit import PageFit
from sync.work.session import Session


@dataclass
class Context:
    """One slice of work on one (store, resource, lane), by the holder of its lease."""

    engine: sa.Engine
    store: Store
    resources: Mapping[str, Resource]
    api: Session
    lease: Lease
    stop: Stop = field(default_factory=Event)
    monotonic: Callable[[], float] = time.monotonic
    deadline: float = 0.0
    feed_seconds: float = 15.0
    requests_per_second: float = 10.0
    answering: set[str] = field(default_factory=set)
    """Resources whose method for one record has returned one in this slice."""
    analysed: set[Resource] = field(default_factory=set)
    """Resources whose tables have statistics, as far as this slice has looked."""
    _normalisers: dict[str, Normaliser] = field(default_factory=dict)
    _stopped_at: float | None = None
    _fits: dict[str, PageFit] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.deadline:
            self.deadline = self.monotonic() + SLICE_SECONDS

    @property
    def resource(self) -> Resource:
        """The resource of the lease."""
        return self.resources[self.lease.resource]

    @property
    def zone(self) -> Zone:
        """The store's time zone."""
        return zone_of(self.store.zone)

    @property
    def is_over(self) -> bool:
        """True when the slice has to hand over at the next page boundary."""
        return self.stop.is_set() or self.monotonic() >= self.deadline

    def cut(self, since_sent: float, has_begun: bool) -> str | None:
        """Return why an answer that is being read is to be cut, None while there is time for it.

        One that has not begun may be of a slow account: past the slice's end it has as long to
        begin as any other.
        """
        now = self.monotonic()
        if self.stop.is_set():
            self._stopped_at = self._stopped_at or now
            if now - self._stopped_at >= STOP_SECONDS:
                return "the worker ends"
        if has_begun and min(since_sent, now - self.deadline) > OVER_SECONDS:
            return "its slice is over"
        return None

    def now(self) -> dt.datetime:
        """Return the time of Postgres's clock."""
        with self.reading() as connection:
            return clock.now(connection)

    def draw(self) -> dt.datetime:
        """Draw the store's next `as_of`, in UTC."""
        return clock.draw(self.engine, self.store.id)

    def normalise(
        self,
        resource: Resource,
        records: list[Any],
        *,
        as_of: dt.datetime,
        parent: Any = None,
        repeats: Mapping[str, int] | None = None,
        from_raw: bool = False,
    ) -> Batch:
        """Convert records of a request sent at `as_of` to rows, in the store's zone."""
        normaliser = self._normalisers.get(resource.name)
        if normaliser is None:
            normaliser = Normaliser(resource, self.zone, self.store.zone)
            self._normalisers[resource.name] = normaliser
        return normaliser.batch(
            records, as_of=as_of, parent=parent, repeats=repeats, from_raw=from_raw
        )

    def moment(self, text: object) -> dt.datetime | None:
        """Convert a local date-time as sent to UTC; None when it cannot be read."""
        try:
            return utc_of_local(text, self.zone) if isinstance(text, str) else None
        except ValueError:
            return None

    def is_wanted(self, row: Row) -> bool:
        """Tell whether a row belongs to a mirrored site."""
        sites = self.store.chosen_sites
        return sites is None or "site" not in row.values or row.values["site"] in sites

    def fit(self, resource: Resource) -> PageFit:
        """Return the size in which a list's pages are asked for."""
        made = PageFit(self.engine, self.store.id, resource)
        return self._fits.setdefault(resource.name, made)

    def history_of(self, resource: Resource) -> Resource:
        """Return the history that a followed resource is followed by."""
        return self.resources[resource.history]

    def target_of(self, history: Resource) -> Resource:
        """Return the resource whose changes a history reports."""
        return self.resources[history.target]

    def keep_notes(
        self,
        connection: sa.Connection,
        resource: Resource,
        batch: Batch,
        *,
        from_raw: bool = False,
    ) -> None:
        """Keep a batch's unknown fields and rejected values.

        Call it after the rows were loaded: for erased persons no value is kept. `from_raw`: the
        records are our own, and values removed from them before are noted nowhere else.
        """
        masked = {str(row.key) for row in batch.rows if row.masked}
        if masked:
            batch.unknown = {}
            batch.rejects = [
                replace(reject, value="") if reject.record in masked else reject
                for reject in batch.rejects
            ]
        diagnostics.keep_unknown(connection, self.store.id, resource.name, batch.unknown)
        diagnostics.keep_rejects(
            connection,
            self.store.id,
            resource.name,
            rejects=batch.rejects,
            read=[str(row.key) for row in batch.rows],
            from_raw=from_raw,
        )

    def reading(self) -> AbstractContextManager[sa.Connection]:
        """Open a transaction that may only read."""
        return reading(self.engine)

    def attempts(self) -> Iterator[Transaction]:
        """Yield write transactions that hold the lease until one commits (engine.py: attempts).

        The transaction is repeated after a deadlock, because its pages have used up requests.
        """
        return repeated(self._fenced)

    @contextmanager
    def _fenced(self) -> Iterator[sa.Connection]:
        """Open a transaction that holds the lease: its writes are fenced, all or nothing."""
        failpoints.point("before_commit")
        before, began = counted(), self.monotonic()
        with writing(self.engine) as connection:
            lanes.hold(connection, self.lease, zone=self.store.zone)
            yield connection
            failpoints.point("in_transaction")
            lanes.commit(connection, self.lease)
        now = counted()
        if now.rows > before.rows:
            log(store=self.store.name, resource=self.lease.resource, lane=self.lease.lane).debug(
                "commit",
                rows=now.rows - before.rows,
                changed=now.changed - before.changed,
                elapsed_seconds=round(self.monotonic() - began, 3),
            )
        failpoints.point("after_commit")
