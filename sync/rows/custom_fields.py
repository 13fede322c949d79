"""Views of custom fields: one for each store and kind of record, a typed column for each field.

A view is renewed when the account's fields were read and differ. Columns are only ever added,
because analysts' views may depend on them (ops/docs/decisions/0010-custom-field-views.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg.errors
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from sync.rows.custom_columns import (
    Column,
    CustomField,
    columns_of,
    literal,
    quoted,
    view_name,
    view_sql,
)
from sync.telemetry import log

TABLES = {
    "order": "orders",
    "customer": "customers",
    "customer_corporate": "corporate_customers",
    "company": "corporate_customer_companies",
    "loyalty_account": "loyalty_accounts",
}
"""The API's entities that have custom fields, and their tables."""


def refresh_views(connection: sa.Connection, store_id: int, store: str) -> list[str]:
    """Renew a store's views from its custom fields; return the names of those that changed.

    `store` is its name, for the log.

    A view that an analyst is reading right now is left as it is until the next time.
    """
    changed = []
    reserved = _reserved(connection)
    for entity, table in TABLES.items():
        fields = _fields(connection, store_id, entity)
        known = _known(connection, store_id, table)
        columns = columns_of(known, fields, reserved=reserved)
        if not columns:
            continue
        try:
            with connection.begin_nested():
                view = _refresh(connection, store_id, table, columns)
        except DBAPIError as error:
            if not isinstance(error.orig, psycopg.errors.LockNotAvailable):
                raise
            log(store=store).info("view is being read, left for the next time", resource=table)
        else:
            changed += [view] if view else []
    return changed


def _refresh(
    connection: sa.Connection, store_id: int, table: str, columns: Sequence[Column]
) -> str | None:
    view = _name(connection, store_id, table)
    statements = [view_sql(view, table, store_id, columns), *_comments(view, columns)]
    definition = ";\n".join(statements)
    before = connection.execute(
        sa.text("SELECT definition FROM sync.custom_view WHERE store_id = :s AND resource = :t"),
        {"s": store_id, "t": table},
    ).scalar()
    if before == definition:
        return None
    connection.exec_driver_sql("SET LOCAL lock_timeout = '2s'")
    for statement in statements:
        connection.exec_driver_sql(statement.replace("%", "%%"))
    # The view reads with its caller's rights, so the grant gives nobody more than they have.
    connection.exec_driver_sql(f"GRANT SELECT ON crm.{quoted(view)} TO PUBLIC")
    _keep(connection, store_id, table, columns)
    connection.execute(
        sa.text(
            "UPDATE sync.custom_view SET definition = :d WHERE store_id = :s AND resource = :t"
        ),
        {"d": definition, "s": store_id, "t": table},
    )
    return view


def _comments(view: str, columns: Sequence[Column]) -> list[str]:
    name = f"crm.{quoted(view)}"
    made = [
        f"COMMENT ON VIEW {name} IS "
        + literal("Custom fields of one store's live records; join by store_id and id"),
        f"COMMENT ON COLUMN {name}.store_id IS 'crm.store.store_id'",
        f"COMMENT ON COLUMN {name}.id IS 'RetailCRM''s id'",
    ]
    for column in columns:
        about = f"{column.label} [customFields.{column.code}]"
        made.append(f"COMMENT ON COLUMN {name}.{quoted(column.name)} IS {literal(about)}")
        if column.names_column:
            of = f"{about}: its name in crm.custom_dictionary_elements"
            made.append(f"COMMENT ON COLUMN {name}.{quoted(column.names_column)} IS {literal(of)}")
    return made


def _reserved(connection: sa.Connection) -> frozenset[str]:
    """Return the words that would have to be quoted as a column's name."""
    words = connection.exec_driver_sql(
        "SELECT word FROM pg_get_keywords() WHERE catcode <> 'U'"
    ).scalars()
    return frozenset(words)


def _fields(connection: sa.Connection, store_id: int, entity: str) -> list[CustomField]:
    rows = connection.execute(
        sa.text(
            "SELECT code, coalesce(name, code) AS name, coalesce(type, 'text') AS type, dictionary"
            " FROM crm.custom_fields WHERE store_id = :s AND entity = :e AND code <> ''"
            " AND deleted_at IS NULL ORDER BY code"
        ),
        {"s": store_id, "e": entity},
    )
    return [CustomField(row.code, row.name, row.type, row.dictionary) for row in rows]


def _known(connection: sa.Connection, store_id: int, table: str) -> list[Column]:
    rows = connection.execute(
        sa.text(
            "SELECT code, type, name, dictionary, label, position FROM sync.custom_column"
            " WHERE store_id = :s AND resource = :t ORDER BY position"
        ),
        {"s": store_id, "t": table},
    )
    return [Column(**row._mapping) for row in rows]


def _keep(connection: sa.Connection, store_id: int, table: str, columns: Sequence[Column]) -> None:
    connection.execute(
        sa.text(
            "INSERT INTO sync.custom_column (store_id, resource, position, code, type, name,"
            " dictionary, label) VALUES (:s, :t, :position, :code, :type, :name, :dictionary,"
            " :label) ON CONFLICT (store_id, resource, position) DO UPDATE"
            " SET dictionary = excluded.dictionary, label = excluded.label, type = excluded.type"
        ),
        [
            {
                "s": store_id,
                "t": table,
                "position": column.position,
                "code": column.code,
                "type": column.type,
                "name": column.name,
                "dictionary": column.dictionary,
                "label": column.label,
            }
            for column in columns
        ],
    )


def _name(connection: sa.Connection, store_id: int, table: str) -> str:
    """Return the view's name, which is kept for whoever lists the views of custom fields."""
    name = view_name(table, store_id)
    connection.execute(
        sa.text(
            "INSERT INTO sync.custom_view (store_id, resource, name, definition)"
            " VALUES (:s, :t, :n, '') ON CONFLICT DO NOTHING"
        ),
        {"s": store_id, "t": table, "n": name},
    )
    return name
