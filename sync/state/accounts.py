"""Adding, changing, turning off and removing a store.

A removed store whose rows were kept stays in `sync.store` without a key, so that the rows keep
their store's name. Adding its account again takes that store up. Removing a store fences its lanes
first: a worker that still works on the store finds its lease gone and writes nothing more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from sync.crm.address import same_address
from sync.database.engine import attempts
from sync.database.identifiers import crm_name
from sync.declare import Resource
from sync.errors import BadRequest
from sync.schema.columns import VERSIONED
from sync.schema.kept import KEPT
from sync.state import coverage, crawls, lanes, stores, windows
from sync.state.stores import Access, Store

_STORE = "celery -A sync mirror store"
PURGED_AT_ONCE = 5_000
_WORK = (
    "window", "crawl", "feed", "reread", "unlisted", "departure", "doubt", "page_size",
    "access_look", "pace", "nudge", "sample",
)  # fmt: skip
_NOTES = (
    "proof", "drift", "reject", "unknown_field", "parked_page", "coverage", "lane", "budget_use",
    "notification", "versioned",
)  # fmt: skip


def fingerprint(api_key: str) -> str:
    """Return 12 hex digits that identify a key without revealing it."""
    return hashlib.sha256(b"sync.store.key_fingerprint" + api_key.encode()).hexdigest()[:12]


def is_removed(store: Store) -> bool:
    """Tell whether the key was forgotten and only rows are left."""
    return not store.sealed_under


@dataclass(frozen=True, slots=True)
class Candidate:
    """An account that somebody names: its addresses, the key's fingerprint, and what the key sees.

    `addresses` are those the account gives itself; none where it gives none.
    """

    account: str
    addresses: Sequence[str]
    key_fingerprint: str
    access: Access

    def is_of(self, store: Store) -> bool:
        """Tell by the addresses whether a store mirrors this account."""
        mine = {same_address(each) for each in (self.account, *self.addresses)}
        theirs = {store.account} if self.addresses else {store.account, store.url}
        return bool(mine & {same_address(each) for each in theirs})

    def has_key_of(self, store: Store) -> bool:
        """Tell whether the key is a store's: a key belongs to one account."""
        return not is_removed(store) and store.key_fingerprint == self.key_fingerprint


def check_free(connection: sa.Connection, *, name: str, candidate: Candidate) -> Store | None:
    """Return the removed store that this account takes up, None for a new store.

    Raises BadRequest when the account or the name is taken.
    """
    # Of two people who add the same account, the second waits, and then finds the first's store.
    connection.execute(sa.text("LOCK TABLE sync.store IN SHARE ROW EXCLUSIVE MODE"))
    known = stores.every(connection)
    same = next((each for each in known if candidate.is_of(each)), None) or next(
        (each for each in known if candidate.has_key_of(each)), None
    )
    if same is not None and not is_removed(same):
        raise BadRequest(
            f"This account ({candidate.account}) is mirrored already, as {same.name!r}, and an "
            f"account is one store, whatever its addresses and keys. {_advice(same, candidate)}"
        )
    named = next((store for store in known if store.name == name), None)
    if named is not None and not is_removed(named):
        raise BadRequest(f"There is a store {name!r} already ({named.url}); choose another name.")
    if named is not None and named != same:
        raise BadRequest(
            f"{name!r} is the name of a removed store whose rows were kept; choose another name, "
            f"or: {_STORE} remove {name} --purge"
        )
    return same


def _advice(store: Store, candidate: Candidate) -> str:
    """Return what to do about an account that is there already, by what the two keys see."""
    if candidate.has_key_of(store):
        return f"To reach it at another address: {_STORE} set {store.name} --url URL"
    renew = f"{_STORE} set {store.name} --api-key-env VAR"
    if told := swapped(store, candidate.access):
        return f"{told}, and give it to the store: {renew}"
    if store.chosen_sites is not None and candidate.access.sites != store.access.sites:
        sites = ", ".join(store.chosen_sites)
        return (
            f"{store.name} mirrors {sites} alone, as chosen with --site. For others: "
            f"{_STORE} remove {store.name} --purge, and add it again with a --site for each"
        )
    return f"To give it another key: {renew}"


def swapped(store: Store, access: Access) -> str:
    """Return why a key must not replace a store's, "" when it may.

    A key that sees other sites instead of those that are mirrored would leave these as they are for
    ever, and put the others' rows beside them. A key that only sees fewer may be meant so.
    """
    mirrored, seen = store.sites, access.sites
    if mirrored is None or seen is None:
        return ""
    lost, gained = set(mirrored) - set(seen), set(seen) - set(mirrored)
    if not lost or not gained:
        return ""
    return (
        f"This key sees {', '.join(sorted(gained))} and not {', '.join(sorted(lost))}, which "
        f"{store.name} mirrors. In Administration → Integration → API keys make one key that sees"
        f" {', '.join(sorted({*mirrored, *seen}))}"
    )


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
    store = stores.by_id(connection, store_id)
    assert store is not None
    return crawls.queue_crawl(
        connection,
        store_id,
        resource.name,
        kind="load",
        asked_by="operator",
        days=store.days_of(resource),
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
    for table in _tables_of(resources):
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


def _tables_of(resources: Iterable[Resource]) -> Iterator[str]:
    """Yield every table with rows of a store: what is worked out and children before records."""
    yield from (table.name for table in KEPT)
    for resource in resources:
        yield from reversed([*resource.tables, *filter(None, [VERSIONED.get(resource.name)])])
    yield "removed_rows"
