"""Removal of a person from what is stored: rows, tombstones, children, raw, histories, versions.

The declarations' links say which records are a person's: a customer's orders, their history, notes,
tasks and their comments, files, loyalty accounts. Amounts, dates, codes and ids stay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa

from sync.database.identifiers import crm_name
from sync.declare import Resource
from sync.declare.personal import Link, child_links, contact, contacts, links
from sync.records.normalise import digest_of, salt_of
from sync.resources import RESOURCES
from sync.rows import children, mask, versions
from sync.rows.sql import CHANGE_NO
from sync.state import diagnostics

Found = dict[str, list[Any]]
"""Keys of records, by resource."""
PERSONS = "customers"


@cache
def followers(name: str) -> tuple[Resource, ...]:
    """Return the resources whose records link to records of this one."""
    return tuple(
        resource
        for resource in RESOURCES.values()
        if any(
            link.to == name
            for each in (links(resource), *child_links(resource).values())
            for link in each
        )
    )


def merged_with(connection: sa.Connection, store_id: int, customers: Sequence[int]) -> list[int]:
    """Return the customers, all that were combined into them, and all that they were combined into.

    The survivor of a merge holds the phones, addresses and orders of those that it took up.
    """
    return list(
        connection.exec_driver_sql(
            "WITH RECURSIVE merge AS (SELECT id, combined_to AS into_id FROM crm.customers"
            " WHERE store_id = %s AND combined_to IS NOT NULL),"
            " pair AS (SELECT id, into_id AS other FROM merge UNION ALL"
            " SELECT into_id, id FROM merge),"
            " all_of AS (SELECT unnest(%s::bigint[]) AS id UNION"
            " SELECT p.other FROM pair AS p JOIN all_of AS a ON p.id = a.id)"
            " SELECT id FROM all_of ORDER BY id",
            (store_id, list(customers)),
        ).scalars()
    )


def affected(connection: sa.Connection, store_id: int, roots: Found) -> Found:
    """Return the keys of every record that links to these, by resource, these included."""
    found: Found = {name: sorted(keys) for name, keys in roots.items()}
    waiting = [(name, list(keys)) for name, keys in roots.items()]
    while waiting:
        to, fresh = waiting.pop()
        for resource in followers(to):
            theirs = set(_hanging(connection, store_id, resource, to, fresh))
            new = sorted(theirs - set(found.get(resource.name, ())))
            if new:
                found.setdefault(resource.name, []).extend(new)
                waiting.append((resource.name, new))
    return found


@dataclass(frozen=True, slots=True)
class _Contact:
    """A column with a phone or an e-mail, and the column that names its record."""

    table: str
    column: str
    kind: str
    owner: str

    @property
    def spelled(self) -> str:
        """The column in the spelling of `personal.contact`, as SQL."""
        name = f't."{self.column}"'
        if self.kind == "email":
            return f"lower(btrim({name}))"
        return f"right(regexp_replace({name}, '\\D', '', 'g'), 10)"


def _contacts(resource: Resource) -> list[_Contact]:
    tables = [(resource.name, resource.fields, resource.key_column)] + [
        (child.name, child.fields, resource.parent_column) for child in resource.children
    ]
    return [
        _Contact(table, column, kind, owner or "")
        for table, fields, owner in tables
        for column, kind in contacts(table, fields).items()
    ]


def contacts_of(connection: sa.Connection, store_id: int, found: Found) -> set[tuple[str, str]]:
    """Return the phones and e-mails that stand in these records as written, each with its kind."""
    return {
        (each.kind, value)
        for name, keys in found.items()
        for each in _contacts(RESOURCES[name])
        for value in connection.exec_driver_sql(
            f'SELECT DISTINCT t."{each.column}" FROM {crm_name(each.table)} AS t'
            f' WHERE store_id = %s AND "{each.owner}" = ANY(%s) AND t."{each.column}" IS NOT NULL',
            (store_id, keys),
        ).scalars()
    }


def stored_names(
    connection: sa.Connection, store_id: int, resource: Resource
) -> list[tuple[Any, tuple[str, Any]]]:
    """Return the names by which a list of erased persons may know each stored record.

    They are the record's own key and its contacts, each beside the key.
    """
    key = resource.key_column
    names = [
        (own, (resource.name, own))
        for own in connection.exec_driver_sql(
            f'SELECT "{key}" FROM {crm_name(resource.name)} WHERE store_id = %s', (store_id,)
        ).scalars()
    ]
    for each in _contacts(resource):
        rows = connection.exec_driver_sql(
            f'SELECT t."{each.owner}", t."{each.column}" FROM {crm_name(each.table)} AS t'
            f' WHERE store_id = %s AND t."{each.column}" IS NOT NULL',
            (store_id,),
        )
        names += [(own, (each.kind, told)) for own, value in rows
                  if (told := contact(each.kind, value))]  # fmt: skip
    return names


def holders(connection: sa.Connection, store_id: int, told: Collection[tuple[str, str]]) -> Found:
    """Return the customers and orders in which one of these phones or e-mails stands."""
    found: Found = {}
    for name in (PERSONS, "orders"):
        keys: set[Any] = set()
        for each in _contacts(RESOURCES[name]):
            wanted = [value for kind, value in told if kind == each.kind]
            keys.update(
                connection.exec_driver_sql(
                    f'SELECT "{each.owner}" FROM {crm_name(each.table)} AS t'
                    f" WHERE store_id = %s AND {each.spelled} = ANY(%s)",
                    (store_id, wanted),
                ).scalars()
            )
        if keys:
            found[name] = sorted(keys)
    return found


def nameless(connection: sa.Connection, store_id: int, target: str | None = None) -> Found:
    """Return the history entries of records that were deleted before they were ever read.

    Their tombstones name nobody, and their entries may quote anybody. `target` limits them to the
    histories of the resource of that name.
    """
    found: Found = {}
    for history in RESOURCES.values():
        if not history.is_history:
            continue
        of = RESOURCES[history.target]
        for link in links(history) if target in (None, of.name) else ():
            if link.to == of.name:
                keys = connection.exec_driver_sql(
                    f'SELECT h."{history.key_column}" FROM {crm_name(history.name)} AS h'
                    f" JOIN {crm_name(of.name)} AS t ON t.store_id = h.store_id"
                    f' AND t."{of.key_column}" = h."{link.column}" WHERE h.store_id = %s'
                    " AND t.deleted_at IS NOT NULL AND t.raw IS NULL ORDER BY 1",
                    (store_id,),
                ).scalars()
                if some := list(keys):
                    found[history.name] = some
    return found


def _hanging(
    connection: sa.Connection, store_id: int, resource: Resource, to: str, keys: Sequence[Any]
) -> Iterator[Any]:
    key = resource.key_column
    for link in links(resource):
        if link.to == to:
            yield from connection.exec_driver_sql(
                f'SELECT "{key}" FROM {crm_name(resource.name)} AS t WHERE store_id = %s'
                f' AND "{link.column}" = ANY(%s){_unless(link)}',
                (store_id, list(keys)),
            ).scalars()
    for table, theirs in child_links(resource).items():
        for link in theirs:
            if link.to == to:
                yield from connection.exec_driver_sql(
                    f'SELECT DISTINCT "{resource.parent_column}" FROM {crm_name(table)} AS t'
                    f' WHERE store_id = %s AND "{link.column}" = ANY(%s){_unless(link)}',
                    (store_id, list(keys)),
                ).scalars()


def _unless(link: Link) -> str:
    if not link.type_column:
        return ""
    return f" AND t.\"{link.type_column}\" IS DISTINCT FROM '{link.unless}'"


def erase_stored(connection: sa.Connection, store_id: int, roots: Found, *, zone: str) -> Found:
    """Mask every stored record that links to these, these included; return the masked keys.

    `as_of` stays: nothing newer is known of them. `changed_at` moves, so that exports carry them.
    """
    found = affected(connection, store_id, roots)
    for table in sorted(found):
        resource = RESOURCES[table]
        _mask_rows(connection, store_id, resource, sorted(found[table]), zone=zone)
        diagnostics.mask(connection, store_id, table, [str(key) for key in found[table]])
    return found


def _mask_rows(
    connection: sa.Connection, store_id: int, resource: Resource, keys: list[Any], *, zone: str
) -> None:
    key, table, kind = resource.key_column, crm_name(resource.name), resource.key_sql
    parent = f'"{resource.parent.column}"' if resource.parent else "NULL"
    rows = connection.exec_driver_sql(
        f'SELECT "{key}", raw::text, {parent} FROM {table} WHERE store_id = %s'
        f' AND "{key}" = ANY(%s::{kind}[]) ORDER BY 1 FOR UPDATE',
        (store_id, keys),
    ).all()
    # Two kinds of rows: a history entry keeps its values if the changed field is an open one.
    open_changes = [row for row in rows if _is_open(resource, row[1])]
    others = [row for row in rows if not _is_open(resource, row[1])]
    for some, keeps_change in ((others, False), (open_changes, True)):
        if some:
            _update(connection, store_id, resource, some, zone=zone, keeps_change=keeps_change)
    for child in resource.children:
        where = f'WHERE store_id = %s AND "{resource.parent_column}" = ANY(%s::{kind}[])'
        dropped = mask.dropped_columns(child.name, child.fields)
        if mask.is_dropped(child):
            children.remove(connection, resource, child, store_id, keys)
        elif dropped:
            connection.exec_driver_sql(
                f"UPDATE {crm_name(child.name)} AS t SET {_nulls(dropped)}, changed_at = now(),"
                f" change_no = {CHANGE_NO} {where} AND num_nonnulls({_names(dropped)}) > 0",
                (store_id, keys),
            )
    versions.erase(connection, store_id, resource, keys)


def _is_open(resource: Resource, raw: str | None) -> bool:
    return resource.is_history and raw is not None and mask.is_open_change(raw.encode())


_CONCLUDED = "t.deleted_reason IN ('history', 'not_found', 'absent')"


def _moved(column: str, value: str, dropped: Sequence[str]) -> str:
    more = f" OR num_nonnulls({_names(dropped)}) > 0" if dropped else ""
    return (
        f" {column} = CASE WHEN t.content_hash IS DISTINCT FROM n.hash"
        f" OR t.raw IS DISTINCT FROM n.raw::jsonb OR coalesce({_CONCLUDED}, false){more}"
        f" THEN {value} ELSE t.{column} END,"
    )


def _names(columns: Sequence[str]) -> str:
    return ", ".join(f't."{name}"' for name in columns)


def _nulls(columns: Sequence[str]) -> str:
    return ", ".join(f'"{name}" = NULL' for name in columns)


def _update(
    connection: sa.Connection,
    store_id: int,
    resource: Resource,
    rows: Sequence[Any],
    *,
    zone: str,
    keeps_change: bool,
) -> None:
    key, kind = resource.key_column, resource.key_sql
    raws = [
        mask.masked_raw(raw.encode(), resource, keeps_change=keeps_change)
        if raw is not None
        else None
        for _, raw, _ in rows
    ]
    salt = salt_of(resource, zone)
    hashes = [
        digest_of(raw, salt, row[2]) if raw is not None else None
        for raw, row in zip(raws, rows, strict=True)
    ]
    dropped = mask.dropped_columns(resource.name, resource.fields, keeps_change=keeps_change)
    nulls = f"{_nulls(dropped)}, " if dropped else ""
    connection.exec_driver_sql(
        f"UPDATE {crm_name(resource.name)} AS t SET {nulls}raw = n.raw::jsonb,"
        " content_hash = n.hash,"
        f"{_moved('changed_at', 'now()', dropped)}"
        f"{_moved('change_no', CHANGE_NO, dropped)}"
        f" deleted_reason = CASE WHEN {_CONCLUDED} THEN 'erased' ELSE t.deleted_reason END"
        f" FROM unnest(%s::{kind}[], %s::text[], %s::bytea[]) AS n(key, raw, hash)"
        f' WHERE t.store_id = %s AND t."{key}" = n.key',
        (
            [row[0] for row in rows],
            [raw.decode() if raw is not None else None for raw in raws],
            hashes,
            store_id,
        ),
    )
