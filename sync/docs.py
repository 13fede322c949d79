"""The page `ops/docs/resources.md`: every table, its source and the meaning of its columns.

`python -m sync.docs write` generates it from the declarations; `python -m sync.docs check` fails
when it is out of date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from sync.declare import (
    Child,
    CursorPages,
    DateWindows,
    Field,
    FullRefresh,
    Incremental,
    Resource,
    Shape,
    SinceId,
    SinglePage,
)
from sync.resources import RESOURCES

PAGE = Path(__file__).resolve().parents[1] / "ops" / "docs" / "resources.md"
_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))
_HEAD = (
    "# Resources\n\n"
    "Every table of `crm`, made from the declarations in `sync/resources/` by "
    "`python -m sync.docs write`. A path is where the value stands in the API's record; `[]` is a "
    "list, `{}` the values of a map.\n\n"
    "All tables have `store_id` (joins `crm.store`). Tables of resources also have `raw` (the "
    "record as sent), `content_hash`, `as_of`, `first_seen_at`, `changed_at`, `deleted_at` and "
    "`deleted_reason`; live rows are `deleted_at IS NULL`. Lists that can be cut by days have "
    "`created_on`, the creation day as sent; what a history tells of has `listed_at` and "
    "`combined_to`. A field without a column yet stays in `raw` and is noted in "
    "`sync.unknown_field`.\n"
)


def page() -> str:
    """Return the whole page."""
    parts = [_HEAD, *_index(RESOURCES.values())]
    for resource in RESOURCES.values():
        parts += _section(resource)
    return "\n".join(parts).rstrip() + "\n"


def _index(resources: Iterable[Resource]) -> Iterator[str]:
    yield "| resource | method | changes are known by | scope |"
    yield "|---|---|---|---|"
    for each in resources:
        name = f"[{each.name}](#{each.name})" + (" (off by default)" if each.optional else "")
        yield f"| {name} | `{each.path}` | {cadence(each)} | {_scope(each)} |"
    yield ""


def _section(resource: Resource) -> Iterator[str]:
    yield f"## {resource.name}"
    yield ""
    yield f"{resource.note}."
    yield ""
    yield f"- Method: `GET {resource.path}`{_params(resource)}, {_records(resource)}"
    if resource.single:
        yield f"- One record: `GET {resource.single}`"
    yield f"- Read: {listing(resource)}"
    yield f"- Changes: {cadence(resource)}"
    yield f"- Scope: {_scope(resource)}"
    yield f"- Key: {_key(resource)}"
    if resource.optional:
        yield f"- Off by default: `celery -A sync mirror resource STORE {resource.name} on`"
    yield ""
    yield from _columns(resource.fields, key=resource.key)
    if resource.raw_only:
        yield "In `raw` only:"
        yield ""
        for path, reason in resource.raw_only:
            yield f"- `{path}`: {reason}"
        yield ""
    for child in resource.children:
        yield from _child(resource, child)


def _child(resource: Resource, child: Child) -> Iterator[str]:
    yield f"### {child.name}"
    yield ""
    parent = f"`{resource.parent_column}`" if resource.parent_column else "the store"
    member = f"`{child.key}`" if child.key else "`ordinal`, its place from 1"
    below = "{}" if child.map_key else "[]"
    yield f"{child.note}, from `{child.path}{below}`. A row's key: {parent} and {member}."
    yield ""
    yield from _columns(child.fields, key=child.key or "")


def _columns(fields: Iterable[Field], *, key: str) -> Iterator[str]:
    yield "| column | path | type | |"
    yield "|---|---|---|---|"
    for each in fields:
        name = f"**`{each.name}`**" if each.name == key else f"`{each.name}`"
        path = f"`{each.path}`" if each.path else ""
        note = each.note.replace("|", r"\|")
        yield f"| {name} | {path} | {each.kind.sql} | {note} |"
    yield ""


def cadence(resource: Resource) -> str:
    """Describe how changes of a resource are detected."""
    changes = resource.changes
    if resource.is_followed:
        return f"followed by {resource.history}, counted again every night"
    if resource.is_history:
        return f"followed without end; names what changed of {resource.target}"
    assert isinstance(changes, FullRefresh)
    whole = f"every {_time(changes.every_seconds)}"
    if isinstance(changes, Incremental):
        return f"`filter[{changes.since}]` every {_time(changes.poll_seconds)}; whole {whole}"
    rereads = [other.name for other in RESOURCES.values() if _names(other, resource)]
    also = f", and with each change of its {rereads[0]}" if rereads else ""
    return (
        f"read on {whole}" if isinstance(resource.listing, CursorPages) else f"whole {whole}{also}"
    )


def _names(other: Resource, resource: Resource) -> bool:
    return any(reread.resource == resource.name for reread in other.rereads)


def listing(resource: Resource) -> str:
    """Describe how a list is read."""
    limit = f"{resource.page_size} a page"
    per = ""
    if resource.parent:
        per = f"once for each of {resource.parent.resource}, "
    match resource.listing:
        case DateWindows(first, last, created):
            if not resource.is_followed:
                return f"{per}whole, {limit}"
            return f"{per}in windows of days of `{created}` (`{first}`, `{last}`), {limit}"
        case SinglePage():
            return f"{per}in one answer"
        case SinceId():
            return f"chained by `filter[sinceId]`, {limit}"
        case CursorPages():
            return f"by the cursor each answer names, {limit}"
        case _:
            return f"{per}whole, {limit}"


def _params(resource: Resource) -> str:
    given = [f"`{name}={value}`" for name, value in resource.params]
    return f" with {', '.join(given)}" if given else ""


def _records(resource: Resource) -> str:
    if not resource.answer_key:
        return "the answer itself"
    kinds = {
        Shape.LIST: "records in",
        Shape.MAP: "records by code in",
        Shape.SINGLE: "one record in",
        Shape.SCALARS: "plain values in",
    }
    return f"{kinds[resource.shape]} `{resource.answer_key}`"


def _scope(resource: Resource) -> str:
    return f"`{resource.scope}`" if resource.scope else "not established"


def _key(resource: Resource) -> str:
    if not resource.key:
        return "one row a store"
    if resource.made is None:
        return f"`{resource.key}`"
    columns = ", ".join(f"`{column}`" for column in resource.made.columns)
    count = ", and a count for equal ones" if resource.made.repeats else ""
    return f"`{resource.key}`, made of {columns}{count}"


def _time(seconds: int) -> str:
    size, name = next((size, name) for size, name in _UNITS if seconds % size == 0)
    count = seconds // size
    return name if count == 1 else f"{count} {name}s"


def main(arguments: list[str]) -> int:
    """Run `write` or `check`; return the exit status."""
    if arguments == ["write"]:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if arguments != ["check"]:
        sys.stderr.write("usage: python -m sync.docs write|check\n")
        return 2
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        sys.stderr.write(
            f"{PAGE.relative_to(PAGE.parents[2])} differs from the declarations; write it again: "
            "python -m sync.docs write\n"
        )
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
