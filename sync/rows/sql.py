"""The statements that write rows and children of `crm`, one of each kind per resource.

Names come from declarations, values are bound. The statements decide which knowledge is newer:
`WHERE t.as_of < excluded.as_of`.
"""

from __future__ import annotations

from functools import cache

from sync.database.identifiers import crm_name
from sync.declare import Child, Resource

_EMPTY_KEY = "''"
_BOOKKEEPING = ("first_seen_at", "changed_at")


def key_name(resource: Resource) -> str:
    """Return the key column in SQL; the empty text for single objects."""
    return resource.key_column or _EMPTY_KEY


def key_type(resource: Resource) -> str:
    """Return the SQL type of the key."""
    return resource.key_sql or "text"


def _match(resource: Resource, alias: str) -> str:
    """Return the expression to compare with a key; the empty text for single objects."""
    return f"{alias}.{resource.key_column}" if resource.key_column else _EMPTY_KEY


@cache
def known_sql(resource: Resource) -> str:
    """Return SQL for what is known of rows by their keys; it binds the keys, then the store.

    Each key is looked up by itself, whatever Postgres's statistics say. While a table is filled for
    the first time there are none, and Postgres would rather read all rows of the store.
    """
    table = crm_name(resource.name)
    if not resource.key_column:
        return (
            f"SELECT {_EMPTY_KEY}, content_hash, as_of, deleted_at FROM {table}"
            f" WHERE {_EMPTY_KEY} = ANY(%s::text[]) AND store_id = %s"
        )
    return (
        "SELECT k.key, t.content_hash, t.as_of, t.deleted_at"
        f" FROM unnest(%s::{key_type(resource)}[]) AS k(key) CROSS JOIN LATERAL ("
        f"SELECT content_hash, as_of, deleted_at FROM {table}"
        f" WHERE store_id = %s AND {resource.key_column} = k.key OFFSET 0) AS t"
    )


@cache
def move_sql(resource: Resource) -> str:
    """Return SQL that moves the `as_of` of live rows that were read again with the same content.

    It binds keys, moments and hashes, then the store, and returns the keys that were moved.
    """
    return (
        f"UPDATE {crm_name(resource.name)} AS t SET as_of = n.as_of"
        f" FROM unnest(%s::{key_type(resource)}[], %s::timestamptz[], %s::bytea[])"
        " AS n(key, as_of, content_hash)"
        f" WHERE t.store_id = %s AND {_match(resource, 't')} = n.key AND t.as_of < n.as_of"
        " AND t.content_hash = n.content_hash AND t.deleted_at IS NULL RETURNING n.key"
    )


def _sent(resource: Resource) -> str:
    """Return a row source of two parameters: each row's `raw`, and a JSON document of the rest.

    Inside the document `raw` would be read three times: with the document, as a value, as `jsonb`.
    """
    return (
        "ROWS FROM (unnest(%b::jsonb[]),"
        f" json_populate_recordset(NULL::{crm_name(resource.name)}, %s::json)) AS n(sent_raw)"
    )


@cache
def upsert_sql(resource: Resource) -> str:
    """Return the upsert of rows as `_sent`: older knowledge gives way, tombstones come to life."""
    table = crm_name(resource.name)
    keys = ["store_id", *([resource.key_column] if resource.key_column else [])]
    columns = [*keys, *(f.name for f in resource.fields if f.name not in keys)]
    extra = ["raw", "content_hash", "as_of"]
    if resource.created_field:
        extra.append("created_on")
    if resource.is_followed:
        extra.append("listed_at")
    columns += extra
    names = ", ".join(f'"{name}"' for name in columns)
    values = names.replace('"raw"', "sent_raw")
    sets = [
        f'"{name}" = excluded."{name}"'
        for name in columns
        if name not in keys and name != "listed_at"
    ]
    if resource.is_followed:
        moved = (
            " OR t.created_on IS DISTINCT FROM excluded.created_on"
            if resource.created_field
            else ""
        )
        sets.append(
            f"listed_at = CASE WHEN t.deleted_at IS NOT NULL{moved}"
            " THEN excluded.listed_at ELSE t.listed_at END"
        )
    sets += [
        "changed_at = CASE WHEN t.deleted_at IS NOT NULL"
        " OR t.content_hash IS DISTINCT FROM excluded.content_hash"
        " THEN excluded.changed_at ELSE t.changed_at END",
        "deleted_at = NULL",
        "deleted_reason = NULL",
    ]
    if resource.is_followed:
        sets.append("combined_to = NULL")
    bookkeeping = ", ".join(_BOOKKEEPING)
    key = key_name(resource) if not resource.key_column else f"new.{resource.key_column}"
    return (
        f"INSERT INTO {table} AS t ({names}, {bookkeeping})"
        f" SELECT {values}, now(), now() FROM {_sent(resource)}"
        f" ORDER BY {', '.join(keys)}"
        f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {', '.join(sets)}"
        f" WHERE t.as_of < excluded.as_of"
        f" RETURNING {key}, old.store_id IS NOT NULL, old.deleted_at IS NULL"
    )


@cache
def altered_sql(resource: Resource) -> str:
    """Return SQL for the keys of rows whose columns are not what was sent, as `_sent`."""
    table = crm_name(resource.name)
    columns = [f.name for f in resource.fields] + ["raw"]
    if resource.created_field:
        columns.append("created_on")
    ours = ", ".join(f't."{name}"' for name in columns)
    said = ", ".join(f'n."{name}"' if name != "raw" else "n.sent_raw" for name in columns)
    key = resource.key_column
    join = f"t.store_id = n.store_id{f' AND t.{key} = n.{key}' if key else ''}"
    return (
        f"SELECT {f't.{key}' if key else _EMPTY_KEY}"
        f" FROM {_sent(resource)} JOIN {table} AS t ON {join}"
        f" WHERE ({ours}) IS DISTINCT FROM ({said})"
    )


@cache
def child_counts_sql(resource: Resource, child: Child) -> str:
    """Return SQL for the number of children that each parent has."""
    parent = resource.parent_column or _EMPTY_KEY
    return (
        f"SELECT {parent}, count(*) FROM {crm_name(child.name)} WHERE store_id = %s"
        f" AND {parent} = ANY(%s::{key_type(resource)}[]) GROUP BY 1"
    )


@cache
def delete_children_sql(resource: Resource, child: Child) -> str:
    """Return SQL that deletes the children of parents."""
    sql = f"DELETE FROM {crm_name(child.name)} WHERE store_id = %s"
    if resource.parent_column:
        sql += f" AND {resource.parent_column} = ANY(%s::{key_type(resource)}[])"
    return sql


@cache
def children_sql(resource: Resource, child: Child) -> str:
    """Return SQL that inserts children from a JSON document."""
    table = crm_name(child.name)
    keys = ["store_id", *([resource.parent_column] if resource.parent_column else [])]
    keys.append(child.key or "ordinal")
    columns = [*keys, *(f.name for f in child.fields if f.name not in keys)]
    names = ", ".join(f'"{name}"' for name in columns)
    return (
        f"INSERT INTO {table} ({names})"
        f" SELECT {names} FROM json_populate_recordset(NULL::{table}, %s::json)"
        f" ORDER BY {', '.join(keys)}"
    )


@cache
def mark_deleted_sql(resource: Resource) -> str:
    """Return the upsert of tombstones; they keep their first time and reason unless history has
    better ones."""
    table, kind = crm_name(resource.name), key_type(resource)
    key = resource.key_column
    keys = f"store_id, {key}" if key else "store_id"
    combined = resource.is_followed
    better = (
        "t.deleted_at IS NULL OR (excluded.deleted_reason IN ('history', 'combined')"
        " AND t.deleted_reason NOT IN ('history', 'combined'))"
    )
    sets = [
        "as_of = excluded.as_of",
        f"deleted_at = CASE WHEN {better} THEN excluded.deleted_at ELSE t.deleted_at END",
        f"deleted_reason = CASE WHEN {better}"
        " THEN excluded.deleted_reason ELSE t.deleted_reason END",
        "changed_at = CASE WHEN t.deleted_at IS NULL THEN now() ELSE t.changed_at END",
    ]
    if combined:
        sets.append("combined_to = coalesce(excluded.combined_to, t.combined_to)")
    columns = f"{keys}, as_of, first_seen_at, changed_at, deleted_at, deleted_reason"
    values = f"%s{', n.key' if key else ''}, n.as_of, now(), now()"
    values += ", coalesce(n.deleted_at, now()), n.reason"
    if combined:
        columns += ", combined_to"
        values += ", n.combined_to"
    returned = f"new.{key}" if key else "''"
    return (
        f"INSERT INTO {table} AS t ({columns}) SELECT {values}"
        f" FROM unnest(%s::{kind}[], %s::timestamptz[], %s::timestamptz[], %s::text[],"
        " %s::bigint[]) AS n(key, as_of, deleted_at, reason, combined_to)"
        " ORDER BY n.key"
        f" ON CONFLICT ({keys}) DO UPDATE SET {', '.join(sets)} WHERE t.as_of < excluded.as_of"
        f" RETURNING {returned}, old.store_id IS NOT NULL AND old.deleted_at IS NULL"
    )
