"""Methods that are asked once for every record of another resource: a pass over the parents.

Each parent's list is closed on its own: what it lacks is tombstoned, of that parent alone. In
between, a parent that its history names is asked for again (follow.py drains those wishes).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from sync.crawl import WHOLE, PassCheck, pages_bound
from sync.crm import WorkClass
from sync.declare import Once, Resource
from sync.errors import NotFound, Unavailable
from sync.mirror import checkpoint, coverage
from sync.mirror.checkpoint import Crawl
from sync.mirror.load import Dated, Grave, Loaded, Origin, bury, keys_of_parent, load, orphans
from sync.mirror.names import crm_name
from sync.normalise import Batch
from sync.pipeline.ahead import Ahead
from sync.pipeline.context import Context
from sync.pipeline.reread import insist_on_access
from sync.pipeline.walk import list_params

PARENTS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class ParentRow:
    """A live parent: the columns the path and the parameters are filled from."""

    key: Any
    columns: Mapping[str, Any]


@dataclass(slots=True)
class Answered:
    """What one parent's list held. `is_closed`: the whole of it was read, and held still."""

    parent: ParentRow
    batches: list[tuple[Batch, dt.datetime]] = field(default_factory=list)
    first_as_of: dt.datetime | None = None
    is_closed: bool = False
    is_missing: bool = False

    @property
    def keys(self) -> set[Any]:
        """Keys of the records it held."""
        return {row.key for batch, _ in self.batches for row in batch.rows}


def crawl_parents(ctx: Context, crawl: Crawl) -> bool:
    """Ask for every live parent, in key order; False when it could not be done to the end.

    It waits for its parents: a pass over half of them would claim what is not so.
    """
    resource = ctx.resources[crawl.resource]
    began = _began(ctx, crawl, resource)
    if began is None:
        return False
    answered = missing = 0
    while True:
        after = ctx.read(lambda c: checkpoint.rebuilt_to(c, crawl))
        parents = live_parents(ctx, resource, after=after, at_most=PARENTS_AT_ONCE)
        with Ahead[ParentRow, Answered](partial(ask_parent, ctx, resource)) as ahead:
            for parent in parents:
                ahead.push(parent)
            for parent, result, _ in ahead.results():
                if isinstance(result, Exception):
                    raise result
                answered += not result.is_missing
                missing += result.is_missing
                _commit(ctx, crawl, resource, result, done=parent)
                if ctx.is_over:
                    return False
        if len(parents) < PARENTS_AT_ONCE:
            break
    if missing and not answered:
        raise Unavailable(f"this account has no {resource.path} (404 for all of {missing})")
    _close(ctx, crawl, resource, began)
    return True


def _began(ctx: Context, crawl: Crawl, resource: Resource) -> dt.datetime | None:
    """As of when the pass is complete, kept over its slices; None while the parents are not.

    That is when it began, or as of when its parents were complete then, whichever is older.
    """
    assert resource.parent is not None
    parents = resource.parent.resource
    moment = ctx.draw()
    known = ctx.read(lambda c: coverage.complete_as_of(c, ctx.store.id, parents))
    if known is None:
        return None
    moment = min(moment, known)

    def write(connection: sa.Connection) -> dt.datetime:
        found: dt.datetime = connection.execute(
            sa.text(
                "UPDATE sync.crawl SET report = jsonb_build_object('began', cast(:now AS text))"
                " || coalesce(report, '{}'::jsonb) WHERE id = :id"
                " RETURNING cast(report ->> 'began' AS timestamptz)"
            ),
            {"id": crawl.id, "now": moment.isoformat()},
        ).scalar_one()
        return found

    return ctx.write(write)


def live_parents(
    ctx: Context,
    resource: Resource,
    *,
    after: str | None = None,
    at_most: int = PARENTS_AT_ONCE,
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
    """Read one parent's whole list; a 404 says that this parent has none, and deletes nothing."""
    path = _filled(
        resource.path, {name: quote(str(value), safe="") for name, value in parent.columns.items()}
    )
    answered = Answered(parent)
    check = PassCheck()
    page, last = 1, 1
    repeats: dict[str, int] = {}
    while page <= last:
        params: dict[str, Any] = list_params(ctx, resource, WHOLE, page=page)
        if isinstance(resource.listing, Once):
            params = dict(resource.params)
        params = {
            name: _filled(value, parent.columns) if isinstance(value, str) else value
            for name, value in params.items()
        }
        try:
            reply = ctx.api.ask(path, params, work=WorkClass.REFRESH)
        except NotFound:
            answered.is_missing = True
            return answered
        answered.first_as_of = answered.first_as_of or reply.as_of
        batch = ctx.normalise(resource, reply.records(resource), parent=parent.key, repeats=repeats)
        repeats = batch.repeats
        answered.batches.append((batch, reply.as_of))
        if isinstance(resource.listing, Once):
            answered.is_closed = True
            return answered
        pagination = reply.pagination
        check.add([row.key for row in batch.rows], pagination.total)
        last = min(pagination.pages, pages_bound(1) if page == 1 else last + 1)
        page += 1
    # One page is one answer: nothing can have shifted inside it.
    answered.is_closed = len(answered.batches) == 1 or check.is_closed
    return answered


def _commit(
    ctx: Context,
    crawl: Crawl | None,
    resource: Resource,
    answered: Answered,
    *,
    done: ParentRow | None,
) -> Loaded:
    """Write a parent's records, tombstone what its closed list lacks, move the checkpoint."""
    absent: set[Any] = set()
    if answered.is_closed and answered.first_as_of is not None:
        first = answered.first_as_of
        known = ctx.read(
            lambda c: keys_of_parent(
                c, resource, ctx.store.id, answered.parent.key, known_before=first
            )
        )
        absent = known - answered.keys
        if absent:
            insist_on_access(ctx, work=WorkClass.REFRESH)

    def write(connection: sa.Connection) -> Loaded:
        rows = [Dated(row, as_of) for batch, as_of in answered.batches for row in batch.rows]
        loaded = load(connection, resource, ctx.store.id, rows, origin=Origin.WALK)
        if absent and answered.first_as_of is not None:
            graves = [Grave(key, answered.first_as_of, "absent") for key in absent]
            loaded.add(bury(connection, resource, ctx.store.id, graves))
        for batch, _ in answered.batches:
            ctx.keep_notes(connection, resource, batch)
        coverage.add_loaded(connection, resource, ctx.store.id, loaded, origin=Origin.REREAD)
        if crawl is not None:
            checkpoint.count_pages(
                connection,
                crawl,
                pages=len(answered.batches),
                seen=loaded.seen,
                changed=loaded.written,
                requests=max(1, len(answered.batches)),
            )
            if done is not None:
                checkpoint.set_rebuilt_to(connection, crawl, str(done.key))
        return loaded

    return ctx.write(write)


def _close(ctx: Context, crawl: Crawl, resource: Resource, began: dt.datetime) -> None:
    """Every parent was asked: bury the records of parents that are gone, and say so."""

    def write(connection: sa.Connection) -> None:
        _bury_orphans(ctx, connection, resource, began)
        coverage.close(
            connection, resource, ctx.store.id, complete_as_of=began, zone=ctx.store.zone
        )
        checkpoint.end_crawl(connection, crawl)

    ctx.write(write)


def _bury_orphans(
    ctx: Context, connection: sa.Connection, resource: Resource, as_of: dt.datetime
) -> None:
    assert resource.parent is not None
    gone = orphans(connection, resource, ctx.resources[resource.parent.resource], ctx.store.id)
    graves = [Grave(key, as_of, "absent") for key in gone]
    loaded = bury(connection, resource, ctx.store.id, graves)
    coverage.add_loaded(connection, resource, ctx.store.id, loaded, origin=Origin.REREAD)


def read_parents(ctx: Context, resource: Resource, keys: list[Any]) -> bool:
    """Ask again for parents that changed; the records of those that are gone are buried.

    False when the slice ended before.
    """
    for parent in live_parents(ctx, resource, only=keys, at_most=len(keys)):
        if ctx.is_over:
            return False
        _commit(ctx, None, resource, ask_parent(ctx, resource, parent), done=None)
    as_of = ctx.draw()
    ctx.write(lambda connection: _bury_orphans(ctx, connection, resource, as_of))
    return True
