"""The hour that comes twice, in histories: entries before an entry prove which one it is in.

A time without an offset is read by itself first, as the earlier of the two. Whenever entries of
such an hour are written, those around them are read again in the order of their ids, stored ones
too: an entry that was published late may prove something of those that came before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from sync.database.identifiers import crm_name
from sync.declare import DATETIME, Resource
from sync.declare.moments import Zone, in_order, may_repeat
from sync.records.normalise import Row
from sync.rows.sql import CHANGE_NO

_FOLLOWING = 5_000
_AROUND = """
(SELECT id, created_at FROM {table} WHERE store_id = %(store)s AND id < %(first)s
    AND created_at IS NOT NULL ORDER BY id DESC LIMIT 1)
UNION ALL
(SELECT id, created_at FROM {table} WHERE store_id = %(store)s AND id BETWEEN %(first)s AND %(last)s
    AND created_at IS NOT NULL)
UNION ALL
(SELECT id, created_at FROM {table} WHERE store_id = %(store)s AND id > %(last)s
    AND created_at IS NOT NULL ORDER BY id LIMIT %(following)s)
ORDER BY 1
"""


def settle(
    connection: sa.Connection,
    resource: Resource,
    store_id: int,
    rows: Sequence[Row],
    zone: Zone,
) -> list[int]:
    """Read the times of entries that were written, and of those around them, in their order.

    Returns the ids of those whose time is another than before.
    """
    if not resource.is_history or not _is_local(resource):
        return []
    keys = [row.key for row in rows if _may_repeat(row.values, zone)]
    if not keys:
        return []
    binds = {
        "store": store_id, "first": min(keys), "last": max(keys), "following": _FOLLOWING,
    }  # fmt: skip
    table = crm_name(resource.name)
    found = connection.exec_driver_sql(_AROUND.format(table=table), binds)
    stored = [(row.id, row.created_at) for row in found]
    moved = set(in_order(stored, zone)) - set(stored)
    if moved:
        numbers, moments = zip(*sorted(moved), strict=True)
        connection.exec_driver_sql(
            f"UPDATE {table} AS t SET created_at = n.moment, changed_at = now(),"
            f" change_no = {CHANGE_NO} FROM unnest(%s::bigint[], %s::timestamptz[])"
            " AS n(id, moment) WHERE t.store_id = %s AND t.id = n.id",
            (list(numbers), list(moments), store_id),
        )
    return [number for number, _ in moved]


def _is_local(resource: Resource) -> bool:
    return any(f.name == "created_at" and f.kind is DATETIME for f in resource.fields)


def _may_repeat(values: dict[str, Any], zone: Zone) -> bool:
    moment = values.get("created_at")
    return moment is not None and may_repeat(moment.date(), zone)
