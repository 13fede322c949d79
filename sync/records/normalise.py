"""Records to rows: all irregularities of the API's data are handled here.

They are (with evidence in the API facts): `[]` stands for an empty map; payments come as a map or a
list; a missing field of a whole record means empty; empty text stands for a missing date or number.
jsonb.py handles the values that Postgres cannot store.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sync.declare import Child, Field, Reading, Rejected, Resource, Shape
from sync.declare.kinds import LONGEST_INDEXED
from sync.declare.moments import Zone, day_of
from sync.records.jsonb import Encoded, encode, storable, stored

JsonRow = dict[str, Any]
"""A row for `json_populate_recordset`, with only the columns that have a value."""

_VALUE_LENGTH = 2_000
LONGEST_KEY = 1_000
"""Bytes of a code: an index row holds 2,704, and has at most two, a record's and its part's."""
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
    `Resource.children`, without `store_id` and the parent's column. `as_of` is the send moment of
    the request that the record came with. `masked` is True when personal data was removed from it.
    """

    key: int | str
    values: JsonRow
    children: list[list[JsonRow]]
    raw: bytes
    content_hash: bytes
    created_on: dt.date | None
    as_of: dt.datetime
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
    is_short: bool


_Leaf = tuple[str, Callable[[Any, Reading], Any], tuple[type, ...]]
"""A column, its parser, and the types of values that need no parsing."""


@dataclass(slots=True)
class _Node:
    """A node of a record's path: it leads to columns, deeper nodes, a child table, or nowhere."""

    path: str
    leaves: list[Field] = field(default_factory=list)
    steps: dict[str, _Node] = field(default_factory=dict)
    child: int | None = None
    known: bool = False  # declared as `raw_only`, or below a JSON column
    readers: tuple[dict[str, _Leaf], dict[str, _Leaf]] = field(default=({}, {}))
    """The members of `steps` that lead to exactly one column (nearly all): those of any record,
    and those of a record whose numbers are short."""
    is_object: bool = False
    """True where the path leads to deeper nodes only."""


def _tree(
    fields: Iterable[Field],
    children: Iterable[Child],
    raw_only: Iterable[tuple[str, str]],
    *,
    path: str = "",
) -> _Node:
    root = _Node(path)

    def node(path: str) -> _Node:
        here = root
        for step in path.split(".") if path else ():
            here = here.steps.setdefault(step, _Node(_below(here.path) + step))
        return here

    for each in fields:
        node(each.path).leaves.append(each)
    for index, child in enumerate(children):
        node(child.path).child = index
    for each_path, _ in raw_only:
        _mark_known(node(each_path))
    for each in fields:
        if each.kind.sql == "jsonb" and each.path:  # the column holds everything below the path
            _mark_known(node(each.path))
    _compile(root)
    return root


def _below(path: str) -> str:
    return f"{path}." if path else ""


def _leaf(declared: Field, short: tuple[type, ...] = ()) -> _Leaf:
    kind = declared.kind
    return declared.name, kind.parse, (*short, *((kind.as_is,) if kind.as_is else ()))


def _compile(node: _Node) -> None:
    """Prepare what the innermost loop looks up, for a node and all below it."""
    single = {
        name: step.leaves[0]
        for name, step in node.steps.items()
        if len(step.leaves) == 1 and not step.steps and step.child is None
    }
    node.readers = (
        {name: _leaf(each) for name, each in single.items()},
        {name: _leaf(each, each.kind.short) for name, each in single.items()},
    )
    node.is_object = bool(node.steps) and not node.leaves and node.child is None
    for step in node.steps.values():
        _compile(step)


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
        self._child_trees = [
            _tree(child.fields, (), (), path=f"{child.path}[]") for child in resource.children
        ]
        self._indexed = _indexed_texts(resource.fields)
        self._child_indexed = [_indexed_texts(child.fields) for child in resource.children]
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
        as_of: dt.datetime,
        parent: int | str | None = None,
        repeats: Mapping[str, int] | None = None,
        from_raw: bool = False,
    ) -> Batch:
        """Normalise records that came with a request sent at `as_of`; none raises an exception.

        `parent` is the key of the records' parent (`Resource.parent`). `repeats` is
        `Batch.repeats` of the previous page (`Made.repeats`). `from_raw`: the records come from
        our `raw` column, so they are storable.
        """
        batch = Batch(repeats=dict(repeats or {}))
        rows: dict[int | str, Row] = {}
        for record in records:
            start = len(batch.rejects)
            try:
                encoded = stored(record) if from_raw else storable(record)
                row = self._row(encoded, batch, parent, as_of)
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
        self, encoded: Encoded, batch: Batch, parent: int | str | None, as_of: dt.datetime
    ) -> Row | None:
        resource, record, raw = self.resource, encoded.record, encoded.raw
        children: list[list[JsonRow]] = [[] for _ in resource.children]
        into = _Taken({}, children, [], batch.unknown, encoded.is_short)
        if resource.shape is Shape.SCALARS and not isinstance(record, dict | list):
            self._leaves(self._tree, record, into)
            record = {}
        if not isinstance(record, dict):
            batch.rejects.append(_whole(raw, "the record is not an object"))
            return None
        self._read(self._tree, record, into)
        _refuse_long(self._indexed, into)
        if resource.parent and parent is not None:
            into.values[resource.parent.column] = parent
        if resource.made:
            into.values[resource.key] = self._made_key(record, into.values, batch)
        key = into.values.get(resource.key) if resource.key else ""
        trouble = _unusable(key, resource.key)
        if key is None or trouble:
            batch.rejects.append(_whole(raw, trouble))
            return None
        if encoded.changed:
            into.found.append(
                (_RECORD_ONLY, encoded.changed, "characters or numbers Postgres cannot store")
            )
        batch.rejects += [_reject(str(key), name, value, why) for name, value, why in into.found]
        digest = digest_of(raw, self._salt, parent)
        created_on = None
        if resource.created_field:
            created_on = day_of(record.get(resource.created_field), self._reading.zone)
        return Row(key, into.values, into.children, raw, digest, created_on, as_of)

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

    def _read(self, node: _Node, record: dict[str, Any], into: _Taken) -> None:
        readers, steps = node.readers[into.is_short], node.steps
        reading, values, found = self._reading, into.values, into.found
        for name, value in record.items():
            leaf = readers.get(name)
            if leaf is not None:  # the innermost loop: the body of _leaves is inlined for speed
                column, parse, as_is = leaf
                if value.__class__ in as_is:
                    values[column] = value
                elif value is not None and value != "":
                    try:
                        parsed = parse(value, reading)
                    except Rejected as why:
                        found.append((column, value, str(why)))
                    else:
                        if parsed is not None:
                            values[column] = parsed
                continue
            step = steps.get(name)
            if step is None:
                if not node.known and len(into.unknown) < _MOST_UNKNOWN:
                    path = (_below(node.path) + name)[:NAME_LENGTH]
                    if path not in into.unknown:
                        into.unknown[path] = _shorten(value, 200)
            elif step.is_object and value.__class__ is dict:
                self._read(step, value, into)
            elif value is not None:
                self._read_below(step, value, into)

    def _read_below(self, step: _Node, value: Any, into: _Taken) -> None:
        """Read the value at a path that leads to several columns, deeper, or to a child table."""
        self._leaves(step, value, into)
        if step.child is not None:
            into.children[step.child] = self._children(step.child, value, into)
        elif step.steps:
            if isinstance(value, dict):
                self._read(step, value, into)
            elif value != [] and not step.leaves:
                into.found.append((step.path, value, "expected an object"))

    def _leaves(self, node: _Node, value: Any, into: _Taken) -> None:
        for column, parse, as_is in map(_leaf, node.leaves):
            if value.__class__ in as_is:
                into.values[column] = value
            elif value is not None and value != "":  # PHP sends null or "" for a missing value
                try:
                    parsed = parse(value, self._reading)
                except Rejected as why:
                    into.found.append((column, value, str(why)))
                else:
                    if parsed is not None:
                        into.values[column] = parsed

    def _children(self, index: int, value: Any, into: _Taken) -> list[JsonRow]:
        child, tree = self.resource.children[index], self._child_trees[index]
        found, below = into.found, _below(tree.path)
        members: list[Any]
        if isinstance(value, dict) and not child.map_key and value.keys() & tree.steps.keys():
            members = [value]  # an object with the fields of a member is one, sent without a list
        elif isinstance(value, dict):
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
            values: JsonRow = {} if child.key else {"ordinal": ordinal}
            mine = _Taken(values, [], [], into.unknown, into.is_short)
            if tree.leaves:  # a list of plain values
                self._leaves(tree, member, mine)
            elif isinstance(member, dict):
                self._read(tree, member, mine)
            elif member != []:
                found.append((f"{child.name}[{ordinal}]", member, "expected an object"))
                if not child.key:
                    continue
            _refuse_long(self._child_indexed[index], mine)
            key = mine.values.get(child.key) if child.key else ordinal
            for column, bad, why in mine.found:
                name = f"{child.name}.{column.removeprefix(below)}" if column else child.name
                found.append((f"{name}[{ordinal}]", bad, why))
            if trouble := _unusable(key, child.key):
                found.append((f"{child.name}[{ordinal}]", member, trouble))
                continue
            if key in rows:
                found.append((f"{child.name}[{ordinal}]", member, f"{child.key} sent twice"))
            rows[key] = mine.values
        return list(rows.values())


def _unusable(key: Any, name: str | None) -> str:
    """Return why a record or a member cannot have this key, "" when it can."""
    if key is None:
        return f"no usable {name}"
    if isinstance(key, str) and len(key) * 4 > LONGEST_KEY and len(key.encode()) > LONGEST_KEY:
        return f"no usable {name}: it has more than {LONGEST_KEY:,} bytes"
    return ""


def _indexed_texts(fields: Iterable[Field]) -> tuple[str, ...]:
    return tuple(f.name for f in fields if f.is_indexed and f.kind.sql == "text")


def _refuse_long(columns: tuple[str, ...], into: _Taken) -> None:
    """Reject texts that no index could hold."""
    for column in columns:
        text = into.values.get(column)
        if text is not None and len(text) > LONGEST_INDEXED:
            del into.values[column]
            into.found.append((column, text, f"longer than {LONGEST_INDEXED} characters"))


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
