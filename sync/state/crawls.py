"""Crawls: queued, carried on, ended; their progress is written in the transaction of the rows."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from sync.crawl import WHOLE, Days
from sync.crm import Priority
from sync.database.identifiers import crm_name
from sync.declare import Resource
from sync.schema.crawls import CRAWL
from sync.state import doubts, feeds, lanes
from sync.state.declared import DECLARED


@dataclass(slots=True)
class Crawl:
    """A row of `sync.crawl`.

    `rounds` counts the last rounds without a result; `report` holds the values kept by `note`.
    """

    id: int
    store_id: int
    resource: str
    kind: str
    asked_by: str
    days: Days
    deep: bool
    phase: str
    state: str
    rounds: int
    started_at: dt.datetime | None
    report: dict[str, Any]

    @property
    def priority(self) -> Priority:
        """The class in which its requests queue."""
        return Priority.RECONCILE if self.kind == "reconcile" else Priority.WALK


def next_crawl(connection: sa.Connection, store_id: int, resource: str) -> Crawl | None:
    """Return the open crawl to work on: a rebuild first, then an operator's, then the oldest.

    None when there is none, or each has to wait.
    """
    row = connection.execute(
        sa.select(CRAWL)
        .where(
            CRAWL.c.store_id == store_id,
            CRAWL.c.resource == resource,
            CRAWL.c.state.in_(("pending", "running")),
            sa.or_(CRAWL.c.not_before.is_(None), CRAWL.c.not_before <= sa.func.clock_timestamp()),
        )
        .order_by(CRAWL.c.kind != "rebuild", CRAWL.c.asked_by != "operator", CRAWL.c.id)
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    return Crawl(
        id=row.id,
        store_id=row.store_id,
        resource=row.resource,
        kind=row.kind,
        asked_by=row.asked_by,
        days=Days(row.since, row.until),
        deep=row.deep,
        phase=row.phase,
        state=row.state,
        rounds=row.rounds,
        started_at=row.started_at,
        report=row.report or {},
    )


def next_due(connection: sa.Connection, store_id: int, resource: str) -> dt.datetime | None:
    """Return when the first open crawl may be worked on; None when none is open."""
    found: dt.datetime | None = connection.execute(
        sa.text(
            "SELECT min(coalesce(not_before, asked_at)) FROM sync.crawl WHERE store_id = :store"
            " AND resource = :resource AND state IN ('pending', 'running')"
        ),
        {"store": store_id, "resource": resource},
    ).scalar()
    return found


@dataclass(frozen=True, slots=True)
class Settled:
    """The moments when a list was last read whole, and last proven, or that was tried.

    A pass counts from its start even if it proved nothing (it waits for approval, its parents are
    older); otherwise it would be due again at once, for ever. A list read only by backfills had no
    attempt, and counts from the first backfill.
    """

    read_at: dt.datetime | None
    proven_at: dt.datetime | None


def settled(connection: sa.Connection, store_id: int, resource: str) -> Settled:
    """Return the moments from which the schedule counts."""
    row = connection.execute(
        sa.text(
            "SELECT greatest(c.complete_as_of, max(w.started_at) FILTER"
            " (WHERE w.kind IN ('load', 'refresh') AND w.state = 'done')) AS read_at,"
            " coalesce(greatest(c.proven_at, max(w.finished_at) FILTER"
            " (WHERE w.kind IN ('load', 'reconcile'))), min(w.finished_at) FILTER"
            " (WHERE w.kind = 'backfill')) AS proven_at"
            " FROM sync.coverage AS c LEFT JOIN sync.crawl AS w"
            " ON w.store_id = c.store_id AND w.resource = c.resource"
            " WHERE c.store_id = :store AND c.resource = :resource"
            " GROUP BY c.complete_as_of, c.proven_at"
        ),
        {"store": store_id, "resource": resource},
    ).one()
    return Settled(row.read_at, row.proven_at)


def wait(
    connection: sa.Connection,
    crawl: Crawl,
    *,
    seconds: float,
    phase: str | None = None,
    rounds: int = 0,
) -> None:
    """Postpone a crawl by `seconds`. `rounds` in a row ended without a result, 0 for none."""
    crawl.phase = phase or crawl.phase
    connection.execute(
        sa.text(
            "UPDATE sync.crawl SET phase = :phase, rounds = :rounds,"
            " not_before = clock_timestamp() + make_interval(secs => :seconds), fruitless_since ="
            " CASE WHEN :rounds > 0 THEN coalesce(fruitless_since, now()) END WHERE id = :id"
        ),
        {"id": crawl.id, "seconds": seconds, "phase": crawl.phase, "rounds": rounds},
    )


def start_crawl(connection: sa.Connection, crawl: Crawl) -> None:
    """Note that work on a crawl has begun."""
    crawl.started_at = connection.execute(
        sa.text(
            "UPDATE sync.crawl SET state = 'running', started_at = coalesce(started_at, now())"
            " WHERE id = :id AND state = 'pending' RETURNING started_at"
        ),
        {"id": crawl.id},
    ).scalar()


def set_phase(connection: sa.Connection, crawl: Crawl, phase: str) -> None:
    """Move a crawl to its next phase."""
    connection.execute(
        sa.text("UPDATE sync.crawl SET phase = :phase WHERE id = :id"),
        {"id": crawl.id, "phase": phase},
    )
    crawl.phase = phase


def loads_to_read(
    connection: sa.Connection, store_id: int, resources: Sequence[str], *, failing_seconds: float
) -> list[str]:
    """Return those of some resources whose first load has not read its list yet.

    Resources that are off or parked are left out, and those that have been failing for so long.
    """
    return list(
        connection.execute(
            sa.text(
                "SELECT DISTINCT w.resource FROM sync.crawl AS w JOIN sync.lane AS l"
                " ON l.store_id = w.store_id AND l.resource = w.resource AND l.lane = 'walk'"
                " WHERE w.store_id = :store AND w.resource = ANY(:resources) AND w.kind = 'load'"
                " AND w.state IN ('pending', 'running') AND w.phase IN ('plan', 'walk')"
                " AND l.enabled AND l.parked_at IS NULL AND coalesce(l.failing_since"
                " > clock_timestamp() - make_interval(secs => :failing), true)"
            ),
            {"store": store_id, "resources": list(resources), "failing": failing_seconds},
        ).scalars()
    )


def _exists(
    connection: sa.Connection, store_id: int, resource: str, which: str, **binds: object
) -> bool:
    """Tell whether a resource has a crawl; `which` is SQL about it, with its binds."""
    return bool(
        connection.execute(
            sa.text(
                "SELECT EXISTS (SELECT FROM sync.crawl"
                f" WHERE store_id = :store AND resource = :resource AND {which})"
            ),
            {"store": store_id, "resource": resource, **binds},
        ).scalar_one()
    )


def was_loaded(connection: sa.Connection, store_id: int, resource: str) -> bool:
    """Tell whether a load of a resource has ended before."""
    return _exists(connection, store_id, resource, "kind = 'load' AND state = 'done'")


def is_open(connection: sa.Connection, store_id: int, resource: str, *kinds: str) -> bool:
    """Tell whether a crawl of one of these kinds is pending or running."""
    which = "kind = ANY(:kinds) AND state IN ('pending', 'running')"
    return _exists(connection, store_id, resource, which, kinds=list(kinds))


def are_begun(connection: sa.Connection, store_id: int, resources: Sequence[str]) -> list[str]:
    """Return those of some resources of which some crawl has read, or reads, the list."""
    return list(
        connection.execute(
            sa.text(
                "SELECT DISTINCT resource FROM sync.crawl WHERE store_id = :store"
                " AND resource = ANY(:resources) AND phase <> 'plan'"
            ),
            {"store": store_id, "resources": list(resources)},
        ).scalars()
    )


def end_crawl(connection: sa.Connection, crawl: Crawl) -> None:
    """Mark a crawl done."""
    connection.execute(
        sa.text(
            "UPDATE sync.crawl SET state = 'done', phase = 'done', finished_at = now()"
            " WHERE id = :id"
        ),
        {"id": crawl.id},
    )
    crawl.phase = crawl.state = "done"


def count_pages(
    connection: sa.Connection,
    crawl: Crawl,
    *,
    pages: int = 0,
    planned: int = 0,
    seen: int = 0,
    changed: int = 0,
    requests: int = 0,
) -> None:
    """Add to a crawl's figures."""
    connection.execute(
        sa.text(
            "UPDATE sync.crawl SET pages_done = pages_done + :pages,"
            " pages_planned = pages_planned + :planned, rows_seen = rows_seen + :seen,"
            " rows_changed = rows_changed + :changed, requests = requests + :requests"
            " WHERE id = :id"
        ),
        {
            "id": crawl.id,
            "pages": pages,
            "planned": planned,
            "seen": seen,
            "changed": changed,
            "requests": requests,
        },
    )


def expect_pages(connection: sa.Connection, store_id: int, requests: Mapping[str, int]) -> None:
    """Note how many requests the open first loads of a store are expected to take."""
    connection.execute(
        sa.text(
            "UPDATE sync.crawl AS w SET pages_expected = n.requests FROM unnest("
            " cast(:resources AS text[]), cast(:requests AS bigint[])) AS n(resource, requests)"
            " WHERE w.store_id = :store AND w.resource = n.resource AND w.kind = 'load'"
            " AND w.state IN ('pending', 'running')"
        ),
        {
            "store": store_id,
            "resources": list(requests),
            "requests": list(requests.values()),
        },
    )


def note(connection: sa.Connection, crawl: Crawl, **values: object) -> None:
    """Keep values in a crawl's report, replacing those of the same names."""
    connection.execute(
        sa.text(
            "UPDATE sync.crawl SET report = coalesce(report, '{}'::jsonb) || cast(:new AS jsonb)"
            " WHERE id = :id"
        ),
        {"id": crawl.id, "new": json.dumps(values)},
    )
    crawl.report |= values


def add_report(connection: sa.Connection, crawl: Crawl, found: dict[str, int]) -> None:
    """Add to the numbers in a crawl's report."""
    for name, number in found.items():
        if not number:
            continue
        connection.execute(
            sa.text(
                "UPDATE sync.crawl SET report = jsonb_set(coalesce(report, '{}'::jsonb),"
                " ARRAY[:name], to_jsonb(coalesce((report ->> :name)::bigint, 0) + :number))"
                " WHERE id = :id"
            ),
            {"id": crawl.id, "name": name, "number": number},
        )


def begin_anew(connection: sa.Connection, crawl: Crawl) -> None:
    """Forget the progress of a crawl, so that it begins anew the next time."""
    connection.execute(
        sa.text("UPDATE sync.crawl SET report = NULL, phase = 'plan' WHERE id = :id"),
        {"id": crawl.id},
    )
    crawl.phase, crawl.report = "plan", {}


def queue_crawl(
    connection: sa.Connection,
    store_id: int,
    resource: str,
    *,
    kind: str,
    asked_by: str = "schedule",
    days: Days = WHOLE,
    deep: bool = False,
    after_seconds: float = 0.0,
) -> int:
    """Queue a crawl and make its lane due now; return the id of the crawl.

    The crawl begins `after_seconds` at the earliest.
    """
    crawl_id: int = connection.execute(
        sa.text(
            "INSERT INTO sync.crawl (store_id, resource, kind, asked_by, since, until, deep,"
            " not_before) VALUES (:store, :resource, :kind, :asked_by, :since, :until, :deep,"
            " clock_timestamp() + make_interval(secs => nullif(:after, 0))) RETURNING id"
        ),
        {
            "store": store_id,
            "resource": resource,
            "kind": kind,
            "asked_by": asked_by,
            "since": days.first,
            "until": days.last,
            "deep": deep,
            "after": after_seconds,
        },
    ).scalar_one()
    lanes.hasten(connection, (store_id, resource))
    return crawl_id


def queue_once(connection: sa.Connection, store_id: int, resource: str, *, kind: str) -> None:
    """Queue a crawl unless one of its kind is open."""
    if not is_open(connection, store_id, resource, kind):
        queue_crawl(connection, store_id, resource, kind=kind)


def queue_proof(connection: sa.Connection, store_id: int, resource: str, *, days: Days) -> None:
    """Queue a reconcile of the days that are mirrored, unless an open crawl will prove them."""
    same = (
        "kind IN ('load', 'reconcile') AND state IN ('pending', 'running')"
        " AND since IS NOT DISTINCT FROM cast(:first AS date)"
        " AND until IS NOT DISTINCT FROM cast(:last AS date)"
    )
    if not _exists(connection, store_id, resource, same, first=days.first, last=days.last):
        queue_crawl(connection, store_id, resource, kind="reconcile", days=days)


def queue_deep(
    connection: sa.Connection, store_id: int, resource: str, *, days: Days = WHOLE
) -> None:
    """Queue a deep reconcile of some days in doubt, unless one that has not begun covers them.

    It begins once lists show what raised the doubt (`doubts.lift`). If an earlier one does, what it
    leaves in doubt is queued at its end.
    """
    wider = (
        "kind = 'reconcile' AND deep AND state = 'pending'"
        " AND coalesce(since, '-infinity') <= coalesce(cast(:first AS date), '-infinity')"
        " AND coalesce(until, 'infinity') >= coalesce(cast(:last AS date), 'infinity')"
    )
    if not _exists(connection, store_id, resource, wider, first=days.first, last=days.last):
        queue_crawl(
            connection,
            store_id,
            resource,
            kind="reconcile",
            days=days,
            deep=True,
            after_seconds=feeds.lateness_seconds(connection, store_id),
        )


def queue_left(connection: sa.Connection, crawl: Crawl) -> None:
    """Queue a comparison of the days that a crawl leaves in doubt, raised too late for it."""
    if doubts.is_left_about(connection, crawl.store_id, crawl.resource, crawl.days):
        queue_deep(connection, crawl.store_id, crawl.resource, days=crawl.days)


def queue_loads(connection: sa.Connection, of: Sequence[tuple[int, str]], rows: str) -> None:
    """Queue first loads of some (store, resource); `rows` are the declarations."""
    if not of:
        return
    connection.execute(
        sa.text(
            f"""INSERT INTO sync.crawl (store_id, resource, kind, since)
            SELECT s.id, d.resource, 'load', CASE WHEN d.is_dated THEN s.since END
            FROM unnest(cast(:stores AS bigint[]), cast(:resources AS text[])) AS n(s, r)
            JOIN {DECLARED} ON d.resource = n.r JOIN sync.store AS s ON s.id = n.s
            ORDER BY s.id, d.resource"""
        ),
        {
            "stores": [store for store, _ in of],
            "resources": [name for _, name in of],
            "declared": rows,
        },
    )


def queue_rebuilds(connection: sa.Connection, of: Sequence[tuple[int, str]]) -> None:
    """Queue rebuilds of some (store, resource) and make their lanes due now."""
    if not of:
        return
    connection.execute(
        sa.text(
            "INSERT INTO sync.crawl (store_id, resource, kind) SELECT n.s, n.r, 'rebuild'"
            " FROM unnest(cast(:stores AS bigint[]), cast(:resources AS text[])) AS n(s, r)"
        ),
        {"stores": [store for store, _ in of], "resources": [name for _, name in of]},
    )
    lanes.hasten(connection, *of)


def begin_all_anew(connection: sa.Connection, store_id: int, resource: str) -> list[int]:
    """Have the open crawls of a resource planned anew, rebuilds excepted; return their ids."""
    return list(
        connection.execute(
            sa.text(
                "UPDATE sync.crawl SET phase = 'plan', report = NULL WHERE store_id = :store"
                " AND resource = :resource AND state IN ('pending', 'running')"
                " AND kind <> 'rebuild' RETURNING id"
            ),
            {"store": store_id, "resource": resource},
        ).scalars()
    )


def drop_open(connection: sa.Connection, store_id: int, resource: str | None = None) -> list[int]:
    """Drop the open crawls of a resource, or of a whole store; return their ids."""
    return list(
        connection.execute(
            sa.text(
                "UPDATE sync.crawl SET state = 'dropped', finished_at = now()"
                " WHERE store_id = :store AND resource = coalesce(:resource, resource)"
                " AND state IN ('pending', 'running') RETURNING id"
            ),
            {"store": store_id, "resource": resource},
        ).scalars()
    )


def cancellable(connection: sa.Connection, store_id: int, crawl_id: int) -> str | None:
    """Return the resource of an open crawl that a person asked for; None for any other one."""
    found: str | None = connection.execute(
        sa.text(
            "SELECT resource FROM sync.crawl WHERE id = :id AND store_id = :store"
            " AND asked_by = 'operator' AND kind IN ('backfill', 'reconcile')"
            " AND state IN ('pending', 'running')"
        ),
        {"id": crawl_id, "store": store_id},
    ).scalar()
    return found


def drop(connection: sa.Connection, crawl_id: int) -> None:
    """Drop one crawl."""
    connection.execute(
        sa.text("UPDATE sync.crawl SET state = 'dropped', finished_at = now() WHERE id = :id"),
        {"id": crawl_id},
    )


def wait_no_longer(connection: sa.Connection, store_id: int, resource: str) -> list[int]:
    """Have the open crawls of a resource worked on without a wait; return their ids."""
    return list(
        connection.execute(
            sa.text(
                "UPDATE sync.crawl SET not_before = NULL WHERE store_id = :store"
                " AND resource = :resource AND state IN ('pending', 'running') RETURNING id"
            ),
            {"store": store_id, "resource": resource},
        ).scalars()
    )


def count_drift(connection: sa.Connection, crawl_id: int) -> None:
    """Count a drift that was seen in a crawl."""
    connection.execute(
        sa.text("UPDATE sync.crawl SET drifts = drifts + 1 WHERE id = :id"), {"id": crawl_id}
    )


def forget_old(connection: sa.Connection, ids: Sequence[int], *, days: int) -> list[int]:
    """Delete ended crawls of some stores after so many days, first loads excepted; their ids."""
    return list(
        connection.execute(
            sa.text(
                "DELETE FROM sync.crawl WHERE store_id = ANY(:ids) AND state IN ('done', 'dropped')"
                " AND kind <> 'load' AND finished_at < now() - make_interval(days => :days)"
                " RETURNING id"
            ),
            {"ids": list(ids), "days": days},
        ).scalars()
    )


def report_ghosts(connection: sa.Connection, resource: Resource, crawl: Crawl) -> None:
    """Store in a crawl's report how many rows of its days were found to be gone since it began.

    Each was requested twice, the second time by the feed, so no walk knows the number by itself.
    """
    where, binds = "true", {}
    if resource.created_field:
        where = (
            "coalesce(created_on, '-infinity') >= coalesce(cast(:first AS date), '-infinity')"
            " AND coalesce(created_on, '-infinity') <= coalesce(cast(:last AS date), 'infinity')"
        )
        binds = {"first": crawl.days.first, "last": crawl.days.last}
    connection.execute(
        sa.text(
            "UPDATE sync.crawl AS w SET report = coalesce(w.report, '{}'::jsonb)"
            " || jsonb_build_object('ghosts', n.ghosts) FROM (SELECT count(*) AS ghosts"
            f" FROM {crm_name(resource.name)} AS t, sync.crawl AS c WHERE c.id = :id"
            " AND t.store_id = c.store_id AND t.deleted_at IS NOT NULL AND t.as_of >= c.started_at"
            f" AND t.deleted_reason IN ('not_found', 'absent') AND {where}) AS n"
            " WHERE w.id = :id AND n.ghosts > 0"
        ),
        {"id": crawl.id, **binds},
    )
