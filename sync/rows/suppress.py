"""Masking of erased persons' records before they are written, whenever they come again.

`sync.suppressed` identifies the persons, and the orders and tasks found to be theirs, by a salted
hash, so that the list itself reveals nobody. An erasure holds every lane of the store
(sync/privacy/erasure.py), so a transaction sees the list as of when it took its lease, or later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa

from sync.declare import Resource
from sync.declare.personal import Link, child_links, links
from sync.records.normalise import JsonRow, Row
from sync.rows.erasing import erase_stored, followers
from sync.rows.mask import mask

PERSONS = "customers"
_KNOWN = "SELECT digest FROM sync.suppressed WHERE store_id = %s AND digest = ANY(%s)"
_ADD = (
    "INSERT INTO sync.suppressed (store_id, digest, resource)"
    " SELECT %s, unnest(%s::bytea[]), %s ON CONFLICT DO NOTHING"
)


def digest(salt: bytes, resource: str, key: object) -> bytes:
    """Return the salted hash by which the list identifies a record."""
    return hashlib.blake2b(f"{resource}/{key}".encode(), key=salt, digest_size=16).digest()


def suppress(
    connection: sa.Connection, store_id: int, resource: str, keys: Iterable[object]
) -> None:
    """Add records to the list."""
    salt = connection.exec_driver_sql("SELECT salt FROM sync.salt").scalar_one()
    digests = [digest(bytes(salt), resource, key) for key in keys]
    if digests:
        connection.exec_driver_sql(_ADD, (store_id, sorted(digests), resource))


def mask_suppressed(
    connection: sa.Connection,
    resource: Resource,
    store_id: int,
    rows: Sequence[Row],
    *,
    salt: bytes,
) -> None:
    """Mask those of the rows that are about an erased person."""
    whose = about(resource)
    if whose is None or not rows:
        return
    named = {id(row): _named(row, whose) for row in rows}
    everyone = {name for each in named.values() for name in each}
    hit = _suppressed(connection, store_id, salt, everyone)
    mine = [row for row in rows if named[id(row)] & hit]
    if not mine:
        return
    zone = _zone(connection, store_id)
    for row in mine:
        mask(row, resource, zone=zone)
    # Found by a link to a listed record. Now listed themselves, so that what links to them is
    # masked too, also what came before.
    new = sorted(row.key for row in mine if (resource.name, row.key) not in hit)
    if new and followers(resource.name):
        suppress(connection, store_id, resource.name, new)
        erase_stored(connection, store_id, resource.name, new, zone=zone)


def follow_merges(
    connection: sa.Connection,
    resource: Resource,
    store_id: int,
    merges: Mapping[Any, Any],
    *,
    salt: bytes,
) -> None:
    """Erase the records into which erased persons were combined: the persons live on there."""
    if resource.name != PERSONS or not merges:
        return
    hit = _suppressed(connection, store_id, salt, {(PERSONS, key) for key in merges})
    survivors = sorted({merges[key] for _, key in hit})
    if survivors:
        suppress(connection, store_id, PERSONS, survivors)
        zone = _zone(connection, store_id)
        found = erase_stored(connection, store_id, PERSONS, survivors, zone=zone)
        for name in ("orders", "tasks"):
            suppress(connection, store_id, name, found.get(name, ()))


def _zone(connection: sa.Connection, store_id: int) -> str:
    zone: str = connection.exec_driver_sql(
        "SELECT zone FROM sync.store WHERE id = %s", (store_id,)
    ).scalar_one()
    return zone


def _suppressed(
    connection: sa.Connection, store_id: int, salt: bytes, named: set[tuple[str, Any]]
) -> set[tuple[str, Any]]:
    digests = {digest(salt, to, key): (to, key) for to, key in named}
    rows = connection.exec_driver_sql(_KNOWN, (store_id, sorted(digests)))
    return {digests[bytes(found)] for (found,) in rows}


_About = tuple[str | None, tuple[Link, ...], tuple[tuple[int, tuple[Link, ...]], ...]]


@cache
def about(resource: Resource) -> _About | None:
    """Return the links by which a row tells whose it is; None for resources that are nobody's."""
    own = resource.name if resource.name == PERSONS or followers(resource.name) else None
    children = child_links(resource)
    inside = tuple(
        (index, children[child.name])
        for index, child in enumerate(resource.children)
        if child.name in children
    )
    mine = links(resource)
    return (own, mine, inside) if own or mine or inside else None


def _named(row: Row, whose: _About) -> set[tuple[str, Any]]:
    own, mine, inside = whose
    named = {(own, row.key)} if own else set()
    named |= _through(mine, row.values)
    for index, theirs in inside:
        for member in row.children[index]:
            named |= _through(theirs, member)
    return named


def _through(mine: tuple[Link, ...], values: JsonRow) -> set[tuple[str, Any]]:
    return {
        (link.to, values[link.column])
        for link in mine
        if link.column in values
        and not (link.type_column and values.get(link.type_column) == link.unless)
    }
