"""A person's record without the person: what erasure leaves of a row, its children and its `raw`.

`sync.declare.personal` names what is kept; everything else goes, unknown fields too, and a name
that was sent where a number belongs. The columns of a masked row still follow from its `raw`, so
that reading it anew gives the same row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec

from sync.declare import Child, Field, Kind, Reading, Rejected, Resource
from sync.declare.moments import zone_of
from sync.declare.personal import OPEN_CHANGES, Care, care_of
from sync.records.normalise import Row, digest_of, salt_of

_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number", order="sorted").encode
_Tree = dict[str, Any]
_Leaf = tuple[Kind, ...]
"""The kinds of the kept columns that are read from one path."""
_READING = Reading(zone_of("UTC"))
_NO_WORDS = re.compile(r"[\d\s.,:+TZ-]{1,40}")


def mask(row: Row, resource: Resource, *, zone: str) -> None:
    """Remove the person from a row; idempotent."""
    keeps_change = row.values.get("field") in OPEN_CHANGES
    for name in dropped_columns(resource.name, resource.fields, keeps_change=keeps_change):
        row.values.pop(name, None)
    for index, child in enumerate(resource.children):
        if is_dropped(child):
            row.children[index] = []
            continue
        dropped = dropped_columns(child.name, child.fields)
        for member in row.children[index]:
            for name in dropped:
                member.pop(name, None)
    row.raw = masked_raw(row.raw, resource, keeps_change=keeps_change)
    # Computed from what is left, as by the normaliser: guesses cannot be tried against it.
    parent = row.values.get(resource.parent.column) if resource.parent else None
    row.content_hash = digest_of(row.raw, salt_of(resource, zone), parent)
    row.masked = True


@cache
def dropped_columns(
    table: str, fields: tuple[Field, ...], *, keeps_change: bool = False
) -> tuple[str, ...]:
    """Return the columns erasure empties; `keeps_change`: without the values of a history entry."""
    cares = {field.name: care_of(table, field) for field in fields}
    return tuple(
        name
        for name, care in cares.items()
        if not care.is_kept and not (care is Care.CHANGE and keeps_change)
    )


@cache
def is_dropped(child: Child) -> bool:
    """Tell whether a child list is deleted whole: its members have personal data and no key."""
    return child.key is None and bool(dropped_columns(child.name, child.fields))


def masked_raw(raw: bytes, resource: Resource, *, keeps_change: bool) -> bytes:
    """Return `raw` with only what is kept."""
    record = _decode(raw)
    kept = _projected(record, _kept_tree(resource, keeps_change=keeps_change))
    return _encode(kept if isinstance(kept, dict) else {})


def is_open_change(raw: bytes) -> bool:
    """Tell whether a history's entry is about a field whose values are codes or amounts."""
    record = _decode(raw)
    return isinstance(record, dict) and record.get("field") in OPEN_CHANGES


@cache
def _kept_tree(resource: Resource, *, keeps_change: bool) -> _Tree:
    dropped = set(dropped_columns(resource.name, resource.fields, keeps_change=keeps_change))
    tree = _tree(field for field in resource.fields if field.name not in dropped)
    for child in resource.children:
        if is_dropped(child):
            continue
        gone = set(dropped_columns(child.name, child.fields))
        members = _tree(field for field in child.fields if field.name not in gone)
        _place(tree, child.path, {"[]": members})
    return tree


def _tree(fields: Iterable[Field]) -> _Tree:
    tree: _Tree = {}
    for field in fields:
        _place(tree, field.path, (field.kind,))
    return tree


def _place(tree: _Tree, path: str, what: _Leaf | _Tree) -> None:
    *steps, last = path.split(".")  # the path "" is a plain value itself
    for step in steps:
        below = tree.setdefault(step, {})
        if isinstance(below, tuple):
            return
        tree = below
    known = tree.get(last)
    if isinstance(known, dict) and isinstance(what, dict):
        known.update(what)
    elif isinstance(known, tuple) and isinstance(what, tuple):
        tree[last] = known + what
    else:
        tree[last] = what


def _projected(value: Any, tree: _Tree | _Leaf) -> Any:
    if isinstance(tree, tuple):
        return value if any(_is_read(value, kind) for kind in tree) else None
    if "[]" in tree:
        return _members(value, tree["[]"])
    if not isinstance(value, dict):
        return [] if value == [] else _projected(value, tree[""]) if "" in tree else None
    kept = {name: _projected(member, tree[name]) for name, member in value.items() if name in tree}
    return {name: member for name, member in kept.items() if member is not None}


def _members(value: Any, tree: _Tree) -> Any:
    if isinstance(value, dict):
        return {name: _projected(member, tree) for name, member in value.items()}
    if isinstance(value, list):
        return [_projected(member, tree) for member in value]
    return None


def _is_read(value: Any, kind: Kind) -> bool:
    """Tell whether a column of this kind takes the value, and takes all of it."""
    is_text = kind.sql in {"text", "jsonb", "boolean"}
    if isinstance(value, str) and not is_text and not _NO_WORDS.fullmatch(value):
        return False
    try:
        kind.parse(value, _READING)
    except Rejected:
        return False
    return True
