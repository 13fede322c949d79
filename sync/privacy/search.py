"""A search for a person in all that the mirror keeps, after an erasure.

Every table of every schema, the planner's statistics, Redis: wherever a name, a phone or an e-mail
stands, in the spellings of marks.py. Rows are searched as Postgres writes them, bytes as hex.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa

from sync.database.engine import reading
from sync.database.identifiers import crm_name
from sync.declare.personal import contact
from sync.privacy.marks import marks_in, spellings
from sync.rows.erasing import PERSONS, Found

_TABLES = (
    "SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_class AS c"
    " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
    " AND c.relkind IN ('r', 'm') AND has_table_privilege(c.oid, 'SELECT') ORDER BY 1"
)
_NAMED = {PERSONS: "address_text", "orders": "delivery_address_text"}
"""The tables with a person's name, and their column with a whole address."""
_WHOLE_ADDRESS = 15
"""Characters: a shorter one is a town."""
# The commonest values and a sample of the others, of columns and of their elements.
_STATISTICS = (
    "SELECT 'statistics of ' || format('%%I.%%I', schemaname, tablename), count(*) FROM pg_stats"
    " WHERE schemaname !~ '^pg_' AND lower(concat_ws(' ', most_common_vals::text,"
    " histogram_bounds::text, most_common_elems::text)) LIKE ANY(%(like)s) GROUP BY 1"
)


def marks_of(
    connection: sa.Connection, store_id: int, records: Found, contacts: Iterable[tuple[str, str]]
) -> tuple[str, ...]:
    """Return what to search for: whole names and addresses; phones and e-mails, also in digits."""
    found: set[str] = set()
    for table, address in _NAMED.items():
        rows = connection.exec_driver_sql(
            "SELECT DISTINCT CASE WHEN first_name <> '' AND last_name <> ''"
            " THEN concat_ws(' ', first_name, last_name) END,"
            " CASE WHEN first_name <> '' AND last_name <> ''"
            f" THEN concat_ws(' ', last_name, first_name) END,"
            f" CASE WHEN length({address}) >= {_WHOLE_ADDRESS} THEN {address} END"
            f" FROM {crm_name(table)} WHERE store_id = %s AND id = ANY(%s)",
            (store_id, records.get(table, [])),
        )
        found |= {text for row in rows for text in row if text}
    for kind, written in contacts:
        found |= {written, contact(kind, written)}
    return marks_in(found)


def tables_with(engine: sa.Engine, marks: Iterable[str]) -> dict[str, int]:
    """Return the tables and statistics in which one of the marks stands, and how many rows."""
    found: dict[str, int] = {}
    like = [f"%{_plain(each)}%" for mark in marks for each in spellings(mark)]
    with reading(engine) as connection:
        for table in connection.exec_driver_sql(_TABLES).scalars().all():
            rows = connection.exec_driver_sql(
                f"SELECT count(*) FROM {table} AS t WHERE lower(t::text) LIKE ANY(%(like)s)",
                {"like": like},
            ).scalar_one()
            if rows:
                found[table] = rows
        of_planner = connection.exec_driver_sql(_STATISTICS, {"like": like})
        return found | {row[0]: row[1] for row in of_planner}


def keys_with(client: Any, marks: Iterable[str], *, prefix: str) -> dict[str, int]:
    """Return the keys of Redis below a prefix in whose name or value one of the marks stands."""
    wanted = [each.encode() for mark in marks for each in spellings(mark)]
    found: dict[str, int] = {}
    for key in client.scan_iter(match=f"{prefix}*", count=1_000):
        name = key if isinstance(key, bytes) else str(key).encode()
        held = name + b"\n" + b"\n".join(_values(client, key))
        if any(each in held.decode("utf-8", "replace").lower().encode() for each in wanted):
            found[f"Redis key {name.decode('utf-8', 'replace')}"] = 1
    return found


def _values(client: Any, key: Any) -> Iterator[bytes]:
    """Yield what a key holds, whatever its type."""
    kind = client.type(key)
    held: Iterable[Any] = ()
    match kind.decode() if isinstance(kind, bytes) else kind:
        case "string":
            held = [client.get(key)]
        case "list":
            held = client.lrange(key, 0, -1)
        case "set":
            held = client.smembers(key)
        case "zset":
            held = client.zrange(key, 0, -1)
        case "hash":
            held = [each for pair in client.hgetall(key).items() for each in pair]
    for each in held:
        if each is not None:
            yield each if isinstance(each, bytes) else str(each).encode()


def _plain(mark: str) -> str:
    return mark.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
