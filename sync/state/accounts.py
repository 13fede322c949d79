"""Adding, changing, turning off and removing a store.

A removed store whose rows were kept stays in `sync.store` without a key, so that the rows keep
their store's name. Adding its account again takes that store up. Removing a store fences its lanes
first: a worker that still works on the store finds its lease gone and writes nothing more.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import sqlalchemy as sa

from sync.database.engine import attempts
from sync.database.identifiers import crm_name
from sync.declare import Resource
from sync.errors import BadRequest
from sync.schema.columns import VERSIONED
from sync.schema.service import STORE
from sync.state import stores
from sync.state.stores import Access, Store

PURGED_AT_ONCE = 5_000
_WORK = ("window", "crawl", "feed", "reread", "unlisted", "departure", "doubt")
_NOTES = (
    "proof", "drift", "reject", "unknown_field", "parked_page", "coverage", "lane", "budget_use",
    "notification", "suppressed", "versioned",
)  # fmt: skip


def fingerprint(api_key: str) -> str:
    """Return 12 hex digits that identify a key without revealing it."""
    return hashlib.sha256(b"sync.store.key_fingerprint" + api_key.encode()).hexdigest()[:12]


def is_removed(store: Store) -> bool:
    """Tell whether the key was forgotten and only rows are left."""
    return not store.api_key


def next_id(connection: sa.Connection) -> int:
    """Draw the id of the next store, for which its key is sealed and its requests are counted."""
    found: int = connection.execute(
        sa.text("SELECT nextval(pg_get_serial_sequence('sync.store', 'id'))")
    ).scalar_one()
    return found


def check_free(connection: sa.Connection, *, name: str, account: str) -> Store | None:
    """Return the removed store that this account takes up, None for a new store.

    Raises BadRequest when the account or the name is taken.
    """
    # Of two people who add the same account, the second waits, and then finds the first's store.
    connection.execute(sa.text("LOCK TABLE sync.store IN SHARE ROW EXCLUSIVE MODE"))
    known = stores.every(connection)
    same = next((store for store in known if store.account == account), None)
    if same is not None and not is_removed(same):
        raise BadRequest(
            f"This account ({account}) is mirrored already, as {same.name!r}. To give it another "
            f"key: celery -A sync mirror store set {same.name} --api-key-env VAR"
        )
    named = next((store for store in known if store.name == name), None)
    if named is not None and not is_removed(named):
        raise BadRequest(f"There is a store {name!r} already ({named.url}); choose another name.")
    if named is not None and named != same:
        raise BadRequest(
            f"{name!r} is the name of a removed store whose rows were kept; choose another name, "
            f"or: celery -A sync mirror store remove {name} --purge"
        )
    return same


def save(
    connection: sa.Connection,
    store_id: int,
    *,
    name: str,
    url: str,
    account: str,
    zone: str,
    currency: str | None,
    access: Access,
    sealed_key: bytes,
    key_fingerprint: str,
    chosen_sites: Sequence[str] | None,
    since: dt.date | None,
    checked_at: dt.datetime,
) -> None:
    """Write a store's row: that of a new store, or of a removed one that is taken up again.

    `checked_at` is a moment before the account was asked what the key sees.
    """
    values = {
        "name": name,
        "url": url,
        "account": account,
        "zone": zone,
        "currency": currency,
        "site_access": access.site_access,
        "sites": None if access.sites is None else list(access.sites),
        "scopes": None if access.scopes is None else list(access.scopes),
        "api_key": sealed_key,
        "key_fingerprint": key_fingerprint,
        "chosen_sites": None if chosen_sites is None else list(chosen_sites),
        "since": since,
        "enabled": True,
        "error": None,
        "checked_at": checked_at,
    }
    changed = connection.execute(sa.update(STORE).where(STORE.c.id == store_id).values(values))
    if not changed.rowcount:
        connection.execute(
            sa.text(
                "INSERT INTO sync.store (id, name, url, account, api_key, key_fingerprint, zone)"
                " OVERRIDING SYSTEM VALUE VALUES (:id, :name, '', '', '', '', 'UTC')"
            ),
            {"id": store_id, "name": name},
        )
        connection.execute(sa.update(STORE).where(STORE.c.id == store_id).values(values))


def take_up(
    connection: sa.Connection, store_id: int, resources: Mapping[str, Resource], *, load: bool
) -> None:
    """Put a removed store to work again; with `load`, load its resources anew over the old rows."""
    release(connection, store_id)
    stores.set_lanes(connection, store_id)
    for name in selected(connection, store_id) if load else ():
        if name in resources:
            load_anew(connection, store_id, resources[name])


def load_anew(connection: sa.Connection, store_id: int, resource: Resource) -> int:
    """Queue a first load of a resource; return the crawl's id."""
    since = connection.execute(sa.select(STORE.c.since).where(STORE.c.id == store_id)).scalar()
    days = (since if resource.created_field else None, None)
    return stores.queue_crawl(
        connection, store_id, resource.name, kind="load", asked_by="operator", days=days
    )


def renew(
    connection: sa.Connection, store_id: int, *, url: str, sealed_key: bytes, key_fingerprint: str
) -> None:
    """Set another address or key of the same account."""
    connection.execute(
        sa.update(STORE)
        .where(STORE.c.id == store_id)
        .values(url=url, api_key=sealed_key, key_fingerprint=key_fingerprint)
    )


def turn(connection: sa.Connection, store_id: int, *, enabled: bool) -> None:
    """Turn a store on or off; work under way ends with its slice."""
    connection.execute(sa.update(STORE).where(STORE.c.id == store_id).values(enabled=enabled))
    stores.set_lanes(connection, store_id)


def selected(connection: sa.Connection, store_id: int) -> list[str]:
    """Return the names of the resources a store mirrors."""
    return list(
        connection.execute(
            sa.text(
                "SELECT resource FROM sync.coverage WHERE store_id = :store AND selected"
                " ORDER BY resource"
            ),
            {"store": store_id},
        ).scalars()
    )


def release(connection: sa.Connection, store_id: int, resource: str | None = None) -> int:
    """Release parked and failing lanes, so that they are worked on at once; return how many."""
    return connection.execute(
        sa.text(
            "UPDATE sync.lane SET parked_at = NULL, attempts = 0, failing_since = NULL,"
            " error = NULL, due_at = least(due_at, now())"
            " WHERE store_id = :store AND resource = coalesce(:resource, resource)"
            " AND (parked_at IS NOT NULL OR error IS NOT NULL OR failing_since IS NOT NULL)"
        ),
        {"store": store_id, "resource": resource},
    ).rowcount


def fence(connection: sa.Connection, store_id: int, resource: str | None = None) -> None:
    """Revoke a resource's walk lease, or all leases of the store: their holders write no more."""
    connection.execute(
        sa.text(
            "UPDATE sync.lane SET token = token + 1, lease_until = NULL, holder = NULL,"
            " claimed_until = NULL WHERE store_id = :store"
            " AND (cast(:resource AS text) IS NULL OR (resource = :resource AND lane = 'walk'))"
        ),
        {"store": store_id, "resource": resource},
    )


def drop_crawls(connection: sa.Connection, store_id: int, resource: str | None = None) -> int:
    """Drop open crawls and their windows; return the number of crawls."""
    dropped = connection.execute(
        sa.text(
            "UPDATE sync.crawl SET state = 'dropped', finished_at = now() WHERE store_id = :store"
            " AND resource = coalesce(:resource, resource)"
            " AND state IN ('pending', 'running', 'parked') RETURNING id"
        ),
        {"store": store_id, "resource": resource},
    ).scalars()
    ids = list(dropped)
    connection.execute(sa.text("DELETE FROM sync.window WHERE crawl_id = ANY(:ids)"), {"ids": ids})
    return len(ids)


def forget(connection: sa.Connection, store_id: int) -> None:
    """Forget a store's key and all planned work; rows stay, and coverage claims nothing."""
    fence(connection, store_id)
    connection.execute(
        sa.update(STORE)
        .where(STORE.c.id == store_id)
        .values(enabled=False, api_key=b"", key_fingerprint="", error=None)
    )
    stores.set_lanes(connection, store_id)
    for table in _WORK:
        connection.execute(
            sa.text(f"DELETE FROM sync.{table} WHERE store_id = :store"), {"store": store_id}
        )
    connection.execute(
        sa.text(
            "UPDATE sync.coverage SET proven_as_of = NULL, complete_as_of = NULL, approval = NULL,"
            " approved = false WHERE store_id = :store"
        ),
        {"store": store_id},
    )


def purge(
    engine: sa.Engine, store_id: int, resources: Iterable[Resource]
) -> Iterator[tuple[str, int]]:
    """Delete a forgotten store's rows, some thousands a transaction; yield tables and counts."""
    for resource in resources:
        tables = [*resource.tables, *filter(None, [VERSIONED.get(resource.name)])]
        for table in reversed(tables):
            statement = sa.text(
                f"DELETE FROM {crm_name(table)} WHERE ctid = ANY(ARRAY(SELECT ctid"
                f" FROM {crm_name(table)} WHERE store_id = :store LIMIT :most))"
            )
            binds = {"store": store_id, "most": PURGED_AT_ONCE}
            deleted = PURGED_AT_ONCE
            while deleted:
                for attempt in attempts(engine):
                    with attempt as connection:
                        deleted = connection.execute(statement, binds).rowcount
                if deleted:
                    yield table, deleted
    for attempt in attempts(engine):
        with attempt as connection:
            for table in (*_WORK, *_NOTES, "store_clock"):
                connection.execute(
                    sa.text(f"DELETE FROM sync.{table} WHERE store_id = :store"),
                    {"store": store_id},
                )
            connection.execute(sa.delete(STORE).where(STORE.c.id == store_id))
