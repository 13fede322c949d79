"""Masking of erased persons' records before they are written, whenever they come again.

`sync.suppressed` identifies the persons, and the orders and tasks found to be theirs, by a salted
hash, so that the list itself reveals nobody; where the erasure said so, their phones and e-mails
too. The list belongs to the account: it stays when the store is purged, and counts again when the
account is added again. An erasure holds every lane of the store
(sync/privacy/erasure.py), so a transaction sees the list as of when it took its lease, or later.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa

from sync.database.identifiers import crm_name
from sync.declare import Resource
from sync.declare.personal import Link, child_links, contact, contacts, links
from sync.errors import BadRequest
from sync.records.normalise import JsonRow, Row
from sync.resources import RESOURCES
from sync.rows.erasing import (
    PERSONS,
    Found,
    erase_stored,
    followers,
    nameless,
    stored_names,
)
from sync.rows.mask import mask

OF_STORE = "account = (SELECT account FROM sync.store WHERE id = %s)"
_KNOWN = f"SELECT digest FROM sync.suppressed WHERE {OF_STORE} AND digest = ANY(%s)"
_ADD = (
    "INSERT INTO sync.suppressed (store_id, digest, resource, account)"
    " SELECT s.id, n.digest, %s, s.account FROM sync.store AS s"
    " CROSS JOIN unnest(%s::bytea[]) AS n(digest) WHERE s.id = %s ON CONFLICT DO NOTHING"
)


def digest(salt: bytes, resource: str, key: object) -> bytes:
    """Return the salted hash by which the list identifies a record."""
    return hashlib.blake2b(f"{resource}/{key}".encode(), key=salt, digest_size=16).digest()


def suppress(
    connection: sa.Connection, store_id: int, resource: str, keys: Iterable[object]
) -> None:
    """Add records to the list, or contacts: `phone` or `email` as the resource."""
    salt = connection.exec_driver_sql("SELECT salt FROM sync.salt").scalar_one()
    digests = [digest(bytes(salt), resource, key) for key in keys]
    if digests:
        connection.exec_driver_sql(_ADD, (resource, sorted(digests), store_id))


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the list; `erased_at` with its offset."""

    account: str
    resource: str
    digest: bytes
    erased_at: dt.datetime


def listed(connection: sa.Connection) -> tuple[bytes, list[Entry]]:
    """Return the secret that the digests are made with, and the whole list."""
    salt = connection.exec_driver_sql("SELECT salt FROM sync.salt").scalar_one()
    rows = connection.exec_driver_sql(
        "SELECT account, resource, digest, erased_at FROM sync.suppressed"
        " ORDER BY account, resource, digest"
    )
    return bytes(salt), [Entry(row[0], row[1], bytes(row[2]), row[3]) for row in rows]


def restore(connection: sa.Connection, salt: bytes, entries: Sequence[Entry]) -> int:
    """Add entries that were saved from this database or another; return how many are new.

    BadRequest when the secret is another one and this database's own was used already: digests of
    two secrets are not comparable.
    """
    connection.exec_driver_sql("LOCK TABLE sync.suppressed IN SHARE ROW EXCLUSIVE MODE")
    own, there = listed(connection)
    if own != salt:
        masked = connection.exec_driver_sql("SELECT EXISTS (SELECT FROM sync.reader WHERE masked)")
        if there or masked.scalar():
            raise BadRequest(
                "This list was saved from a database with another secret. Restore it into a new"
                " database, before the first erasure and the first grant with --mask."
            )
        connection.exec_driver_sql("UPDATE sync.salt SET salt = %s", (salt,))
    # An account that is not mirrored has a number of its own here, below 0.
    return connection.exec_driver_sql(
        "INSERT INTO sync.suppressed (store_id, digest, resource, account, erased_at)"
        " SELECT coalesce(s.id, -1 - abs(hashtext(n.account)::bigint)), n.digest, n.resource,"
        " n.account, n.erased_at FROM unnest(%s::text[], %s::text[], %s::bytea[],"
        " %s::timestamptz[]) AS n(account, resource, digest, erased_at)"
        " LEFT JOIN sync.store AS s ON s.account = n.account ON CONFLICT DO NOTHING",
        (
            [entry.account for entry in entries],
            [entry.resource for entry in entries],
            [entry.digest for entry in entries],
            [entry.erased_at for entry in entries],
        ),
    ).rowcount


def brought_back(connection: sa.Connection, store_id: int) -> Found:
    """Return what is stored of listed persons, as after a restore from a backup.

    Records that are known by a phone or an e-mail are added to the list.
    """
    salt, _ = listed(connection)
    roots: Found = {}
    for resource in RESOURCES.values():
        whose = about(resource)
        if whose is None or not whose.own:
            continue
        named = stored_names(connection, store_id, resource)
        hit = _suppressed(connection, store_id, salt, {name for _, name in named})
        if keys := sorted({key for key, name in named if name in hit}):
            roots[resource.name] = keys
            suppress(connection, store_id, resource.name, keys)
    for name, keys in nameless(connection, store_id).items() if roots else ():
        roots[name] = keys
    return roots


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
    hit |= _nameless(connection, resource, store_id, everyone)
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
        _list_and_erase(connection, store_id, {resource.name: new}, zone)


def _list_and_erase(connection: sa.Connection, store_id: int, roots: Found, zone: str) -> None:
    """Mask what is stored of these records and of all that link to them.

    Those to which others may belong are listed, the first ones even if they are not stored yet.
    """
    for name, keys in erase_stored(connection, store_id, roots, zone=zone).items():
        if name == PERSONS or followers(name):
            suppress(connection, store_id, name, keys)


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
        _list_and_erase(connection, store_id, {PERSONS: survivors}, _zone(connection, store_id))


def mask_nameless(connection: sa.Connection, resource: Resource, store_id: int) -> None:
    """Mask what histories say of records that were deleted before they were ever read."""
    entries = nameless(connection, store_id, resource.name)
    if entries:
        erase_stored(connection, store_id, entries, zone=_zone(connection, store_id))


def _nameless(
    connection: sa.Connection, resource: Resource, store_id: int, named: set[tuple[str, Any]]
) -> set[tuple[str, Any]]:
    """Return the subjects of history entries that were deleted before they were ever read."""
    if not resource.is_history:
        return set()
    target = RESOURCES[resource.target]
    found = connection.exec_driver_sql(
        f'SELECT "{target.key_column}" FROM {crm_name(target.name)} WHERE store_id = %s'
        f' AND "{target.key_column}" = ANY(%s) AND deleted_at IS NOT NULL AND raw IS NULL',
        (store_id, [key for name, key in named if name == target.name]),
    )
    return {(target.name, key) for key in found.scalars()}


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


@dataclass(frozen=True, slots=True)
class _Names:
    """The columns of a table by which its rows tell whose they are."""

    links: tuple[Link, ...]
    contacts: Mapping[str, str]

    def of(self, values: JsonRow) -> Iterator[tuple[str, Any]]:
        """Yield the records and contacts that a row names."""
        for link in self.links:
            is_none = link.type_column and values.get(link.type_column) == link.unless
            if link.column in values and not is_none:
                yield link.to, values[link.column]
        for column, kind in self.contacts.items():
            if column in values and (told := contact(kind, values[column])):
                yield kind, told


@dataclass(frozen=True, slots=True)
class _About:
    own: str | None
    record: _Names
    children: Mapping[int, _Names]


@cache
def about(resource: Resource) -> _About | None:
    """Return the ways by which a row tells whose it is; None for resources that are nobody's."""
    own = resource.name if resource.name == PERSONS or followers(resource.name) else None
    theirs = child_links(resource)
    if not (own or links(resource) or theirs):
        return None  # the contacts of a user or a warehouse are no customer's
    children = {
        index: _Names(theirs.get(child.name, ()), contacts(child.name, child.fields))
        for index, child in enumerate(resource.children)
    }
    return _About(
        own,
        _Names(links(resource), contacts(resource.name, resource.fields)),
        {index: names for index, names in children.items() if names.links or names.contacts},
    )


def _named(row: Row, whose: _About) -> set[tuple[str, Any]]:
    named = {(whose.own, row.key)} if whose.own else set()
    named.update(whose.record.of(row.values))
    for index, names in whose.children.items():
        for member in row.children[index]:
            named.update(names.of(member))
    return named
