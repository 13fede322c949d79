"""A history's entries, asked for by id: its rows, and what they tell of the records they name."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from sync.crawl import record_id_of
from sync.crm import WorkClass
from sync.declare import Chain, Resource
from sync.mirror import coverage, departures, feeds
from sync.mirror.feeds import Feed
from sync.mirror.load import Dated, Loaded, Origin, load
from sync.normalise import Batch
from sync.pipeline.asking import Reply
from sync.pipeline.context import Context
from sync.pipeline.reread import Told


@dataclass(slots=True)
class Entries:
    """An answer of a history: its rows, their ids ascending, and what it tells of which record."""

    batch: Batch
    as_of: dt.datetime
    ids: list[int]
    told: dict[int, Told] = field(default_factory=dict)
    is_end: bool = True

    @property
    def last_id(self) -> int:
        """The largest entry id, by which the chain goes on."""
        return self.ids[-1]


def ask_chain(
    ctx: Context, history: Resource, *, after_id: int, work: WorkClass, limit: int = 100
) -> Entries:
    """The next entries after an id. No `page`: beside sinceId the API answers 400."""
    reply = ctx.api.first(history, {"filter": {"sinceId": after_id}, "limit": limit}, work=work)
    return entries_of(ctx, history, reply, after_id=after_id)


def entries_of(ctx: Context, history: Resource, reply: Reply, *, after_id: int) -> Entries:
    """Sort an answer of a history: its rows, and what they tell of the records they name."""
    assert isinstance(history.listing, Chain)
    records = reply.records(history)
    batch = ctx.normalise(history, records)
    ids = sorted({row.key for row in batch.rows if isinstance(row.key, int)})
    entries = Entries(batch, reply.as_of, [entry for entry in ids if entry > after_id])
    # totalCount may count hidden entries, so an empty page ends the chain as well.
    entries.is_end = not entries.ids or reply.pagination.pages <= 1
    for record in records:
        if isinstance(record, dict):
            _tell(ctx, history.listing, record, entries.told)
    return entries


def _tell(ctx: Context, listing: Chain, record: dict[str, Any], told: dict[int, Told]) -> None:
    subject = record.get(listing.subject)
    subject_id = record_id_of(subject.get("id")) if isinstance(subject, dict) else None
    if subject_id is None:
        return
    about = told.setdefault(subject_id, Told())
    about.moved |= _moves(record)
    entry = record_id_of(record.get("id"))
    if entry is not None and _moves(record) and record.get("created") is not True:
        about.departed[entry] = ctx.moment(record.get("createdAt"))
    combined = record.get("combinedTo")
    survivor = record_id_of(combined.get("id")) if isinstance(combined, dict) else None
    if survivor is not None:
        about.combined_to = survivor
        about.gone_at = ctx.moment(record.get("createdAt"))
        told.setdefault(survivor, Told())  # the survivor changed too
    elif record.get("deleted") is True:
        about.gone_at = ctx.moment(record.get("createdAt"))
    elif record.get("created") is True:
        about.gone_at = about.combined_to = None


def _moves(record: dict[str, Any]) -> bool:
    """Whether an entry says that its record came, went, or changed its creation day or site.

    A field's name is `created_at` in some histories and `createdAt` in others.
    """
    if record.get("created") is True or record.get("deleted") is True or record.get("combinedTo"):
        return True
    named = record.get("field")
    return isinstance(named, str) and named.lower().replace("_", "") in ("createdat", "site")


def note_departures(
    ctx: Context, connection: sa.Connection, history: Resource, told: Mapping[int, Told]
) -> None:
    """Keep which live rows are told to have left, before that is applied; holds the feed."""
    assert isinstance(history.listing, Chain)
    feeds.hold(connection, ctx.store.id, history.name)
    departures.note(
        connection,
        ctx.resources[history.listing.target],
        ctx.store.id,
        [
            (entry, record, at)
            for record, about in told.items()
            for entry, at in about.departed.items()
        ],
    )


def write_entries(
    ctx: Context, connection: sa.Connection, history: Resource, entries: Entries
) -> Loaded:
    rows = [Dated(row, entries.as_of) for row in entries.batch.rows]
    loaded = load(connection, history, ctx.store.id, rows, origin=Origin.WALK)
    ctx.keep_notes(connection, history, entries.batch)
    coverage.add_loaded(connection, history, ctx.store.id, loaded, origin=Origin.REREAD)
    return loaded


def feed_of(ctx: Context, history: Resource) -> Feed:
    feed = ctx.read(lambda c: feeds.feed(c, ctx.store.id, history.name))
    assert feed is not None, "a feed is followed from its bookmark"
    return feed
