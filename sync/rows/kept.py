"""Tables kept up with the rows that they are worked out from, in the same transaction.

Each is defined once, by a view in `sync`; a function there makes its rows of some orders what the
view gives. Whoever writes rows of a source says which. An order's rows may be written by several
workers at once, each of which sees nothing of what the others have not committed. So they take
turns, store by store, from before the first of these rows is written until the commit: the turn is
the row of coverage of the store's orders, which no reader can lock. Whoever writes rows of a
followed resource locks its row of coverage first of all, then its feed (`feeds.hold`), then other
rows: in another order two of them would wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from sync.database.identifiers import crm_name
from sync.declare import Resource
from sync.records.loaded import Key
from sync.state import coverage

_SPANS, _MARGIN = "sync.keep_order_status_spans", "sync.keep_order_margin"
# The column that names the order, the rows that matter, and what depends on them.
_SOURCES = {
    "orders": ("id", "", (_SPANS, _MARGIN)),
    "order_history": ("order_id", " AND field = 'status'", (_SPANS,)),
    "costs": ("order_id", "", (_MARGIN,)),
}


def tables_of(resource: Resource) -> list[str]:
    """Return the tables that are kept up with a resource's rows."""
    _, _, functions = _SOURCES.get(resource.name, ("", "", ()))
    return [function.replace("sync.keep_", "kept_") for function in functions]


def take_turn(connection: sa.Connection, resource: Resource, store_id: int) -> None:
    """Wait for the turn to write rows of a resource, where its writers take turns."""
    if resource.name in _SOURCES:
        coverage.lock(connection, store_id, "orders")


@contextmanager
def following(
    connection: sa.Connection, resource: Resource, store_id: int, keys: Iterable[Key]
) -> Iterator[set[Key]]:
    """Keep up with the rows that are written inside: those of `keys`, or others.

    The body adds the keys of rows that it wrote to the set that it is given. Afterwards rows may
    name another order than before.
    """
    written: set[Key] = set()
    if resource.name not in _SOURCES:
        yield written
        return
    take_turn(connection, resource, store_id)
    before = _orders(connection, resource, store_id, keys)
    yield written
    if written:
        after = _orders(connection, resource, store_id, written)
        orders = {*after.values(), *(before[key] for key in written & before.keys())}
        _keep(connection, _SOURCES[resource.name][2], store_id, orders)


def _orders(
    connection: sa.Connection, resource: Resource, store_id: int, keys: Iterable[Key]
) -> dict[Key, int]:
    """Return the orders that rows name, by the rows' keys."""
    column, which, _ = _SOURCES[resource.name]
    if column == resource.key:
        return {key: key for key in keys if isinstance(key, int)}
    found = connection.exec_driver_sql(
        f"SELECT k.id, t.{column} FROM unnest(%s::bigint[]) AS k(id) CROSS JOIN LATERAL ("
        f"SELECT {column} FROM {crm_name(resource.name)} WHERE store_id = %s AND id = k.id"
        f" AND {column} IS NOT NULL{which} OFFSET 0) AS t",
        (list(keys), store_id),
    )
    return {row[0]: row[1] for row in found}


def _keep(
    connection: sa.Connection, functions: Iterable[str], store_id: int, orders: Iterable[int]
) -> None:
    ids = sorted(orders)
    if ids:
        calls = ", ".join(f"{function}(n.store, n.orders)" for function in functions)
        connection.exec_driver_sql(
            f"SELECT {calls} FROM (SELECT %s::bigint, %s::bigint[]) AS n(store, orders)",
            (store_id, ids),
        )
