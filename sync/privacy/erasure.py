"""Removal of a person from the mirror, also when their records come again.

The erasure holds every lane of the store while it works: writes under way end before it, and later
writes find the person on the suppression list.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from sync.database.identifiers import crm_name
from sync.declare.personal import contact
from sync.errors import BadRequest
from sync.privacy import search
from sync.privacy.marks import spellings
from sync.resources import RESOURCES
from sync.rows import erasing, suppress
from sync.rows.erasing import PERSONS
from sync.schema.columns import VERSIONED
from sync.state import diagnostics, lanes
from sync.state.stores import Store


@dataclass(frozen=True, slots=True)
class Touched:
    """A table and how many of its rows are the person's."""

    table: str
    rows: int


@dataclass(frozen=True, slots=True)
class Person:
    """The records of a person by resource, and their phones and e-mails as written, with kinds."""

    records: erasing.Found
    contacts: set[tuple[str, str]]
    marks: tuple[str, ...]
    """Whole names and addresses, phones and e-mails, by which texts tell of them (marks.py)."""


def person(
    connection: sa.Connection, store: Store, customer: int, *, by_contact: bool = False
) -> Person:
    """Return what is a customer's: BadRequest when the mirror has no such customer.

    With `by_contact` also the customers and orders with one of their phones or e-mails, and what
    is theirs.
    """
    known = connection.exec_driver_sql(
        "SELECT 1 FROM crm.customers WHERE store_id = %s AND id = %s", (store.id, customer)
    ).scalar()
    if known is None:
        raise BadRequest(
            f"{store.name} has no customer {customer}; --customer takes crm.customers.id"
        )
    roots: erasing.Found = {PERSONS: erasing.merged_with(connection, store.id, [customer])}
    found = erasing.affected(connection, store.id, roots)
    written = erasing.contacts_of(connection, store.id, found)
    if by_contact:
        told = {(kind, contact(kind, value)) for kind, value in written}
        more = erasing.holders(connection, store.id, told)
        merged = erasing.merged_with(connection, store.id, [customer, *more.get(PERSONS, ())])
        orders = {*found.get("orders", ()), *more.get("orders", ())}
        roots = {PERSONS: merged, "orders": sorted(orders)}
        found = erasing.affected(connection, store.id, roots)
    return Person(found, written, search.marks_of(connection, store.id, found, written))


def look(connection: sa.Connection, store: Store, records: erasing.Found) -> list[Touched]:
    """Return what an erasure of these records would touch, by table."""
    touched = []
    for name in RESOURCES:
        if not records.get(name):
            continue
        resource = RESOURCES[name]
        touched.append(Touched(name, len(records[name])))
        of = [(child.name, resource.parent_column) for child in resource.children]
        if name in VERSIONED:
            of.append((VERSIONED[name], resource.key_column))
        for table, column in of:
            count = connection.exec_driver_sql(
                f'SELECT count(*) FROM {crm_name(table)} WHERE store_id = %s AND "{column}" ='
                " ANY(%s)",
                (store.id, records[name]),
            ).scalar_one()
            if count:
                touched.append(Touched(table, count))
    return touched


def erase(
    connection: sa.Connection, store: Store, customer: int, *, by_contact: bool = False
) -> list[Touched]:
    """Erase a customer, and suppress them from now on; return what was touched. Idempotent.

    With `by_contact`, records that come with one of their phones or e-mails are suppressed too.
    """
    # A transaction that writes ends first; the next one finds the person on the list.
    lanes.lock_all(connection, [store.id])
    theirs = person(connection, store, customer, by_contact=by_contact)
    touched = look(connection, store, theirs.records)
    for name, keys in theirs.records.items():
        if name == PERSONS or erasing.followers(name):
            suppress.suppress(connection, store.id, name, keys)
    for kind, written in sorted(theirs.contacts) if by_contact else ():
        if told := contact(kind, written):
            suppress.suppress(connection, store.id, kind, [told])
    roots = dict(theirs.records)
    for name, keys in erasing.nameless(connection, store.id).items():
        roots[name] = [*{*roots.get(name, ()), *keys}]
    _mask(connection, store.id, roots, theirs.marks, zone=store.zone)
    return touched


def erase_again(connection: sa.Connection, store: Store) -> int:
    """Mask what a backup brought back of the persons on the list; return the masked rows."""
    roots = suppress.brought_back(connection, store.id)
    found = erasing.affected(connection, store.id, roots)
    written = erasing.contacts_of(connection, store.id, found)
    marks = search.marks_of(connection, store.id, found, written)
    return sum(map(len, _mask(connection, store.id, roots, marks, zone=store.zone).values()))


def _mask(
    connection: sa.Connection,
    store_id: int,
    roots: erasing.Found,
    marks: Iterable[str],
    *,
    zone: str,
) -> erasing.Found:
    masked = erasing.erase_stored(connection, store_id, roots, zone=zone)
    diagnostics.cut_marks(connection, {each for mark in marks for each in spellings(mark)})
    return masked
