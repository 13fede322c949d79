"""Removal of a person from the mirror, also when their records come again.

The erasure holds every lane of the store while it works: writes under way end before it, and later
writes find the person on the suppression list.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from sync.database.identifiers import crm_name
from sync.errors import BadRequest
from sync.resources import RESOURCES
from sync.rows import erasing
from sync.rows.suppress import PERSONS, suppress
from sync.schema.columns import VERSIONED
from sync.state.stores import Store


@dataclass(frozen=True, slots=True)
class Touched:
    """A table and how many of its rows are the person's."""

    table: str
    rows: int


def look(connection: sa.Connection, store: Store, customer: int) -> list[Touched]:
    """Return what an erasure would touch; BadRequest when the mirror has no such customer."""
    customers = _require(connection, store, customer)
    found = erasing.affected(connection, store.id, PERSONS, customers)
    touched = []
    for name in RESOURCES:
        if not found.get(name):
            continue
        resource = RESOURCES[name]
        touched.append(Touched(name, len(found[name])))
        of = [(child.name, resource.parent_column) for child in resource.children]
        if name in VERSIONED:
            of.append((VERSIONED[name], resource.key_column))
        for table, column in of:
            count = connection.exec_driver_sql(
                f'SELECT count(*) FROM {crm_name(table)} WHERE store_id = %s AND "{column}" ='
                " ANY(%s)",
                (store.id, found[name]),
            ).scalar_one()
            if count:
                touched.append(Touched(table, count))
    return touched


def erase(connection: sa.Connection, store: Store, customer: int) -> list[Touched]:
    """Erase a customer, and suppress them from now on; return what was touched. Idempotent."""
    # The same lock as `lease.hold`: a transaction that writes ends first, the next one waits.
    connection.exec_driver_sql(
        "SELECT 1 FROM sync.lane WHERE store_id = %s ORDER BY resource, lane FOR UPDATE",
        (store.id,),
    )
    touched = look(connection, store, customer)
    customers = erasing.combined_into(connection, store.id, [customer])
    found = erasing.erase_stored(connection, store.id, PERSONS, customers, zone=store.zone)
    for name, keys in found.items():
        if name == PERSONS or erasing.followers(name):
            suppress(connection, store.id, name, keys)
    return touched


def _require(connection: sa.Connection, store: Store, customer: int) -> list[int]:
    known = connection.exec_driver_sql(
        "SELECT 1 FROM crm.customers WHERE store_id = %s AND id = %s", (store.id, customer)
    ).scalar()
    if known is None:
        raise BadRequest(
            f"{store.name} has no customer {customer}; --customer takes crm.customers.id"
        )
    return erasing.combined_into(connection, store.id, [customer])
