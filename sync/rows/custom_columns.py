"""Columns of a view for a custom field: their names, and how each is read from `custom_fields`.

Codes are free text that people typed. Names are made from them here, and all SQL quotes them. A
name once given stays, so names are kept in `sync.custom_column`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

LONGEST_NAME = 63  # bytes
MOST_COLUMNS = 1_500  # Postgres takes 1,664 in a view's row
_NAME = "_name"
_RESERVED_BY_US = frozenset({"store_id", "id"})


@dataclass(frozen=True, slots=True)
class Type:
    """The way to read values of a kind of custom field: the function in crm, and more."""

    sql: str
    function: str
    is_local: bool = False  # the function takes the store's zone as well
    names: str = ""  # SQL type of the column of names, where values are codes of a dictionary


_TEXT = Type("text", "custom_text")
TYPES = {
    "boolean": Type("boolean", "custom_boolean"),
    "date": Type("date", "custom_date"),
    "datetime": Type("timestamptz", "custom_datetime", is_local=True),
    "integer": Type("bigint", "custom_integer"),
    "numeric": Type("numeric", "custom_numeric"),
    "dictionary": Type("text", "custom_text", names="text"),
    "multiselect_dictionary": Type("text[]", "custom_texts", names="text[]"),
}


@dataclass(frozen=True, slots=True)
class CustomField:
    """A row of `crm.custom_fields`."""

    code: str
    name: str
    type: str
    dictionary: str | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A custom field's column, or its pair of columns: one of codes and one of names."""

    code: str
    type: str
    name: str
    dictionary: str | None
    label: str
    position: int

    @property
    def kind(self) -> Type:
        """The way to read the field: that of text for a type that is not known here."""
        return TYPES.get(self.type, _TEXT)

    @property
    def names_column(self) -> str | None:
        """The column of the dictionary's names beside its codes; None without a dictionary."""
        return self.name + _NAME if self.kind.names else None


def quoted(name: str) -> str:
    """Return a name as a quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as a constant, correct whatever standard_conforming_strings says."""
    plain = text.replace("\x00", "").replace("'", "''").replace("\\", "\\\\")
    return f" E'{plain}'" if "\\" in plain else f"'{plain}'"


def name_of(text: str, *, taken: Collection[str], reserved: Collection[str], room: int = 0) -> str:
    """Return a name that needs no quotes, made from a code: lower case, other characters as `_`.

    The name is unique among `taken`; `room` bytes are left for a suffix.
    """
    name = re.sub(r"_+", "_", re.sub(r"\W", "_", text.lower())).strip("_") or "field"
    if name[0].isdigit():
        name = f"_{name}"
    name = _shortened(name, LONGEST_NAME - room)
    if name in reserved or name in _RESERVED_BY_US:
        name = _shortened(name, LONGEST_NAME - room - 1) + "_"
    made, number = name, 2
    while made in taken:
        made = _shortened(name, LONGEST_NAME - room - 5) + f"_{number}"
        number += 1
    return made


def _shortened(name: str, length: int) -> str:
    if len(name.encode()) <= length:
        return name
    mark = hashlib.blake2b(name.encode(), digest_size=3).hexdigest()
    head = name.encode()[: length - len(mark) - 1].decode(errors="ignore").rstrip("_")
    return f"{head}_{mark}"


def view_name(table: str, store_id: int) -> str:
    """Return `orders_custom_1`: the catalogue is read by all, and a store's name is not theirs."""
    return f"{table}_custom_{store_id}"


def columns_of(
    known: Iterable[Column], fields: Iterable[CustomField], *, reserved: Collection[str]
) -> list[Column]:
    """Return the known columns, updated from the account's fields, followed by the new ones.

    A field that is gone keeps its column, for records may still hold it. A field whose type has
    changed gets another column, because a view's column cannot be retyped.
    """
    columns = {(column.code, column.kind): column for column in known}
    taken = {name for c in columns.values() for name in (c.name, c.names_column) if name}
    for field in sorted(fields, key=lambda field: field.code):
        kind = TYPES.get(field.type, _TEXT)
        before = columns.get((field.code, kind))
        if before is None:
            if len(columns) >= MOST_COLUMNS // 2:
                break
            is_retyped = any(code == field.code for code, _ in columns)
            base = f"{field.code}_{field.type}" if is_retyped else field.code
            name = _free(base, with_names=bool(kind.names), taken=taken, reserved=reserved)
            position = len(columns) + 1
        else:
            name, position = before.name, before.position
        columns[field.code, kind] = column = Column(
            field.code, field.type, name, field.dictionary, field.name, position
        )
        taken |= {name for name in (column.name, column.names_column) if name}
    return sorted(columns.values(), key=lambda column: column.position)


def _free(base: str, *, with_names: bool, taken: Collection[str], reserved: Collection[str]) -> str:
    """Return a name that is free; with `with_names`, it is also free with `_name` appended."""
    refused = set(taken)
    while True:
        name = name_of(base, taken=refused, reserved=reserved, room=len(_NAME))
        if not with_names or name + _NAME not in taken:
            return name
        refused.add(name)


def view_sql(view: str, table: str, store_id: int, columns: Iterable[Column]) -> str:
    """Return the SQL of the view: live rows of one store, read with the rights of its caller."""
    zone = f"(SELECT s.zone FROM crm.store AS s WHERE s.store_id = {store_id:d})"
    chosen = ["t.store_id", "t.id"]
    for column in columns:
        kind, value = column.kind, f"t.custom_fields -> {literal(column.code)}"
        more = f", {zone}" if kind.is_local else ""
        codes = f"crm.{kind.function}({value}{more})"
        chosen.append(f"{codes} AS {quoted(column.name)}")
        if column.names_column is None:
            continue
        elements = (
            f"FROM crm.custom_dictionary_elements AS e WHERE e.store_id = {store_id:d}"
            f" AND e.custom_dictionary_code = {literal(column.dictionary or '')} AND e.code = "
        )
        if kind.names == "text":
            names = f"(SELECT e.name {elements}{codes})"
        else:
            names = (
                f"CASE WHEN {codes} IS NOT NULL THEN ARRAY(SELECT (SELECT e.name {elements}c.code)"
                f" FROM unnest({codes}) WITH ORDINALITY AS c(code, n) ORDER BY c.n) END"
            )
        chosen.append(f"{names} AS {quoted(column.names_column)}")
    return (
        f"CREATE OR REPLACE VIEW crm.{quoted(view)} WITH (security_invoker = true) AS SELECT "
        + ", ".join(chosen)
        + f" FROM crm.{quoted(table)} AS t WHERE t.store_id = {store_id:d}"
        " AND t.deleted_at IS NULL"
    )
