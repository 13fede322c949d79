"""Adding, changing, turning off and removing a store.

A removed store whose rows were kept stays in `sync.store` without a key, so that the rows keep
their store's name. Adding its account again takes that store up. Removing a store fences its lanes
first: a worker that still works on the store finds its lease gone and writes nothing more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping

import sqlalchemy as sa

from sync.database.engine import attempts
from sync.database.identifiers import crm_name
from sync.declare import Resource
from sync.errors import BadRequest
from sync.schema.columns import VERSIONED
from sync.schema.service import STORE
from sync.state import coverage, crawls, lanes, stores, windows
from sync.state.stores import Store

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


def take_up(
    connection: sa.Connection, store_id: int, resources: Mapping[str, Resource], *, load: bool
) -> None:
    """Put a removed store to work again; with `load`, load its resources anew over the old rows."""
    lanes.release_parked(connection, store_id)
    lanes.set_lanes(connection, store_id)
    for name in selected(connection, store_id) if load else ():
        if name in resources:
            load_anew(connection, store_id, resources[name])


def load_anew(connection: sa.Connection, store_id: int, resource: Resource) -> int:
    """Queue a first load of a resource; return the crawl's id.

    Rows that are here already are compared: a row that the walk does not meet, and one that was
    altered here, would else pass for read.
    """
    since = connection.execute(sa.select(STORE.c.since).where(STORE.c.id == store_id)).scalar()
    days = (since if resource.created_field else None, None)
    return crawls.queue_crawl(
        connection,
        store_id,
        resource.name,
        kind="load",
        asked_by="operator",
        days=days,
        deep=resource.is_followed and has_rows(connection, resource, store_id),
    )


def has_rows(connection: sa.Connection, resource: Resource, store_id: int) -> bool:
    """Tell whether a store has rows of a resource, live or not."""
    found: bool = connection.exec_driver_sql(
        f"SELECT EXISTS (SELECT FROM {crm_name(resource.name)} WHERE store_id = %s)", (store_id,)
    ).scalar_one()
    return found


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


def drop_crawls(connection: sa.Connection, store_id: int, resource: str | None = None) -> int:
    """Drop open crawls and their windows; return how many crawls."""
    dropped = crawls.drop_open(connection, store_id, resource)
    windows.remove_of(connection, dropped)
    return len(dropped)


def forget(connection: sa.Connection, store_id: int) -> None:
    """Forget a store's key and all planned work; rows stay, and coverage claims nothing."""
    lanes.fence(connection, store_id)
    stores.forget_key(connection, store_id)
    for table in _WORK:
        connection.execute(
            sa.text(f"DELETE FROM sync.{table} WHERE store_id = :store"), {"store": store_id}
        )
    coverage.withdraw_all(connection, store_id)


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
            stores.remove(connection, store_id)
