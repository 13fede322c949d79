"""Alembic's entry: one transaction, in the turn of this migrator (sync/database/migrate.py).

`celery -A sync mirror migrate` gives a connection whose transaction holds the turn, for one
revision. Alembic's own commands, which developers use, run in one transaction made here.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context

from sync.schema.everything import METADATA


def include_name(name: str | None, kind: str, parents: object) -> bool:
    """Compare our two schemas, and no others that may live in the same database."""
    if kind == "schema":
        return name in {"crm", "sync"}
    return not (kind == "table" and name == "alembic_version")


def run(connection: sa.Connection) -> None:
    """Run what was asked for in the transaction of this connection."""
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        include_schemas=True,
        include_name=include_name,
        version_table_schema="sync",
        compare_server_default=False,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    from sync.database.engine import connect
    from sync.database.migrate import prepare, take_turn, url_of_settings

    engine = connect(url_of_settings(), size=1, name="alembic")
    with engine.begin() as own:
        prepare(own)
        take_turn(own)
        run(own)
