"""Nudges: an account says that something changed, so that its feeds are looked at sooner.

A row of `sync.nudge` for each store that has a nudge URL. A nudge is a reason to look and nothing
else: it changes when a feed is due, and may name records, which are read first if they are known
here. The secret of the URL is kept as a hash. A feed that is at work when a nudge comes is due at
once when its slice ends (sync/work/slices.py).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from sync.database.identifiers import crm_name
from sync.state import lanes

MOST_NAMED = 100
"""The most records that may wait to be read because of nudges: one request's worth."""
FEEDS: Mapping[str, Sequence[str]] = {
    "orders": ("order_history",),
    "customers": ("customer_history",),
    "": ("order_history", "customer_history"),
}
"""The histories to look at, by what a nudge names. Triggers exist for orders and customers."""

NAMED = ("orders", "customers")
_JOINED = (
    "SELECT coalesce(array_agg(id), '{{}}') FROM (SELECT DISTINCT unnest({0}"
    f" || cast(:{{0}} AS bigint[])) AS id LIMIT {MOST_NAMED}) AS n"
)


def digest(secret: str) -> bytes:
    """Return what is kept of a secret."""
    return hashlib.sha256(b"sync.nudge" + secret.encode("utf-8", "replace")).digest()


@dataclass(frozen=True, slots=True)
class Url:
    """Facts about a store's nudge URL, apart from its secret."""

    made_at: dt.datetime
    came: int
    acted: int
    last_at: dt.datetime | None


def url_of(connection: sa.Connection, store_id: int) -> Url | None:
    """Return what is known of a store's nudge URL; None without one."""
    row = connection.execute(
        sa.text("SELECT made_at, came, acted, last_at FROM sync.nudge WHERE store_id = :s"),
        {"s": store_id},
    ).one_or_none()
    return None if row is None else Url(row.made_at, row.came, row.acted, row.last_at)


def make(connection: sa.Connection, store_id: int) -> str:
    """Make a new secret for a store, and return it: it is not told again. The old one ends."""
    secret = secrets.token_urlsafe(24)
    connection.execute(
        sa.text(
            "INSERT INTO sync.nudge (store_id, digest) VALUES (:store, :digest)"
            " ON CONFLICT (store_id) DO UPDATE SET digest = excluded.digest, made_at = now()"
        ),
        {"store": store_id, "digest": digest(secret)},
    )
    return secret


def remove(connection: sa.Connection, store_id: int) -> bool:
    """End a store's nudge URL; tell whether there was one."""
    done = connection.execute(
        sa.text("DELETE FROM sync.nudge WHERE store_id = :s"), {"s": store_id}
    ).rowcount
    return bool(done)


def known(connection: sa.Connection) -> dict[bytes, int]:
    """Return the stores that take nudges, by the hash of their secret."""
    rows = connection.execute(
        sa.text(
            "SELECT n.digest, n.store_id FROM sync.nudge AS n"
            " JOIN sync.store AS s ON s.id = n.store_id AND s.enabled AND s.error IS NULL"
        )
    )
    return {bytes(row.digest): row.store_id for row in rows}


def feeds_of(named: Iterable[str]) -> list[str]:
    """Return the histories that a nudge is about, by the resources it names."""
    return sorted({feed for resource in named for feed in FEEDS.get(resource, ())})


def hasten(
    connection: sa.Connection,
    store_id: int,
    *,
    named: Mapping[str, Iterable[int]],
    came: int,
) -> bool:
    """Make the feeds due that nudges are about, and remember the records they name.

    `named` are ids by resource ("" for nudges that name none). Returns False when no feed is due by
    it: none is followed well, or all are at work.
    """
    hastened = lanes.hasten_feeds(connection, store_id, feeds_of(named))
    connection.execute(
        sa.text(
            "UPDATE sync.nudge SET came = came + :came, acted = acted + :acted,"
            f" last_at = clock_timestamp(), orders = ({_JOINED.format('orders')}),"
            f" customers = ({_JOINED.format('customers')}) WHERE store_id = :store"
        ),
        {
            "store": store_id,
            "came": came,
            "acted": int(hastened > 0),
            "orders": sorted(set(named.get("orders", ()))),
            "customers": sorted(set(named.get("customers", ()))),
        },
    )
    return hastened > 0


def came_since(connection: sa.Connection, store_id: int, moment: dt.datetime | None) -> bool:
    """Tell whether the last nudge of a store came after a moment of Postgres's clock."""
    return bool(
        connection.execute(
            sa.text(
                "SELECT last_at > cast(:moment AS timestamptz)"
                " FROM sync.nudge WHERE store_id = :store"
            ),
            {"store": store_id, "moment": moment},
        ).scalar()
    )


def has_named(connection: sa.Connection, store_id: int, resource: str) -> bool:
    """Tell whether nudges have named records of a resource."""
    if resource not in NAMED:
        return False
    return bool(
        connection.execute(
            sa.text(f"SELECT {resource} <> '{{}}' FROM sync.nudge WHERE store_id = :store"),
            {"store": store_id},
        ).scalar()
    )


def take_named(connection: sa.Connection, store_id: int, resource: str) -> list[int]:
    """Return the records of a resource that nudges named and that are known here; forget all.

    A name that is not here is nothing to ask for: whoever made it up would have requests sent.
    """
    if resource not in NAMED:
        return []
    ids = connection.execute(
        sa.text(
            f"UPDATE sync.nudge AS n SET {resource} = '{{}}' FROM sync.nudge AS o"
            f" WHERE n.store_id = :store AND o.store_id = n.store_id AND n.{resource} <> '{{}}'"
            f" RETURNING o.{resource}"
        ),
        {"store": store_id},
    ).scalar()
    if not ids:
        return []
    return list(
        connection.execute(
            sa.text(
                f"SELECT id FROM {crm_name(resource)} WHERE store_id = :store AND id = ANY(:ids)"
                " AND deleted_at IS NULL ORDER BY id"
            ),
            {"store": store_id, "ids": ids},
        ).scalars()
    )
