"""Records to rows: all irregularities of the API's data are handled here.

They are (with evidence in the API facts): `[]` stands for an empty map; payments come as a map or a
list; a missing field of a whole record means empty; empty text stands for a missing date or number.
storable.py handles the values that Postgres cannot store.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sync.declare import Child, Field, Reading, Rejected, Resource, Shape
from sync.declare.moments import Zone, day_as_sent
from sync.storable import encode, storable

JsonRow = dict[str, Any]
"""A row for `json_populate_recordset`, with only the columns that have a value."""

_VALUE_LENGTH = 2_000
_LONGEST_KEY = 500  # characters; an index row holds 2,700 bytes
_MOST_UNKNOWN = 200
_KEY_LENGTH = 200
NAME_LENGTH = 300
"""The most characters kept of an unknown field's path."""
_RECORD_ONLY = ""
_WHOLE_RECORD = "record:"


@dataclass(frozen=True, slots=True)
class Reject:
    """A rejected value: `field` is the column, or `table.column[n]` for children."""

    record: str
    field: str
    value: str
    reason: str

    @property
    def is_whole(self) -> bool:
        """True when the reject holds a whole record that could not become a row."""
        return self.field == _RECORD_ONLY and self.record.startswith(_WHOLE_RECORD)


@dataclass(slots=True)
class Row:
    """A record ready to be written.

    `key` is the id or code, "" for single objects. `children` holds a list of rows for each of
    `Resource.children`, without `store_id` and the parent's column. `masked` is True when personal
    data was removed from the record.
    """

    key: int | str
    values: JsonRow
    children: list[list[JsonRow]]
    raw: bytes
    content_hash: bytes
    created_on: dt.date | None
    masked: bool = False


@dataclass(slots=True)
class Batch:
    """The rows of a page in the order sent, with unique keys (the last one counts), and rejects."""

    rows: list[Row] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    unknown: dict[str, str] = field(default_factory=dict)
    repeats: dict[str, int] = field(default_factory=dict)
    """The number of times each surrogate key has occurred so far in the page's walk."""


@dataclass(slots=True)
class _Taken:
    """The values read from one record so far."""

    values: JsonRow
    children: list[list[JsonRow]]
    found: list[tuple[str, Any, str]]
    unknown: dict[str, str]


_Leaf = tuple[str, Callable[[Any, Reading], Any], type | None]
"""A column, its parser, and the type of value that needs no parsing (`Kind.as_is`)."""


@dataclass(slots=True)
class _Node:
    """A node of a record's path: it leads to columns, deeper nodes, a child table, or nowhere."""

    leaves: list[_Leaf] = field(default_factory=list)
    steps: dict[str, _Node] = field(default_factory=dict)
    single: dict[str, _Leaf] = field(default_factory=dict)
    """The members of `steps` that lead to exactly one column: nearly all."""
    child: int | None = None
    known: bool = False  # declared as `raw_only`, or below a JSON column


def _tree(
    fields: Iterable[Field], children: Iterable[Child], raw_only: Iterable[tuple[str, str]]
) -> _Node:
    root = _Node()

    def node(path: str) -> _Node:
        here = root
        for step in path.split(".") if path else ():
            here = here.steps.setdefault(step, _Node())
        return here

    for each in fields:
        node(each.path).leaves.append((each.name, each.kind.parse, each.kind.as_is))
    for index, child in enumerate(children):
        node(child.path).child = index
    for path, _ in raw_only:
        _mark_known(node(path))
    for each in fields:
        if each.kind.sql == "jsonb" and each.path:  # the column holds everything below the path
            _mark_known(node(each.path))
    _mark_single(root)
    return root


def _mark_single(node: _Node) -> None:
    for name, step in node.steps.items():
        if len(step.leaves) == 1 and not step.steps and step.child is None:
            node.single[name] = step.leaves[0]
        _mark_single(step)


def _mark_known(node: _Node) -> None:
    node.known = True
    for step in node.steps.values():
        _mark_known(step)


def salt_of(resource: Resource, zone_name: str) -> bytes:
    """Return the inputs of a row besides its record; they are part of every `content_hash`."""
    return f"{zone_name}|{resource.version}".encode()


def digest_of(raw: bytes, salt: bytes, parent: int | str | None) -> bytes:
    """Return the `content_hash` of a record."""
    digest = hashlib.blake2b(raw, digest_size=16, key=salt)
    if parent is not None:  # the same record with another parent is a different row
        digest.update(f"|{parent}".encode())
    return digest.digest()


def records_of(value: Any) -> list[Any]:
    """Return the records under an answer key, which holds a list or a map (`[]` when empty)."""
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, list):
        return value
    raise TypeError(f"expected a list or an object of records, got {type(value).__name__}")


class Normaliser:
    """A converter of one resource's records to rows, in one store's zone."""

    def __init__(self, resource: Resource, zone: Zone, zone_name: str) -> None:
        self.resource = resource
        self._reading = Reading(zone)
        self._tree = _tree(resource.fields, resource.children, resource.raw_only)
        self._child_trees = [_tree(child.fields, (), ()) for child in resource.children]
        made = resource.made.columns if resource.made else ()
        kinds = {f.name: f for f in resource.fields}
        self._made_of = [
            (c, kinds[c].path if kinds[c].kind.sql == "timestamptz" else "") for c in made
        ]
        self._salt = salt_of(resource, zone_name)

    def batch(
        self,
        records: Iterable[Any],
        *,
        parent: int | str | None = None,
        repeats: Mapping[str, int] | None = None,
        from_raw: bool = False,
    ) -> Batch:
        """Normalise a page's records; no content of a record raises an exception.

        `parent` is the key of the records' parent (`Resource.parent`). `repeats` is
        `Batch.repeats` of the previous page (`Made.repeats`). `from_raw`: the records come from
        our `raw` column, so they are storable.
        """
        batch = Batch(repeats=dict(repeats or {}))
        rows: dict[int | str, Row] = {}
        for record in records:
            start = len(batch.rejects)
            try:
                kept = (encode(record), "", record) if from_raw else storable(record)
                row = self._row(*kept, batch, parent)
            except RecursionError:  # JSON allows deeper nesting than Python can follow
                batch.rejects.append(_whole(_outline(record), "the record is nested too deeply"))
                continue
            if row is None:
                continue
            if rows.pop(row.key, None) is not None:  # drop the rejects of the replaced row
                stale = str(row.key)
                batch.rejects[:start] = [r for r in batch.rejects[:start] if r.record != stale]
            rows[row.key] = row
        batch.rows = list(rows.values())
        batch.rejects = list({(r.record, r.field): r for r in batch.rejects}.values())
        return batch

    def _row(
        self, raw: bytes, cleaned: str, record: Any, batch: Batch, parent: int | str | None
    ) -> Row | None:
        resource = self.resource
        into = _Taken({}, [[] for _ in resource.children], [], batch.unknown)
        if resource.shape is Shape.SCALARS and not isinstance(record, dict | list):
            self._leaves(self._tree, record, into)
            record = {}
        if not isinstance(record, dict):
            batch.rejects.append(_whole(raw, "the record is not an object"))
            return None
        self._read(self._tree, record, into, "")
        if resource.parent and parent is not None:
            into.values[resource.parent.column] = parent
        if resource.made:
            into.values[resource.key] = self._made_key(record, into.values, batch)
        key = into.values.get(resource.key) if resource.key else ""
        if key is None or (isinstance(key, str) and len(key) > _LONGEST_KEY):
            batch.rejects.append(_whole(raw, f"no usable {resource.key}"))
            return None
        if cleaned:
            into.found.append(
                (_RECORD_ONLY, cleaned, "characters or numbers Postgres cannot store")
            )
        batch.rejects += [_reject(str(key), name, value, why) for name, value, why in into.found]
        digest = digest_of(raw, self._salt, parent)
        created_on = None
        if resource.created_field:
            created_on = day_as_sent(record.get(resource.created_field))
        return Row(key, into.values, into.children, raw, digest, created_on)

    def _made_key(self, record: dict[str, Any], values: JsonRow, batch: Batch) -> str | None:
        made = self.resource.made
        assert made is not None
        # Moments as sent: their instant depends on the zone, which may change; a key may not.
        parts = [
            _text_at(record, path) if path and column in values else values.get(column)
            for column, path in self._made_of
        ]
        if all(part is None for part in parts):
            return None
        key = "/".join("" if part is None else _escaped(part) for part in parts)
        if made.repeats or len(key) > _KEY_LENGTH:
            key = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
        if not made.repeats:
            return key
        batch.repeats[key] = batch.repeats.get(key, 0) + 1
        return f"{key}/{batch.repeats[key]}"

    def _read(self, node: _Node, record: dict[str, Any], into: _Taken, path: str) -> None:
        single, steps = node.single, node.steps
        reading, values, found = self._reading, into.values, into.found
        for name, value in record.items():
            leaf = single.get(name)
            if leaf is not None:  # the innermost loop: the body of _leaves is inlined for speed
                column, parse, as_is = leaf
                if value.__class__ is as_is:
                    values[column] = value
                elif value is not None and (value != "" or as_is is str):
                    try:
                        parsed = parse(value, reading)
                    except Rejected as why:
                        found.append((column, value, str(why)))
                    else:
                        if parsed is not None:
                            values[column] = parsed
                continue
            step = steps.get(name)
            if step is not None:
                if value is not None:
                    self._read_below(step, value, into, path + name)
            elif not node.known and len(into.unknown) < _MOST_UNKNOWN:
                into.unknown.setdefault((path + name)[:NAME_LENGTH], _shorten(value, 200))

    def _read_below(self, step: _Node, value: Any, into: _Taken, path: str) -> None:
        """Read the value at a path that leads to several columns, deeper, or to a child table."""
        self._leaves(step, value, into)
        if step.child is not None:
            into.children[step.child] = self._children(step.child, value, into)
        elif step.steps:
            if isinstance(value, dict):
                self._read(step, value, into, f"{path}.")
            elif value != [] and not step.leaves:
                into.found.append((path, value, "expected an object"))

    def _leaves(self, node: _Node, value: Any, into: _Taken) -> None:
        for column, parse, as_is in node.leaves:
            if value is None or (value == "" and as_is is not str):
                continue  # PHP sends null or "" for a missing value
            try:
                parsed = parse(value, self._reading)
            except Rejected as why:
                into.found.append((column, value, str(why)))
            else:
                if parsed is not None:
                    into.values[column] = parsed

    def _children(self, index: int, value: Any, into: _Taken) -> list[JsonRow]:
        child, tree = self.resource.children[index], self._child_trees[index]
        found, below = into.found, f"{child.path}[]."
        if isinstance(value, dict):
            members = [
                {child.map_key: name, **member}
                if child.map_key and isinstance(member, dict)
                else member
                for name, member in value.items()
            ]
        elif isinstance(value, list):
            members = value
        else:
            found.append((child.name, value, "expected a list or an object"))
            return []
        rows: dict[Any, JsonRow] = {}
        for ordinal, member in enumerate(members, start=1):
            mine = _Taken({} if child.key else {"ordinal": ordinal}, [], [], into.unknown)
            if tree.leaves:  # a list of plain values
                self._leaves(tree, member, mine)
            elif isinstance(member, dict):
                self._read(tree, member, mine, below)
            elif member != []:
                mine.found.append(("", member, "expected an object"))
            key = mine.values.get(child.key) if child.key else ordinal
            for column, bad, why in mine.found:
                name = f"{child.name}.{column.removeprefix(below)}" if column else child.name
                found.append((f"{name}[{ordinal}]", bad, why))
            if key is None:
                found.append((f"{child.name}[{ordinal}]", member, f"no usable {child.key}"))
                continue
            if key in rows:
                found.append((f"{child.name}[{ordinal}]", member, f"{child.key} sent twice"))
            rows[key] = mine.values
        return list(rows.values())


def _text_at(record: Any, path: str) -> Any:
    for step in path.split("."):
        record = record.get(step) if isinstance(record, dict) else None
    return record


def _escaped(part: Any) -> str:
    """Escape a part of a surrogate key, so that parts joined by / stay distinct."""
    return str(part).replace("%", "%25").replace("/", "%2F")


def _shorten(value: Any, length: int) -> str:
    return (value if isinstance(value, str) else encode(value).decode())[:length]


def _reject(record: str, name: str, value: Any, reason: str) -> Reject:
    return Reject(record, name, _shorten(value, _VALUE_LENGTH), reason)


def _outline(record: Any) -> bytes:
    """Return a record that cannot be encoded as JSON as text: all of it, or its top level."""
    try:
        return ascii(record).encode()
    except RecursionError:
        members = record.items() if isinstance(record, dict) else enumerate(record)
        top = {name: value for name, value in members if not isinstance(value, dict | list)}
        return ascii(top).encode()


def _whole(raw: bytes, reason: str) -> Reject:
    """Return a reject with a whole record, named by a hash of its content."""
    name = _WHOLE_RECORD + hashlib.blake2b(raw, digest_size=8).hexdigest()
    return Reject(name, _RECORD_ONLY, raw.decode()[:100_000], reason)
