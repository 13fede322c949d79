"""Options of a store that affect a write, read once per batch by one query."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from sync.declare import Resource
from sync.rows import suppress
from sync.schema.columns import VERSIONED

_ASK = (
    "SELECT (SELECT salt FROM sync.salt WHERE EXISTS"
    f" (SELECT FROM sync.suppressed WHERE {suppress.OF_STORE})),"
    " EXISTS (SELECT FROM sync.versioned WHERE store_id = %s AND is_on)"
)


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """The salt of the suppression list, None where it is empty, and whether `versions` are kept."""

    salt: bytes | None = None
    versions: bool = False


_NOTHING = StoreOptions()


def store_options(connection: sa.Connection, resource: Resource, store_id: int) -> StoreOptions:
    """Return the options of a store for a resource; without a query where none can apply."""
    if suppress.about(resource) is None and resource.name not in VERSIONED:
        return _NOTHING
    salt, is_versioned = connection.exec_driver_sql(_ASK, (store_id, store_id)).one()
    return StoreOptions(
        bytes(salt) if salt is not None else None,
        bool(is_versioned) and resource.name in VERSIONED,
    )
