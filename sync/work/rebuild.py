"""Typed columns and children made again from `raw`, without a request.

A changed zone or declaration needs that. `as_of` stays, because a rebuild brings no newer knowledge
of a record. So it does not go through writing.py: no other record changes with it, and no count
moves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from sync.crm.decode import decode
from sync.declare import Resource
from sync.records.loaded import Key
from sync.records.normalise import Batch, Row
from sync.rows import doubled_hour, kept
from sync.rows.rewrite import Stored, rewrite, stored
from sync.state import coverage, crawls
from sync.state.crawls import Crawl
from sync.work.context import Context

BATCH = 1_000


@dataclass(slots=True)
class RebuiltRow:
    """A batch of stored rows, normalised again; `last` is the key of its last row."""

    last: str | None
    seen: int
    is_end: bool
    rows: list[Row] = field(default_factory=list)
    notes: Batch = field(default_factory=Batch)


def crawl_rebuild(ctx: Context, crawl: Crawl) -> bool:
    """Rebuild rows in key order, a batch a transaction; False when the slice ended before.

    The next batch is read and normalised while Postgres writes this one. Batches that were made in
    another zone than the store has by now are made again.
    """
    resource = ctx.resources[crawl.resource]
    if crawl.report.get("zone", ctx.store.zone) != ctx.store.zone:
        for attempt in ctx.attempts():
            with attempt as connection:
                crawls.begin_anew(connection, crawl)
    after = crawl.report.get("rebuilt_to")
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="rebuild") as pool:
        coming = pool.submit(_make, ctx, resource, after)
        while True:
            made = coming.result()
            if not made.is_end:
                coming = pool.submit(_make, ctx, resource, made.last)
            _write(ctx, crawl, resource, made)
            if made.is_end:
                return True
            if ctx.is_over:
                return False


def _make(ctx: Context, resource: Resource, after: str | None) -> RebuiltRow:
    with ctx.reading() as connection:
        rows = stored(connection, resource, ctx.store.id, after=after, at_most=BATCH)
    made = RebuiltRow(
        last=str(rows[-1].key) if rows else after, seen=len(rows), is_end=len(rows) < BATCH
    )
    keys = {row.key for row in rows}
    for batch in _batches(ctx, resource, rows):
        made.rows += [row for row in batch.rows if row.key in keys]
        # Rejects and unknown fields of a tombstone's record matter to nobody.
        dead = {str(row.key) for row in rows if not row.is_live}
        made.notes.rows += [row for row in batch.rows if str(row.key) not in dead]
        made.notes.rejects += [r for r in batch.rejects if r.record not in dead]
        made.notes.unknown.update(batch.unknown)
    return made


def _batches(ctx: Context, resource: Resource, rows: Sequence[Stored]) -> list[Batch]:
    """Normalise rows, those of one parent and moment together; singly where equals are counted."""
    if resource.made is not None and resource.made.repeats:
        return [
            ctx.normalise(
                resource,
                _records([row]),
                as_of=row.as_of,
                parent=row.parent,
                repeats=_repeats_before(row.key),
                from_raw=True,
            )
            for row in rows
        ]
    return [
        ctx.normalise(resource, _records(list(group)), as_of=as_of, parent=parent, from_raw=True)
        for (parent, as_of), group in groupby(rows, key=lambda row: (row.parent, row.as_of))
    ]


def _records(rows: Sequence[Stored]) -> list[Any]:
    return [decode(row.raw) for row in rows]


def _repeats_before(key: Any) -> dict[str, int]:
    """Return the count of a surrogate key minus one, so that the same key is made again."""
    name, _, count = str(key).rpartition("/")
    return {name: int(count) - 1}


def _write(ctx: Context, crawl: Crawl, resource: Resource, made: RebuiltRow) -> None:
    is_first = "rebuilt_to" not in crawl.report
    for attempt in ctx.attempts():
        with attempt as connection:
            kept.take_turn(connection, resource, ctx.store.id)
            if is_first:
                coverage.begin_rebuild(connection, resource, ctx.store.id)
            else:
                coverage.carry_on_rebuild(connection, resource, ctx.store.id)
            keys = [row.key for row in made.rows]
            with kept.following(connection, resource, ctx.store.id, keys) as touched:
                written = rewrite(connection, resource, ctx.store.id, made.rows)
                touched.update(
                    written,
                    doubled_hour.settle(connection, resource, ctx.store.id, made.rows, ctx.zone),
                )
            ctx.keep_notes(connection, resource, _notes_of(made, written), from_raw=True)
            crawls.count_pages(connection, crawl, pages=1, seen=made.seen, changed=len(written))
            if made.last is not None:
                crawls.note(connection, crawl, rebuilt_to=made.last, zone=ctx.store.zone)
            if made.is_end:
                coverage.end_rebuild(connection, resource, ctx.store.id, zone=ctx.store.zone)
                crawls.end_crawl(connection, crawl)


def _notes_of(made: RebuiltRow, written: set[Key]) -> Batch:
    """Return the notes of the rows written; those of rows changed meanwhile are kept already."""
    texts = {str(key) for key in written}
    return replace(
        made.notes,
        rows=[row for row in made.notes.rows if row.key in written],
        rejects=[each for each in made.notes.rejects if each.is_whole or each.record in texts],
    )


_STALE = """
    FROM sync.coverage AS c JOIN sync.store AS s ON s.id = c.store_id
    JOIN unnest(cast(:names AS text[]), cast(:versions AS text[])) AS d(name, version)
        ON d.name = c.resource
    WHERE (cast(:ids AS bigint[]) IS NULL OR c.store_id = ANY(:ids))
    AND (c.zone <> s.zone AND c.version IS NOT NULL OR c.version <> d.version)
    AND NOT EXISTS (SELECT FROM sync.crawl AS w WHERE w.store_id = c.store_id
        AND (cast(:ids AS bigint[]) IS NULL OR w.store_id = ANY(:ids))
        AND w.resource = c.resource AND w.kind = 'rebuild' AND w.state IN ('pending', 'running'))
"""


def queue_where_stale(
    connection: sa.Connection,
    resources: Mapping[str, Resource],
    *,
    among: Sequence[int] | None = None,
) -> int:
    """Queue a rebuild wherever rows were made in another zone or by another declaration.

    Looks at the stores `among`, or at all. Returns the number of rebuilds queued.
    """
    stale = connection.execute(
        sa.text(f"SELECT c.store_id, c.resource {_STALE} ORDER BY c.store_id, c.resource"),
        _versions(resources, among),
    )
    found = [(row.store_id, row.resource) for row in stale]
    crawls.queue_rebuilds(connection, found)
    return len(found)


def stale_stores(
    connection: sa.Connection, resources: Mapping[str, Resource], *, among: Sequence[int]
) -> set[int]:
    """Return those of some stores that need a rebuild."""
    found = connection.execute(
        sa.text(f"SELECT DISTINCT c.store_id {_STALE}"), _versions(resources, among)
    )
    return set(found.scalars())


def _versions(resources: Mapping[str, Resource], ids: Sequence[int] | None) -> dict[str, object]:
    return {
        "ids": None if ids is None else list(ids),
        "names": list(resources),
        "versions": [resource.version for resource in resources.values()],
    }
