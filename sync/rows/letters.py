"""Letters read back after a load: what stands in the database is what the API sent.

The contract (sync/database/contract.py) rules out foreign encodings. This looks at the result.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from sync.database.identifiers import crm_name
from sync.declare import Resource
from sync.errors import NeedsOperator
from sync.records.normalise import Row
from sync.rows.sql import key_name

LOOKED_AT = 10
"""The rows of a batch among which one with letters beyond ASCII is looked for."""


def require_as_sent(
    connection: sa.Connection, resource: Resource, store_id: int, rows: Sequence[Row]
) -> None:
    """Read one of some rows back, as bytes of UTF-8; NeedsOperator when its letters are others."""
    row = next((row for row in rows[:LOOKED_AT] if _letters(row.raw)), None)
    if row is None:
        return
    stored = connection.exec_driver_sql(
        # Bytes, because a session that sends in a foreign encoding would read in it, too.
        f"SELECT convert_to(raw::text, 'UTF8') FROM {crm_name(resource.name)}"
        f" WHERE store_id = %s AND {key_name(resource)} = %s",
        (store_id, row.key),
    ).scalar()
    if stored is not None and _letters(bytes(stored)) != _letters(row.raw):
        raise NeedsOperator(
            f"Postgres stores other letters than {resource.name} of the API have: something between"
            " the mirror and its tables converts them, a pooler or a trigger. Nothing was stored."
        )


def _letters(raw: bytes) -> str:
    text = msgspec.json.encode(msgspec.json.decode(raw)).decode()
    return "" if text.isascii() else "".join(sorted(c for c in text if not c.isascii()))
