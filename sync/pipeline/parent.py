"""One parent: which are live, and what the API holds of one of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from sync.crawl import PassCheck, pages_bound
from sync.crm import WorkClass
from sync.declare import Once, Resource, Shape
from sync.errors import NotFound, Refused, TryLater
from sync.mirror.names import crm_name
from sync.normalise import Batch
from sync.pipeline.asking import Reply
from sync.pipeline.context import Context
from sync.pipeline.sweep import PASSES, unusable


class NotStill(TryLater):
    """A list moved under every reading of it."""


@dataclass(frozen=True, slots=True)
class ParentRow:
    """A live parent: the columns the path and the parameters are filled from."""

    key: Any
    columns: Mapping[str, Any]


@dataclass(slots=True)
class Answered:
    """What one parent's list held, whole; `is_missing`: the API says that it has none (404)."""

    parent: ParentRow
    first_as_of: dt.datetime
    batches: list[tuple[Batch, dt.datetime]] = field(default_factory=list)
    is_missing: bool = False

    @property
    def keys(self) -> set[Any]:
        """Keys of the records it held."""
        return {row.key for batch, _ in self.batches for row in batch.rows}


def live_parents(
    ctx: Context,
    resource: Resource,
    *,
    at_most: int,
    after: str | None = None,
    only: list[Any] | None = None,
) -> list[ParentRow]:
    """Live parents in the order of the column they are known by; NULLs ask for nothing."""
    parent = resource.parent
    assert parent is not None
    table = ctx.resources[parent.resource]
    kind = next(f.kind.sql for f in table.fields if f.name == parent.by)
    names = [f.name for f in table.fields if _is_named(resource, f.name)]
    columns = ", ".join(f't."{name}"' for name in names)
    where = "".join(f' AND t."{name}" IS NOT NULL' for name in names)
    binds: list[Any] = [ctx.store.id]
    if after is not None:
        where += f' AND t."{parent.by}" > %s::{kind}'
        binds.append(after)
    if only is not None:
        where += f' AND t."{parent.by}" = ANY(%s::{kind}[])'
        binds.append(only)
    sql = (
        f'SELECT DISTINCT ON (t."{parent.by}") t."{parent.by}"{", " + columns if columns else ""}'
        f" FROM {crm_name(table.name)} AS t WHERE t.store_id = %s AND t.deleted_at IS NULL"
        f' AND t."{parent.by}" IS NOT NULL{where} ORDER BY t."{parent.by}" LIMIT {at_most}'
    )

    def ask(connection: sa.Connection) -> list[ParentRow]:
        rows = connection.exec_driver_sql(sql, tuple(binds))
        return [ParentRow(row[0], dict(zip(names, row[1:], strict=True))) for row in rows]

    return ctx.read(ask)


def _is_named(resource: Resource, column: str) -> bool:
    place = f"{{{column}}}"
    return place in resource.path or any(place in str(value) for _, value in resource.params)


def _filled(text: str, columns: Mapping[str, Any]) -> str:
    for name, value in columns.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


def ask_parent(ctx: Context, resource: Resource, parent: ParentRow) -> Answered:
    """Read one parent's whole list, again until it holds still.

    One page is one answer: nothing can have shifted inside it. Several are read until two passes
    saw the same: NotStill after some.
    """
    before: PassCheck | None = None
    for _ in range(PASSES):
        check = PassCheck()
        answered = _ask_once(ctx, resource, parent, check)
        if check.pages <= 1 or check.agrees_with(before):
            return answered
        before = check
    raise NotStill(f"{resource.name} of {parent.key} did not hold still: {check.problem}")


def _ask_once(ctx: Context, resource: Resource, parent: ParentRow, check: PassCheck) -> Answered:
    path = _filled(
        resource.path, {name: quote(str(value), safe="") for name, value in parent.columns.items()}
    )
    params: dict[str, Any] = {
        name: _filled(value, parent.columns) if isinstance(value, str) else value
        for name, value in resource.params
    }
    is_paged = not isinstance(resource.listing, Once)
    answered = Answered(parent, ctx.draw())
    page, last, bound = 1, 1, 1
    repeats: dict[str, int] = {}
    while page <= last:
        if is_paged:
            params |= {"limit": resource.page_size, "page": page}
        try:
            reply = ctx.api.of_parent(resource, path, params, work=WorkClass.REFRESH)
        except Refused as refusal:
            if page == 1 and isinstance(refusal, NotFound):
                answered.is_missing = True
                break
            check.add([], -1)  # beyond the end: it shrank, and the totals will not agree
            break
        batch = ctx.normalise(
            resource, _records(reply, resource), parent=parent.key, repeats=repeats
        )
        repeats = batch.repeats
        answered.batches.append((batch, reply.as_of))
        if not is_paged:
            break
        pagination = reply.pagination
        keys = [row.key for row in batch.rows]
        check.add(keys, pagination.total)
        check.ids.update(unusable(batch))
        if page == 1:
            bound = pages_bound(pagination.pages)
        last = min(pagination.pages, bound) if keys else page
        page += 1
    return answered


def _records(reply: Reply, resource: Resource) -> list[Any]:
    """A parent may have nothing where one object could be: null, or PHP's empty array."""
    if resource.shape is Shape.SINGLE and reply.data.get(resource.answer_key, 0) in (None, [], {}):
        return []
    return reply.records(resource)
