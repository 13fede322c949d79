"""The tables of `crm` for analysts, derived from RESOURCES. Their shape must stay compatible."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, JSONB

from sync.declare import Child, Field, Resource
from sync.resources import RESOURCES
from sync.schema.columns import (
    METADATA,
    NOW,
    VERSIONED,
    change_no,
    day,
    key,
    number,
    store_id,
    text,
    timestamp,
)

# Mirrored ids come from the API; without autoincrement=False a BigInteger key becomes BIGSERIAL.
_SQL_TYPES: dict[str, Any] = {
    "text": sa.Text(),
    "bigint": sa.BigInteger(),
    "numeric": sa.Numeric(),
    "boolean": sa.Boolean(),
    "date": sa.Date(),
    "timestamptz": sa.DateTime(timezone=True),
    "time": sa.Time(),
    # none_as_null: a missing value must be NULL, not the JSON value null.
    "jsonb": JSONB(none_as_null=True),
}

DELETED_REASONS = ("history", "combined", "not_found", "absent", "erased")


def _column(field: Field, *, key: bool = False) -> sa.Column[Any]:
    comment = f"{field.note} [{field.path}]" if field.path else field.note
    return sa.Column(
        field.name,
        _SQL_TYPES[field.kind.sql],
        primary_key=key,
        autoincrement=False,
        nullable=not key,
        comment=comment,
    )


def resource_table(resource: Resource, metadata: sa.MetaData) -> sa.Table:
    """Return the table of a resource's records."""
    columns: list[Any] = [store_id()]
    columns += [_column(f, key=f.name == resource.key) for f in resource.fields]
    if resource.created_field:
        columns.append(day("created_on", "creation day in the store's zone, as sent"))
    if resource.is_followed:
        columns += [
            timestamp("listed_at", "as_of of the read that found it (on that day)"),
            number("combined_to", "id that survived when combined"),
        ]
    columns += [
        sa.Column("raw", JSONB(none_as_null=True), comment="the record as sent"),
        sa.Column("content_hash", BYTEA, comment="hash of raw, zone and declaration version"),
        timestamp("as_of", "send moment of the request this row is known from", nullable=False),
        timestamp("first_seen_at", "when the mirror first wrote it", nullable=False),
        timestamp("changed_at", "when its content last changed here", nullable=False),
        change_no(),
        timestamp("deleted_at", "when it was deleted; NULL for live rows"),
        text("deleted_reason", f"one of {', '.join(DELETED_REASONS)}"),
    ]
    reasons = ", ".join(f"'{reason}'" for reason in DELETED_REASONS)
    constraints: list[Any] = [
        sa.CheckConstraint(
            f"deleted_reason IN ({reasons})", name=f"{resource.name}_deleted_reason_known"
        )
    ]
    indexes: list[Any] = []
    if resource.created_field:
        indexes.append(
            sa.Index(
                f"{resource.name}_live_by_day",
                "store_id",
                "created_on",
                postgresql_where=sa.text("deleted_at IS NULL"),
                postgresql_include=["listed_at"] if resource.is_followed else None,
            )
        )
    if resource.combined:
        indexes.append(
            sa.Index(
                f"{resource.name}_combined",
                "store_id",
                "id",
                postgresql_where=sa.text("deleted_reason = 'combined'"),
            )
        )
    if resource.is_history:
        # Entries lie in the order of their ids, so of their times: some kilobytes find a day.
        indexes.append(
            sa.Index(
                f"{resource.name}_by_time",
                "store_id",
                "created_at",
                postgresql_using="brin",
                postgresql_with={"autosummarize": "on"},
            )
        )
    indexes += _by_columns(resource.name, _joined_columns(resource))
    indexes += _by_change(resource, resource.name)
    return sa.Table(
        resource.name,
        metadata,
        *columns,
        *constraints,
        *indexes,
        schema="crm",
        comment=resource.note,
    )


def _by_columns(table: str, columns: Iterable[str]) -> list[sa.Index]:
    return [sa.Index(f"{table}_by_{column}", "store_id", column) for column in columns]


def _by_change(resource: Resource, table: str) -> list[sa.Index]:
    """Return the index for readers of changes; a dictionary is read faster without one."""
    grows = resource.created_field or resource.is_followed or resource.is_history
    return [sa.Index(f"{table}_by_change", "store_id", "change_no")] if grows else []


def _joined_columns(resource: Resource) -> list[str]:
    """Return the columns by which rows of a merged record, a parent or a subject are found.

    To these come those that analysts look rows up by.
    """
    columns = [f.name for f in resource.fields if f.is_indexed]
    columns += [
        column
        for other in RESOURCES.values()
        for name, column in other.combined
        if name == resource.name
    ]
    if resource.is_history:
        columns += [f.name for f in resource.fields if f.path == f"{resource.subject}.id"]
    if resource.parent and resource.parent.column != resource.key:
        columns.append(resource.parent.column)
    return sorted(set(columns))


def child_table(resource: Resource, child: Child, metadata: sa.MetaData) -> sa.Table:
    """Return the table of a list inside a resource's records."""
    columns: list[Any] = [store_id()]
    if resource.key:
        parent = next(f for f in resource.fields if f.name == resource.key)
        columns.append(
            sa.Column(
                resource.parent_column or "",
                _SQL_TYPES[parent.kind.sql],
                primary_key=True,
                autoincrement=False,
                comment=f"joins crm.{resource.name}.{resource.key}",
            )
        )
    if child.key is None:
        columns.append(key("ordinal", "place in the list as sent, from 1"))
    columns += [_column(f, key=f.name == child.key) for f in child.fields]
    if child.keeps_removed:
        columns.append(timestamp("removed_at", "when it was removed; NULL for those in use"))
    columns += [
        timestamp(
            "changed_at",
            "when its content last changed here, since the mirror keeps that of it",
            nullable=False,
            server_default=NOW,
        ),
        change_no(),
        *_by_columns(child.name, [field.name for field in child.fields if field.is_indexed]),
        *_by_change(resource, child.name),
    ]
    return sa.Table(child.name, metadata, *columns, schema="crm", comment=child.note)


def crm_tables(resources: Mapping[str, Resource], metadata: sa.MetaData) -> dict[str, sa.Table]:
    """Return every table of the given resources, by name."""
    tables = {}
    for resource in resources.values():
        tables[resource.name] = resource_table(resource, metadata)
        for child in resource.children:
            tables[child.name] = child_table(resource, child, metadata)
    return tables


CRM: dict[str, sa.Table] = crm_tables(RESOURCES, METADATA)


def version_table(resource: Resource, name: str, metadata: sa.MetaData) -> sa.Table:
    """Return the table of a resource's earlier contents; its own table has the current content."""
    key = resource.key
    return sa.Table(
        name,
        metadata,
        store_id(),
        *[_column(f, key=f.name == key) for f in resource.fields],
        sa.Column("raw", JSONB(none_as_null=True), comment="the record as sent"),
        timestamp("valid_from", "when the mirror began to hold this content", primary_key=True),
        timestamp("valid_to", "when another content or a deletion ended it", nullable=False),
        sa.Index(f"{name}_ended", "store_id", "valid_to"),
        schema="crm",
        comment=f"Earlier contents of crm.{resource.name}, kept where a store has switched it on",
    )


for _resource_name, _table_name in VERSIONED.items():
    version_table(RESOURCES[_resource_name], _table_name, METADATA)


sa.Table(
    "removed_rows",
    METADATA,
    store_id(),
    text("table_name", "table in crm that the row was removed from", primary_key=True),
    text(
        "parent_key",
        "its record's id or code, as text; empty for lists of the account itself",
        primary_key=True,
    ),
    text("key", "its own id, code or ordinal, as text", primary_key=True),
    timestamp("removed_at", "when it was last removed here", nullable=False, server_default=NOW),
    change_no(),
    sa.Index("removed_rows_by_change", "store_id", "change_no"),
    schema="crm",
    comment="Rows that were removed while their record stayed, or with it",
)
