"""Operations of an operator, by command or on the status page: crawls, retry, approve, accept."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import sqlalchemy as sa

from sync import crawl
from sync.declare import Resource
from sync.errors import BadRequest
from sync.resources import RESOURCES
from sync.state import accounts, coverage, crawls, doubts, lanes, rereads, stores, windows
from sync.state.stores import Store

Days = tuple[dt.date | None, dt.date | None]


def require_past(since: dt.date | None, *, now: dt.datetime | None = None) -> None:
    """Raise BadRequest for a first day that has not begun in any zone yet."""
    now = now or dt.datetime.now(dt.UTC)
    if since is not None and since > (now + dt.timedelta(hours=14)).date():
        raise BadRequest(
            f"The first day, {since}, is in the future: nothing was created from then on."
        )


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
    mine = crawl.Days(*days) if resource.created_field else crawl.WHOLE
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
            "since": mine.first,
            "until": mine.last,
        },
    ).scalar()
    if waiting is not None:
        lanes.hasten(connection, (known.id, resource.name))
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


def reset(connection: sa.Connection, known: Store, resource: str) -> int:
    """Load a resource from the start, beside its rows; return how many open crawls were dropped."""
    require_selected(connection, known, resource)
    lanes.fence(connection, known.id, resource)
    dropped = accounts.drop_crawls(connection, known.id, resource)
    coverage.withdraw(connection, known.id, resource)
    lanes.release_parked(connection, known.id, resource)
    accounts.load_anew(connection, known.id, RESOURCES[resource])
    return dropped


def cancel(connection: sa.Connection, known: Store, crawl_id: int) -> str:
    """Drop a crawl that a person asked for; return the name of its resource.

    First loads and the schedule's own crawls stay: coverage rests on them. So does a rebuild, which
    would leave half of the rows as they were.
    """
    resource = crawls.cancellable(connection, known.id, crawl_id)
    if resource is not None:
        lanes.fence(connection, known.id, resource)
        resource = crawls.cancellable(connection, known.id, crawl_id)  # it may be over by now
    if resource is None:
        raise BadRequest(
            "Only a backfill or reconcile that a person asked for and that is not over can be"
            " cancelled; to stop a load, turn its resource off."
        )
    crawls.drop(connection, crawl_id)
    windows.remove_of(connection, [crawl_id])
    lanes.hasten(connection, (known.id, resource))
    return resource


def turn(connection: sa.Connection, known: Store, resource: str, *, is_on: bool) -> list[str]:
    """Turn a resource on, with those it needs, or off; return the names that were changed."""
    if is_on:
        stores.register(connection, [known.id], RESOURCES.values())
    selected = accounts.selected(connection, known.id)
    names = _needed(resource) if is_on else [resource]
    if not is_on:
        _require_unneeded(resource, selected)
    changed = [each for each in names if (each in selected) != is_on]
    coverage.select(connection, known.id, changed, is_on=is_on)
    lanes.set_lanes(connection, known.id)
    for each in changed:
        if is_on and _is_unloaded(connection, known, each):
            accounts.load_anew(connection, known.id, RESOURCES[each])
    return changed


def _needed(name: str) -> list[str]:
    """Return the resources to turn on for this one, dependencies first.

    A list needs its history, a history needs the list of its records, and a resource that is read
    once per parent needs the parent.
    """
    resource = RESOURCES[name]
    before = _needed(resource.parent.resource) if resource.parent is not None else []
    return [*before, *filter(None, (resource.target, resource.history)), name]


def _require_unneeded(name: str, selected: Sequence[str]) -> None:
    if name == "credentials":
        raise BadRequest(
            "credentials say what the key may see, which decides what an absence means"
        )
    for other in selected:
        if other in RESOURCES and RESOURCES[other].history == name:
            raise BadRequest(f"{other} is followed by {name}: turn {other} off first.")


def _is_unloaded(connection: sa.Connection, known: Store, name: str) -> bool:
    return bool(
        connection.execute(
            sa.text(
                "SELECT c.proven_as_of IS NULL AND c.complete_as_of IS NULL AND NOT EXISTS ("
                " SELECT FROM sync.crawl AS w WHERE w.store_id = c.store_id"
                " AND w.resource = c.resource AND w.state IN ('pending', 'running'))"
                " FROM sync.coverage AS c WHERE c.store_id = :s AND c.resource = :r"
            ),
            {"s": known.id, "r": name},
        ).scalar()
    )


def retry(connection: sa.Connection, known: Store, resource: str | None = None) -> int:
    """Release parked and failing lanes, so that they are tried at once; return how many."""
    released = lanes.release_parked(connection, known.id, resource)
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
    lanes.hasten(connection, (known.id, resource))
    return done


def approve(connection: sa.Connection, known: Store, resource: str) -> str:
    """Let a refresh tombstone the rows found absent, and queue it; return the text that waited."""
    waiting = coverage.approve(connection, known.id, resource)
    if waiting is None:
        raise BadRequest(f"Nothing of {resource} waits for approval.")
    crawls.queue_crawl(connection, known.id, resource, kind="refresh", asked_by="operator")
    return waiting
