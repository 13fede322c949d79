"""Stores: accounts that are mirrored, their sealed keys, and the lanes that work on them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from sync.declare import FullRefresh, HistoryFeed, Resource, Shape, SinceId
from sync.errors import BadRequest
from sync.schema.service import STORE


@dataclass(frozen=True, slots=True)
class Access:
    """The rights of a key. `sites` is None for all of them, `scopes` None where none are named."""

    site_access: str | None
    sites: tuple[str, ...] | None
    scopes: tuple[str, ...] | None

    def sees_all_of(self, before: Access) -> bool:
        """Tell whether every site that was seen before is still seen.

        Scopes do not matter: the API refuses what a scope lacks, so nothing goes missing unseen.
        """
        if self.sites is None:
            return True
        return before.sites is not None and set(self.sites) >= set(before.sites)


OTHER_SITES = "*"
"""Stands, among hidden sites, for the unnamed sites of a key that saw all of them."""


@dataclass(frozen=True, slots=True)
class Store:
    """A row of `sync.store`. `chosen_sites` are those given with --site; None for all.

    `hidden_sites` are sites whose rows were mirrored and that the key no longer sees: it lost them
    after `hidden_as_of` and before `hidden_from`.
    """

    id: int
    name: str
    url: str
    account: str
    api_key: bytes = field(repr=False)
    key_fingerprint: str
    zone: str
    currency: str | None
    access: Access
    chosen_sites: tuple[str, ...] | None
    since: dt.date | None
    enabled: bool
    error: str | None
    hidden_sites: tuple[str, ...] = ()
    hidden_as_of: dt.datetime | None = None
    hidden_from: dt.datetime | None = None

    @property
    def lost_sites(self) -> str:
        """Names of `hidden_sites`, for people; "" where the key sees all that are mirrored."""
        if self.chosen_sites is not None and set(self.chosen_sites) <= set(self.access.sites or ()):
            return ""
        return ", ".join("others" if site == OTHER_SITES else site for site in self.hidden_sites)

    @property
    def hidden_words(self) -> str:
        """The state of rows of lost sites, for people; "" where the key has lost none."""
        if not self.lost_sites or self.hidden_as_of is None:
            return ""
        return (
            f"the key has lost sites ({self.lost_sites}): their rows stay as they were, and"
            f" coverage stays at {self.hidden_as_of:%Y-%m-%d %H:%M:%S %Z} until it sees them again"
        )

    @property
    def sites(self) -> list[str] | None:
        """Sites whose records are mirrored; None for all of the account."""
        if self.chosen_sites is not None:
            return list(self.chosen_sites)
        return list(self.access.sites) if self.access.sites is not None else None


def _tuple(value: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(value)


def _of(row: sa.Row[tuple[object, ...]]) -> Store:
    return Store(
        id=row.id,
        name=row.name,
        url=row.url,
        account=row.account,
        api_key=bytes(row.api_key),
        key_fingerprint=row.key_fingerprint,
        zone=row.zone,
        currency=row.currency,
        access=Access(row.site_access, _tuple(row.sites), _tuple(row.scopes)),
        chosen_sites=_tuple(row.chosen_sites),
        since=row.since,
        enabled=row.enabled,
        error=row.error,
        hidden_sites=tuple(row.hidden_sites),
        hidden_as_of=row.hidden_as_of,
        hidden_from=row.hidden_from or row.hidden_as_of,
    )


def every(connection: sa.Connection) -> list[Store]:
    """Return all stores, by name."""
    return [_of(row) for row in connection.execute(sa.select(STORE).order_by(STORE.c.name))]


def by_id(connection: sa.Connection, store_id: int) -> Store | None:
    """Return the store with an id, None when it was removed."""
    row = connection.execute(sa.select(STORE).where(STORE.c.id == store_id)).one_or_none()
    return None if row is None else _of(row)


def by_name(connection: sa.Connection, name: str) -> Store:
    """Return the store with a name; BadRequest with the nearest name when there is none."""
    row = connection.execute(sa.select(STORE).where(STORE.c.name == name)).one_or_none()
    if row is None:
        from difflib import get_close_matches

        names = list(connection.execute(sa.select(STORE.c.name)).scalars())
        near = get_close_matches(name, names, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        if not names:
            hint = " No store has been added yet: celery -A sync mirror store add NAME URL"
        raise BadRequest(f"There is no store {name!r}.{hint}")
    return _of(row)


_DECLARED = """
    jsonb_to_recordset(cast(:declared AS jsonb)) AS d(resource text, feed text, told_by text[],
        every_seconds float8, selected bool, version text, lanes text[], head_start float8,
        is_dated bool)
"""
_DIFFERING = f"""
    SELECT s.id FROM sync.store AS s CROSS JOIN {_DECLARED}
    LEFT JOIN sync.coverage AS c
        ON c.store_id = s.id AND c.resource = d.resource AND c.store_id = ANY(:ids)
    WHERE s.id = ANY(:ids) AND (c.store_id IS NULL OR (c.feed, c.told_by,
        c.every_seconds) IS DISTINCT FROM (d.feed, d.told_by, d.every_seconds))
    UNION
    SELECT s.id FROM sync.store AS s CROSS JOIN {_DECLARED} CROSS JOIN unnest(d.lanes) AS n
    LEFT JOIN sync.lane AS l ON l.store_id = s.id AND l.resource = d.resource AND l.lane = n
        AND l.store_id = ANY(:ids)
    WHERE s.id = ANY(:ids) AND l.store_id IS NULL
"""
_OTHERWISE = """
    FROM sync.store AS s, sync.coverage AS c WHERE s.id = l.store_id AND c.store_id = l.store_id
    AND c.resource = l.resource AND l.enabled <> (s.enabled AND c.selected)
"""
_REGISTER = (
    # Lock all lanes first, as workers do: then no worker is amidst the tables below.
    "SELECT FROM sync.lane WHERE store_id = ANY(:ids) ORDER BY store_id, resource, lane FOR UPDATE",
    f"""UPDATE sync.coverage AS c
    SET feed = d.feed, told_by = d.told_by, every_seconds = d.every_seconds
    FROM {_DECLARED} WHERE c.store_id = ANY(:ids) AND c.resource = d.resource
    AND (c.feed, c.told_by, c.every_seconds)
        IS DISTINCT FROM (d.feed, d.told_by, d.every_seconds)""",
    # A first load is queued for each new resource.
    f"""WITH made AS (
        INSERT INTO sync.coverage
            (store_id, resource, feed, told_by, every_seconds, selected, zone, version)
        SELECT s.id, d.resource, d.feed, d.told_by, d.every_seconds, d.selected, s.zone, d.version
        FROM {_DECLARED} JOIN sync.store AS s ON s.id = ANY(:ids)
        WHERE NOT EXISTS (SELECT FROM sync.coverage AS c
            WHERE c.store_id = s.id AND c.resource = d.resource)
        ON CONFLICT DO NOTHING RETURNING store_id, resource, selected
    )
    INSERT INTO sync.crawl (store_id, resource, kind, since)
    SELECT s.id, d.resource, 'load', CASE WHEN d.is_dated THEN s.since END
    FROM {_DECLARED} JOIN made ON made.resource = d.resource
    JOIN sync.store AS s ON s.id = made.store_id
    WHERE made.selected AND :load ORDER BY s.id, d.resource""",
    f"""INSERT INTO sync.lane (store_id, resource, lane, enabled, due_at)
    SELECT c.store_id, d.resource, n, c.selected, now() - make_interval(secs => d.head_start)
    FROM {_DECLARED} CROSS JOIN unnest(d.lanes) AS n
    JOIN sync.coverage AS c ON c.store_id = ANY(:ids) AND c.resource = d.resource
    WHERE NOT EXISTS (SELECT FROM sync.lane AS l
        WHERE l.store_id = c.store_id AND l.resource = d.resource AND l.lane = n)
    ON CONFLICT DO NOTHING""",
)


def register(
    connection: sa.Connection,
    ids: Sequence[int],
    resources: Iterable[Resource],
    *,
    load: bool = True,
) -> None:
    """Insert the coverage rows and lanes that some stores lack, and queue first loads.

    Idempotent: a new release's resources are registered for old stores the same way. Rows that are
    as declared are neither written nor locked.
    """
    binds = {"ids": list(ids), "load": load, "declared": _declared(list(resources))}
    if connection.execute(sa.text(_DIFFERING), binds).first() is not None:
        for statement in _REGISTER:
            connection.execute(sa.text(statement), binds)


def hold_free(connection: sa.Connection, ids: Sequence[int]) -> list[int]:
    """Lock the lanes of some stores without waiting; return the stores that got all their lanes."""
    found = connection.execute(
        sa.text(
            """
            WITH free AS (SELECT store_id FROM sync.lane WHERE store_id = ANY(:ids)
                ORDER BY store_id, resource, lane FOR UPDATE SKIP LOCKED)
            SELECT i FROM unnest(cast(:ids AS bigint[])) AS i
            WHERE (SELECT count(*) FROM free WHERE store_id = i)
                = (SELECT count(*) FROM sync.lane WHERE store_id = i)
            ORDER BY i
            """
        ),
        {"ids": list(ids)},
    )
    return list(found.scalars())


def unregistered(
    connection: sa.Connection, resources: Iterable[Resource], *, among: Sequence[int]
) -> set[int]:
    """Return those of the stores that `register` or `set_lanes` would change."""
    binds = {"ids": list(among), "declared": _declared(list(resources))}
    found = connection.execute(
        sa.text(
            f"{_DIFFERING} UNION SELECT l.store_id FROM sync.lane AS l"
            f" WHERE l.store_id = ANY(:ids) AND EXISTS (SELECT {_OTHERWISE})"
        ),
        binds,
    )
    return set(found.scalars())


def _declared(resources: Sequence[Resource]) -> str:
    """Return the declarations as JSON, as far as a store's rows are made from them."""
    return json.dumps(
        [
            {
                "resource": resource.name,
                "feed": _feed_of(resource),
                "told_by": _told_by(resource, resources),
                "every_seconds": resource.changes.every_seconds
                if isinstance(resource.changes, FullRefresh)
                else 0,
                "selected": not resource.optional,
                "version": resource.version,
                "lanes": ["walk", "feed"] if isinstance(resource.listing, SinceId) else ["walk"],
                # Long resources begin first: the dictionaries fit between their pages.
                "head_start": 1 if resource.is_followed or resource.is_history else 0,
                "is_dated": bool(resource.created_field),
            }
            for resource in resources
        ]
    )


def _feed_of(resource: Resource) -> str | None:
    if isinstance(resource.listing, SinceId):
        return resource.name
    return resource.changes.by if isinstance(resource.changes, HistoryFeed) else None


def _told_by(resource: Resource, known: Iterable[Resource]) -> list[str]:
    """Return the other histories that tell of a followed resource: of merges, of related
    changes."""
    if not isinstance(resource.changes, HistoryFeed):
        return []
    return sorted(
        {
            other.changes.by
            for other in known
            if isinstance(other.changes, HistoryFeed)
            and other.changes.by != resource.changes.by
            and resource.name
            in {*(name for name, _ in other.combined), *(also.resource for also in other.rereads)}
        }
    )


def queue_crawl(
    connection: sa.Connection,
    store_id: int,
    resource: str,
    *,
    kind: str,
    asked_by: str = "schedule",
    days: tuple[dt.date | None, dt.date | None] = (None, None),
    deep: bool = False,
) -> int:
    """Queue a crawl and make its lane due now; return the id of the crawl."""
    crawl_id: int = connection.execute(
        sa.text(
            "INSERT INTO sync.crawl (store_id, resource, kind, asked_by, since, until, deep)"
            " VALUES (:store, :resource, :kind, :asked_by, :since, :until, :deep) RETURNING id"
        ),
        {
            "store": store_id,
            "resource": resource,
            "kind": kind,
            "asked_by": asked_by,
            "since": days[0],
            "until": days[1],
            "deep": deep,
        },
    ).scalar_one()
    hasten(connection, store_id, resource)
    return crawl_id


def queue_once(connection: sa.Connection, store_id: int, resource: str, *, kind: str) -> None:
    """Queue a crawl unless one of its kind is open."""
    is_open = connection.execute(
        sa.text(
            "SELECT EXISTS (SELECT FROM sync.crawl WHERE store_id = :store AND resource = :resource"
            " AND kind = :kind AND state IN ('pending', 'running'))"
        ),
        {"store": store_id, "resource": resource, "kind": kind},
    ).scalar_one()
    if not is_open:
        queue_crawl(connection, store_id, resource, kind=kind)


def queue_deep(
    connection: sa.Connection,
    store_id: int,
    resource: str,
    *,
    days: tuple[dt.date | None, dt.date | None] = (None, None),
) -> None:
    """Queue a deep reconcile of some days, unless one that has not begun covers them."""
    is_open = connection.execute(
        sa.text(
            "SELECT EXISTS (SELECT FROM sync.crawl WHERE store_id = :store AND resource = :resource"
            " AND kind = 'reconcile' AND deep AND state = 'pending'"
            " AND coalesce(since, '-infinity') <= coalesce(cast(:first AS date), '-infinity')"
            " AND coalesce(until, 'infinity') >= coalesce(cast(:last AS date), 'infinity'))"
        ),
        {"store": store_id, "resource": resource, "first": days[0], "last": days[1]},
    ).scalar_one()
    if not is_open:
        queue_crawl(connection, store_id, resource, kind="reconcile", days=days, deep=True)


def hasten(connection: sa.Connection, store_id: int, resource: str) -> None:
    """Make a resource's walk lane due now."""
    connection.execute(
        sa.text(
            "UPDATE sync.lane SET due_at = least(due_at, now())"
            " WHERE store_id = :store AND resource = :resource AND lane = 'walk'"
        ),
        {"store": store_id, "resource": resource},
    )


def set_lanes(connection: sa.Connection, *ids: int) -> None:
    """Turn each lane of some stores on when its store and its resource are on, otherwise off."""
    connection.execute(
        sa.text(
            "UPDATE sync.lane AS l SET enabled = s.enabled AND c.selected,"
            " due_at = CASE WHEN l.enabled THEN l.due_at ELSE now() END"
            f" {_OTHERWISE} AND l.store_id = ANY(:ids)"
        ),
        {"ids": list(ids)},
    )


def stop_all(
    connection: sa.Connection, store_id: int, *, error: str, again_after: dt.timedelta
) -> None:
    """Note that the account refuses us, and make every lane due only after about `again_after`."""
    connection.execute(
        sa.text("UPDATE sync.store SET error = :error WHERE id = :store"),
        {"store": store_id, "error": error[:2_000]},
    )
    connection.execute(
        sa.text(
            # `credentials` not later than the others: it notices that the account works again.
            "UPDATE sync.lane SET due_at = greatest(CASE WHEN resource <> 'credentials'"
            " THEN due_at END, now() + cast(:after AS interval) * (0.9 + 0.2 * random()))"
            " WHERE store_id = :store"
        ),
        {"store": store_id, "after": again_after},
    )


def recovered(connection: sa.Connection, store_id: int) -> None:
    """Note that the account answers again, and make every lane due now."""
    connection.execute(
        sa.text("UPDATE sync.store SET error = NULL WHERE id = :store"),
        {"store": store_id},
    )
    connection.execute(
        sa.text(
            "UPDATE sync.lane SET due_at = least(due_at, now()), failing_since = NULL, error = NULL"
            " WHERE store_id = :store AND lease_until IS NULL AND parked_at IS NULL"
        ),
        {"store": store_id},
    )


def set_access(
    connection: sa.Connection,
    store_id: int,
    access: Access,
    resources: Iterable[Resource],
    *,
    as_of: dt.datetime,
) -> None:
    """Store what the key was found to see at `as_of`, and withdraw proofs when it sees more.

    More sites than before mean more records in every list and more entries in every history, old
    ones too, so that nothing stands proven. With fewer sites the rows stay, and coverage is held
    back to the moment when the key was last known to see them.
    """
    before = keep_access(connection, store_id, access, as_of=as_of)
    if (access.site_access, access.sites) == (before.access.site_access, before.access.sites):
        return
    _fence(connection, store_id)
    if before.access.sees_all_of(access) and access.sites != before.access.sites:
        return
    for resource in resources:
        if resource.shape is not Shape.SINGLE:
            _prove_anew(connection, store_id, resource, since=before.since)


def keep_access(
    connection: sa.Connection, store_id: int, access: Access, *, as_of: dt.datetime
) -> Store:
    """Store what the key sees at `as_of`, and the sites that it saw before and no longer sees.

    Returns the store as it was.
    """
    row = connection.execute(sa.select(STORE).where(STORE.c.id == store_id).with_for_update()).one()
    before = _of(row)
    hidden = _hidden(before, access)
    last_seen = before.hidden_as_of if before.hidden_sites else row.checked_at
    is_more = not set(hidden) <= set(before.hidden_sites)
    connection.execute(
        sa.update(STORE)
        .where(STORE.c.id == store_id)
        .values(
            site_access=access.site_access,
            sites=list(access.sites) if access.sites is not None else None,
            scopes=list(access.scopes) if access.scopes is not None else None,
            hidden_sites=hidden,
            hidden_as_of=(last_seen or row.created_at) if hidden else None,
            hidden_from=(as_of if is_more else before.hidden_from) if hidden else None,
            checked_at=as_of,
        )
    )
    return before


def seen_unchanged(connection: sa.Connection, store_id: int, *, as_of: dt.datetime) -> None:
    """Note that at `as_of` the key was found to see what it saw before."""
    connection.execute(
        sa.text("UPDATE sync.store SET checked_at = :as_of WHERE id = :store"),
        {"store": store_id, "as_of": as_of},
    )


def _hidden(before: Store, access: Access) -> list[str]:
    if access.sites is None:
        return []
    was = {OTHER_SITES} if before.access.sites is None else set(before.access.sites)
    return sorted((was | set(before.hidden_sites)) - set(access.sites))


def _fence(connection: sa.Connection, store_id: int) -> None:
    """Revoke the store's leases: their holders go by the old sites, and must write no proof.

    The lease of `credentials` stays, because its lane reports the change.
    """
    connection.execute(
        sa.text(
            "UPDATE sync.lane SET token = token + 1, lease_until = NULL, holder = NULL,"
            " claimed_until = NULL, due_at = least(due_at, now())"
            " WHERE store_id = :store AND resource <> 'credentials'"
            " AND lease_until IS NOT NULL"
        ),
        {"store": store_id},
    )


def _prove_anew(
    connection: sa.Connection, store_id: int, resource: Resource, *, since: dt.date | None
) -> None:
    """Withdraw a resource's proof and queue a crawl that proves it; open crawls begin anew."""
    binds = {"store": store_id, "resource": resource.name}
    was_complete = connection.execute(
        sa.text(
            "UPDATE sync.coverage SET proven_as_of = NULL, complete_as_of = NULL"
            " WHERE store_id = :store AND resource = :resource AND selected"
            " RETURNING old.proven_as_of IS NOT NULL OR old.complete_as_of IS NOT NULL"
        ),
        binds,
    ).scalar()
    begun = connection.execute(
        sa.text(
            "UPDATE sync.crawl SET phase = 'plan', report = NULL WHERE store_id = :store"
            " AND resource = :resource AND state IN ('pending', 'running', 'parked')"
            " AND kind <> 'rebuild' RETURNING id"
        ),
        binds,
    ).scalars()
    connection.execute(
        sa.text("DELETE FROM sync.window WHERE crawl_id = ANY(:ids)"), {"ids": list(begun)}
    )
    days = (since if resource.created_field else None, None)
    if was_complete and resource.is_followed:
        queue_crawl(connection, store_id, resource.name, kind="reconcile", days=days, deep=True)
    elif was_complete:
        queue_crawl(connection, store_id, resource.name, kind="load", days=days)


def set_zone(connection: sa.Connection, store_id: int, *, zone: str, currency: str | None) -> None:
    """Store the account's zone and currency."""
    connection.execute(
        sa.update(STORE).where(STORE.c.id == store_id).values(zone=zone, currency=currency)
    )


def set_least_lateness(connection: sa.Connection, name: str, *, seconds: float | None) -> None:
    """Set the shortest lateness bound of a store's histories; None for a minute."""
    connection.execute(
        sa.update(STORE).where(STORE.c.name == name).values(least_lateness_seconds=seconds)
    )
