"""Operations of an operator, by command or on the status page: crawls, retry, approve, accept."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import sqlalchemy as sa

from sync.declare import Resource
from sync.errors import BadRequest
from sync.resources import RESOURCES
from sync.state import accounts, coverage, crawls, doubts, lanes, rereads, stores, windows
from sync.state.stores import Store

Days = tuple[dt.date | None, dt.date | None]


def store_with_key(connection: sa.Connection, name: str) -> Store:
    """Return a store that is mirrored; BadRequest for one whose key was forgotten."""
    known = stores.by_name(connection, name)
    if accounts.is_removed(known):
        raise BadRequest(
            f"{name} was removed; add it again: celery -A sync mirror store add {name} {known.url}"
        )
    return known


def require_enabled(known: Store) -> None:
    """Raise BadRequest for a store that is turned off: its queued work would wait for ever."""
    if not known.enabled:
        raise BadRequest(
            f"{known.name} is disabled; first: celery -A sync mirror store enable {known.name}"
        )


def require_selected(connection: sa.Connection, known: Store, resource: str) -> None:
    """Raise BadRequest for a resource the store does not mirror."""
    if resource not in accounts.selected(connection, known.id):
        raise BadRequest(
            f"{known.name} does not mirror {resource}; turn it on: celery -A sync mirror resource "
            f"{known.name} {resource} on"
        )


def wanted(connection: sa.Connection, known: Store, names: Sequence[str]) -> list[Resource]:
    """Return the resources named, or all the store mirrors, in the order they are declared."""
    selected = accounts.selected(connection, known.id)
    for name in names:
        require_selected(connection, known, name)
    return [each for each in RESOURCES.values() if each.name in (names or selected)]


def ask_for(
    connection: sa.Connection,
    known: Store,
    names: Sequence[str],
    *,
    kind: str,
    days: Days = (None, None),
    deep: bool = False,
) -> tuple[list[int], list[str]]:
    """Queue a crawl of each resource named (none: of all); return the crawls and what is parked."""
    require_enabled(known)
    chosen = wanted(connection, known, names)
    if kind == "reconcile":
        chosen = [each for each in chosen if not each.is_history]
    since = days[0] or known.since
    ids = [
        queue(connection, known, each, kind=kind, days=(since, days[1]), deep=deep)
        for each in chosen
    ]
    return ids, parked(connection, known, chosen)


def queue(
    connection: sa.Connection,
    known: Store,
    resource: Resource,
    *,
    kind: str,
    days: Days = (None, None),
    deep: bool = False,
) -> int:
    """Queue a crawl, or use an equal one of an operator that has not begun; return its id."""
    mine = days if resource.created_field else (None, None)
    waiting: int | None = connection.execute(
        sa.text(
            "SELECT id FROM sync.crawl WHERE store_id = :store AND resource = :resource"
            " AND state = 'pending' AND kind = :kind AND asked_by = 'operator' AND deep = :deep"
            " AND since IS NOT DISTINCT FROM :since AND until IS NOT DISTINCT FROM :until LIMIT 1"
        ),
        {
            "store": known.id,
            "resource": resource.name,
            "kind": kind,
            "deep": deep,
            "since": mine[0],
            "until": mine[1],
        },
    ).scalar()
    if waiting is not None:
        lanes.hasten(connection, known.id, resource.name)
        return waiting
    return crawls.queue_crawl(
        connection, known.id, resource.name, kind=kind, asked_by="operator", days=mine, deep=deep
    )


def parked(connection: sa.Connection, known: Store, chosen: Sequence[Resource]) -> list[str]:
    """Return the names of those resources whose walk lane is parked."""
    return list(
        connection.execute(
            sa.text(
                "SELECT resource FROM sync.lane WHERE store_id = :s AND resource = ANY(:r)"
                " AND lane = 'walk' AND parked_at IS NOT NULL ORDER BY resource"
            ),
            {"s": known.id, "r": [each.name for each in chosen]},
        ).scalars()
    )


def retry(connection: sa.Connection, known: Store, resource: str | None = None) -> int:
    """Release parked and failing lanes, so that they are tried at once; return how many."""
    released = lanes.release_parked(connection, known.id, resource)
    crawls.release_parked(connection, known.id, resource)
    # Unavailable resources, and all resources of a store with an error, are requested again.
    lanes.hasten_unavailable(connection, known.id, resource)
    return released


def accept(
    connection: sa.Connection, known: Store, resource: str, ids: Sequence[int], *, by: str,
    because: str,
) -> int:  # fmt: skip
    """Accept doubts that cannot be resolved and records that cannot be read; return how many.

    Coverage goes on without them, and analysts see them.
    """
    done = doubts.accept(connection, known.id, resource, ids, by=by, because=because)
    failing = rereads.failing(connection, known.id, resource)
    done += doubts.accept_records(connection, known.id, resource, failing, by=by, because=because)
    rereads.accept_failing(connection, known.id, resource, failing)
    windows.count_at_once(connection, crawls.wait_no_longer(connection, known.id, resource))
    lanes.hasten(connection, known.id, resource)
    return done


def approve(connection: sa.Connection, known: Store, resource: str) -> str:
    """Let a refresh tombstone the rows found absent, and queue it; return the text that waited."""
    waiting = coverage.approve(connection, known.id, resource)
    if waiting is None:
        raise BadRequest(f"Nothing of {resource} waits for approval.")
    crawls.queue_crawl(connection, known.id, resource, kind="refresh", asked_by="operator")
    return waiting
