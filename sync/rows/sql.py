"""The statements that write rows of `crm`, one of each kind per resource; children.py has theirs.

Names come from declarations, values are bound. The statements decide which knowledge is newer:
`WHERE t.as_of < excluded.as_of`.
"""

from __future__ import annotations

from functools import cache

import msgspec
from psycopg.types.json import Json

from sync.database.identifiers import crm_name
from sync.declare import Resource
from sync.records.normalise import JsonRow

_encode = msgspec.json.Encoder(decimal_format="number").encode
_EMPTY_KEY = "''"
_BOOKKEEPING = ("first_seen_at", "changed_at", "change_no")
CHANGE_NO = "(SELECT sync.change_no())"
"""The number of this transaction as a change: worked out once a statement, not for each row."""
# ON CONFLICT locks the row before it writes the new one, which keeps the mark of that lock.
_WAS_THERE = "t.xmax <> 0"


def json_of(rows: list[JsonRow]) -> Json:
    """Return rows as a JSON parameter: bytes from the encoder to the socket, never a str."""
    return Json(_encode(rows), dumps=as_it_is)


def as_it_is(encoded: bytes) -> bytes:
    """Return what is encoded already, where psycopg asks for an encoder."""
    return encoded


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
def hold_sql(resource: Resource) -> str:
    """Return SQL that locks rows by the store and their keys, and tells which of them live, and
    their creation days.

    In key order, as everything locks rows. What is said of them stays true until the commit.
    """
    day = "created_on" if resource.created_field else "cast(NULL AS date)"
    return (
        f"SELECT {key_name(resource)}, deleted_at IS NULL, {day} FROM {crm_name(resource.name)}"
        f" WHERE store_id = %s AND {key_name(resource)} = ANY(%s::{key_type(resource)}[])"
        " ORDER BY 1 FOR NO KEY UPDATE"
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
    # Columns are compared where the hash is the same: somebody may have altered them by hand.
    shown = content_columns(resource)
    altered = (
        f"({', '.join(f't.{name}' for name in shown)})"
        f" IS DISTINCT FROM ({', '.join(f'excluded.{name}' for name in shown)})"
    )
    sets += [
        *(
            f"{name} = CASE WHEN t.deleted_at IS NOT NULL"
            f" OR t.content_hash IS DISTINCT FROM excluded.content_hash OR {altered}"
            f" THEN excluded.{name} ELSE t.{name} END"
            for name in ("changed_at", "change_no")
        ),
        "deleted_at = NULL",
        "deleted_reason = NULL",
    ]
    if resource.is_followed:
        sets.append("combined_to = NULL")
    bookkeeping = ", ".join(_BOOKKEEPING)
    return (
        f"INSERT INTO {table} AS t ({names}, {bookkeeping})"
        f" SELECT {values}, now(), now(), {CHANGE_NO} FROM {_sent(resource)}"
        f" ORDER BY {', '.join(keys)}"
        f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {', '.join(sets)}"
        f" WHERE t.as_of < excluded.as_of"
        f" RETURNING {_match(resource, 't')}, {_WAS_THERE}"
    )


def content_columns(resource: Resource) -> list[str]:
    """Return the columns, quoted, that follow from a record, `raw` the last of them."""
    names = [f.name for f in resource.fields]
    names += ["created_on"] if resource.created_field else []
    return [f'"{name}"' for name in (*names, "raw")]


@cache
def altered_sql(resource: Resource) -> str:
    """Return SQL for the keys of rows whose columns are not what was sent, as `_sent`."""
    table = crm_name(resource.name)
    *columns, _ = content_columns(resource)
    ours = ", ".join(f"t.{name}" for name in (*columns, "raw"))
    said = ", ".join(f"n.{name}" for name in (*columns, "sent_raw"))
    key = resource.key_column
    join = f"t.store_id = n.store_id{f' AND t.{key} = n.{key}' if key else ''}"
    return (
        f"SELECT {f't.{key}' if key else _EMPTY_KEY}"
        f" FROM {_sent(resource)} JOIN {table} AS t ON {join}"
        f" WHERE ({ours}) IS DISTINCT FROM ({said})"
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
    into = "coalesce(excluded.combined_to, t.combined_to)"
    told = f"{better} OR {into} IS DISTINCT FROM t.combined_to" if combined else better
    sets = [
        "as_of = excluded.as_of",
        f"deleted_at = CASE WHEN {better} THEN excluded.deleted_at ELSE t.deleted_at END",
        f"deleted_reason = CASE WHEN {better}"
        " THEN excluded.deleted_reason ELSE t.deleted_reason END",
        *(
            f"{name} = CASE WHEN {told} THEN excluded.{name} ELSE t.{name} END"
            for name in ("changed_at", "change_no")
        ),
    ]
    if combined:
        sets.append(f"combined_to = {into}")
    columns = f"{keys}, as_of, first_seen_at, changed_at, change_no, deleted_at, deleted_reason"
    values = f"%s{', n.key' if key else ''}, n.as_of, now(), now(), {CHANGE_NO}"
    values += ", coalesce(n.deleted_at, now()), n.reason"
    if combined:
        columns += ", combined_to"
        values += ", n.combined_to"
    return (
        f"INSERT INTO {table} AS t ({columns}) SELECT {values}"
        f" FROM unnest(%s::{kind}[], %s::timestamptz[], %s::timestamptz[], %s::text[],"
        " %s::bigint[]) AS n(key, as_of, deleted_at, reason, combined_to)"
        " ORDER BY n.key"
        f" ON CONFLICT ({keys}) DO UPDATE SET {', '.join(sets)} WHERE t.as_of < excluded.as_of"
        f" RETURNING {_match(resource, 't')}, {_WAS_THERE}"
    )
