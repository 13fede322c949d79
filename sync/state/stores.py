"""Stores: the accounts that are mirrored, their sealed keys, and what each key sees."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from sync.crawl import WHOLE, Days
from sync.declare import Resource, Shape
from sync.errors import BadRequest
from sync.schema.service import STORE
from sync.state import coverage, crawls, lanes, windows
from sync.state.declared import declared


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


def sealed_otherwise(connection: sa.Connection, fingerprint: str) -> dict[str, str]:
    """Return the stores whose API key another secret key encrypted: its fingerprint by name."""
    found = connection.execute(
        sa.text(
            "SELECT name, sealed_under FROM sync.store"
            " WHERE sealed_under <> '' AND sealed_under <> :ours ORDER BY name"
        ),
        {"ours": fingerprint},
    )
    return {row.name: row.sealed_under for row in found}


@dataclass(frozen=True, slots=True)
class Store:
    """A row of `sync.store` without its API key. `chosen_sites` are those of --site; None for all.

    `sealed_under` is the fingerprint of the secret key that encrypted the API key, "" without one.
    `hidden_sites` are sites whose rows were mirrored and that the key no longer sees: it lost them
    after `hidden_as_of` and before `hidden_from`.
    """

    id: int
    name: str
    url: str
    account: str
    sealed_under: str
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
    title: str | None = None

    @property
    def called(self) -> str:
        """Its name for people: the title, else the name in commands."""
        return self.title or self.name

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

    def days_of(self, resource: Resource) -> Days:
        """Return the days of a list that are mirrored: with dates, from `store add --since` on."""
        return Days(self.since, None) if resource.created_field else WHOLE

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
        sealed_under=row.sealed_under,
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
        title=row.title,
    )


# The login of the status page may not read the encrypted keys.
_READ = sa.select(*(column for column in STORE.c if column is not STORE.c.api_key))


def every(connection: sa.Connection) -> list[Store]:
    """Return all stores, by name."""
    return [_of(row) for row in connection.execute(_READ.order_by(STORE.c.name))]


def by_id(connection: sa.Connection, store_id: int) -> Store | None:
    """Return the store with an id, None when it was removed."""
    row = connection.execute(_READ.where(STORE.c.id == store_id)).one_or_none()
    return None if row is None else _of(row)


def sealed_key(connection: sa.Connection, store_id: int) -> bytes:
    """Return the encrypted API key of a store; empty when it has none, or was removed."""
    found = connection.execute(sa.select(STORE.c.api_key).where(STORE.c.id == store_id)).scalar()
    return bytes(found or b"")


def by_name(connection: sa.Connection, name: str) -> Store:
    """Return the store with a name; BadRequest with the nearest name when there is none."""
    row = connection.execute(_READ.where(STORE.c.name == name)).one_or_none()
    if row is None:
        from difflib import get_close_matches

        names = list(connection.execute(sa.select(STORE.c.name)).scalars())
        near = get_close_matches(name, names, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        if not names:
            hint = " No store has been added yet: celery -A sync mirror store add NAME URL"
        raise BadRequest(f"There is no store {name!r}.{hint}")
    return _of(row)


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
    rows = declared(list(resources))
    if not coverage.undeclared(connection, ids, rows) | lanes.lacking(connection, ids, rows):
        return
    # All lanes first, as workers do: then no worker is amidst the tables below.
    lanes.lock_all(connection, ids)
    added = coverage.declare(connection, ids, rows)
    if load:
        crawls.queue_loads(connection, added, rows)
    lanes.add(connection, ids, rows)


def unregistered(
    connection: sa.Connection, resources: Iterable[Resource], *, among: Sequence[int]
) -> set[int]:
    """Return those of the stores that `register` or `lanes.set_lanes` would change."""
    rows = declared(list(resources))
    return (
        coverage.undeclared(connection, among, rows)
        | lanes.lacking(connection, among, rows)
        | lanes.set_otherwise(connection, among)
    )


def stop_all(
    connection: sa.Connection, store_id: int, *, error: str, again_after: dt.timedelta
) -> None:
    """Note that the account refuses us, and make every lane due only after about `again_after`."""
    connection.execute(
        sa.text("UPDATE sync.store SET error = :error WHERE id = :store"),
        {"store": store_id, "error": error[:2_000]},
    )
    lanes.put_off_all(connection, store_id, again_after=again_after)


def recovered(connection: sa.Connection, store_id: int) -> None:
    """Note that the account answers again, and make every lane due now."""
    connection.execute(
        sa.text("UPDATE sync.store SET error = NULL WHERE id = :store"),
        {"store": store_id},
    )
    lanes.hasten_all(connection, store_id)


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
    lanes.fence_all_but_credentials(connection, store_id)
    if before.access.sees_all_of(access) and access.sites != before.access.sites:
        return
    for resource in resources:
        if resource.shape is not Shape.SINGLE:
            _prove_anew(connection, before, resource)


def keep_access(
    connection: sa.Connection, store_id: int, access: Access, *, as_of: dt.datetime
) -> Store:
    """Store what the key sees at `as_of`, and the sites that it saw before and no longer sees.

    Returns the store as it was.
    """
    row = connection.execute(_READ.where(STORE.c.id == store_id).with_for_update()).one()
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


def _prove_anew(connection: sa.Connection, store: Store, resource: Resource) -> None:
    """Withdraw a resource's proof and queue a crawl that proves it; open crawls begin anew."""
    was_complete = coverage.withdraw(connection, store.id, resource.name)
    begun = crawls.begin_all_anew(connection, store.id, resource.name)
    windows.remove_of(connection, begun)
    if was_complete:
        crawls.queue_crawl(
            connection,
            store.id,
            resource.name,
            kind="reconcile" if resource.is_followed else "load",
            days=store.days_of(resource),
            deep=resource.is_followed,
        )


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


def next_id(connection: sa.Connection) -> int:
    """Draw the id of the next store, for which its key is sealed and its requests are counted."""
    found: int = connection.execute(
        sa.text("SELECT nextval(pg_get_serial_sequence('sync.store', 'id'))")
    ).scalar_one()
    return found


def save(
    connection: sa.Connection, store: Store, *, sealed_key: bytes, checked_at: dt.datetime
) -> None:
    """Write the row of a new store, or of a removed one that is taken up again.

    `checked_at` is a moment before the account was asked what the key sees.
    """
    access = store.access
    values = {
        "name": store.name,
        "url": store.url,
        "account": store.account,
        "zone": store.zone,
        "currency": store.currency,
        "site_access": access.site_access,
        "sites": None if access.sites is None else list(access.sites),
        "scopes": None if access.scopes is None else list(access.scopes),
        "api_key": sealed_key,
        "key_fingerprint": store.key_fingerprint,
        "chosen_sites": None if store.chosen_sites is None else list(store.chosen_sites),
        "since": store.since,
        "enabled": store.enabled,
        "error": store.error,
        "checked_at": checked_at,
        "title": store.title,
    }
    changed = connection.execute(sa.update(STORE).where(STORE.c.id == store.id).values(values))
    if not changed.rowcount:
        connection.execute(
            sa.text(
                "INSERT INTO sync.store (id, name, url, account, api_key, key_fingerprint, zone)"
                " OVERRIDING SYSTEM VALUE VALUES (:id, :name, '', '', '', '', 'UTC')"
            ),
            {"id": store.id, "name": store.name},
        )
        connection.execute(sa.update(STORE).where(STORE.c.id == store.id).values(values))


def renew(
    connection: sa.Connection, before: Store, *, url: str, sealed_key: bytes, key_fingerprint: str
) -> None:
    """Set another address or key of the same account; BadRequest if either changed meanwhile."""
    changed = connection.execute(
        sa.update(STORE)
        .where(
            STORE.c.id == before.id,
            STORE.c.url == before.url,
            STORE.c.key_fingerprint == before.key_fingerprint,
        )
        .values(url=url, api_key=sealed_key, key_fingerprint=key_fingerprint)
    )
    if not changed.rowcount:
        raise BadRequest(
            f"{before.name} was changed or removed meanwhile, so nothing was changed here; look at "
            "it, and try again."
        )


def may_set_key(connection: sa.Connection) -> bool:
    """Tell whether this login may store API keys; the status page's own may not."""
    return _may(connection, "UPDATE")


def may_use_key(connection: sa.Connection) -> bool:
    """Tell whether this login may ask accounts; the status page's own reads no encrypted key."""
    return _may(connection, "SELECT")


def _may(connection: sa.Connection, right: str) -> bool:
    return bool(
        connection.execute(
            sa.text("SELECT has_column_privilege('sync.store', 'api_key', :right)"),
            {"right": right},
        ).scalar()
    )


def set_title(connection: sa.Connection, store_id: int, title: str | None) -> None:
    """Set a store's name for people; None for none."""
    connection.execute(sa.update(STORE).where(STORE.c.id == store_id).values(title=title))


def set_key(connection: sa.Connection, store_id: int, *, sealed_key: bytes) -> None:
    """Store the same key, sealed anew."""
    connection.execute(sa.update(STORE).where(STORE.c.id == store_id).values(api_key=sealed_key))


def set_enabled(connection: sa.Connection, store_id: int, *, enabled: bool) -> None:
    """Turn a store on or off; work under way ends with its slice."""
    connection.execute(sa.update(STORE).where(STORE.c.id == store_id).values(enabled=enabled))
    lanes.set_lanes(connection, store_id)


def forget_key(connection: sa.Connection, store_id: int) -> None:
    """Turn a store off and delete its key."""
    connection.execute(
        sa.update(STORE)
        .where(STORE.c.id == store_id)
        .values(enabled=False, api_key=b"", key_fingerprint="", error=None)
    )
    lanes.set_lanes(connection, store_id)


def remove(connection: sa.Connection, store_id: int) -> None:
    """Delete a store's row."""
    connection.execute(sa.delete(STORE).where(STORE.c.id == store_id))
