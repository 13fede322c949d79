"""Following a feed: entries in, the records they name read again, the checkpoint moved; one
transaction a page.

Two cursors walk the same chain. The *head* follows it to its end at every interval. The *tail*
passes an entry once it has been known for a minute, and reads its records once more: ids may be
published out of order, and a list may lag behind the history.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from sync import faults
from sync.crawl import record_id_of, seconds_to_turn
from sync.crm import WorkClass
from sync.declare import Chain, Resource
from sync.declare.moments import local_text
from sync.mirror import clock, coverage, feeds, notes, rereads, stores
from sync.mirror.feeds import Feed
from sync.mirror.load import Dated, Loaded, Origin, load
from sync.mirror.names import crm_name
from sync.normalise import Batch
from sync.pipeline.asking import Reply
from sync.pipeline.context import Context
from sync.pipeline.parents import read_parents
from sync.pipeline.reread import Read, Told, apply, read_again

TAIL_SECONDS = faults.scaled(60)
GAP_CHECK_SECONDS = 3_600
RECENT_MINUTES = 15
TAIL_MARGIN = 100
ORPHAN_SECONDS = 30


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


def follow(ctx: Context) -> bool:
    """One turn of the feed lane: head to the end, tail as far as it may, waiting re-reads.

    False when the slice was over before the head had come to the end.
    """
    history = ctx.resource
    feed = ctx.read(lambda c: feeds.feed(c, ctx.store.id, history.name))
    if feed is None:
        feed = set_bookmark(ctx, history)
    if feed.head_at is not None:
        check_gap(ctx, history, feed)
    ended = follow_head(ctx)
    if ended:
        follow_tail(ctx)
        drain(ctx)
        _look_for_orphans(ctx)
        _set_clear(ctx)
    return ended


def until_next_look(ctx: Context, *, looked_seconds: float = 0.0) -> float:
    """Seconds until the feed whose lease this is is to be looked at again; 0 when it is late.

    The look began `looked_seconds` ago: one that finds something takes most of a second, which at
    an interval of one would cost the next turn.
    """
    return seconds_to_turn(
        ctx.read(clock.now),
        began_seconds_ago=looked_seconds,
        every_seconds=ctx.cadence(),
        offset=ctx.store.id,
    )


def follow_head(ctx: Context) -> bool:
    """Follow the chain to its end; False when the slice is over before."""
    history = ctx.resource
    feed = _feed(ctx, history)
    while True:
        entries = ask_chain(ctx, history, after_id=feed.head_id, work=WorkClass.FEED)
        commit_entries(ctx, history, entries, head=True)
        if entries.is_end:
            return True
        feed = _feed(ctx, history)
        if ctx.is_over:
            return False


def _feed(ctx: Context, history: Resource) -> Feed:
    feed = ctx.read(lambda c: feeds.feed(c, ctx.store.id, history.name))
    assert feed is not None, "a feed is followed from its bookmark"
    return feed


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


def commit_entries(ctx: Context, history: Resource, entries: Entries, *, head: bool) -> None:
    """Read the named records again, then write entries, records and checkpoint together."""
    assert isinstance(history.listing, Chain)
    target = ctx.resources[history.listing.target]
    read = read_again(ctx, target, entries.told) if entries.told else Read()

    def write(connection: sa.Connection) -> None:
        loaded = _write_entries(ctx, connection, history, entries)
        apply(ctx, connection, target, read)
        if head:
            feeds.advance_head(
                connection,
                ctx.store.id,
                history.name,
                head_id=entries.last_id if entries.ids else 0,
                entries=loaded.inserted,
                ended_at=entries.as_of if entries.is_end else None,
            )

    ctx.write(write)


def _write_entries(
    ctx: Context, connection: sa.Connection, history: Resource, entries: Entries
) -> Loaded:
    rows = [Dated(row, entries.as_of) for row in entries.batch.rows]
    loaded = load(connection, history, ctx.store.id, rows, origin=Origin.WALK)
    ctx.keep_notes(connection, history, entries.batch)
    coverage.add_loaded(connection, history, ctx.store.id, loaded, origin=Origin.REREAD)
    return loaded


def follow_tail(ctx: Context) -> None:
    """Read the chain a second time, up to the last entry that has been known for a minute.

    An entry the head never saw was published late: it is treated as new, and the tail waits at it
    until it, too, has been known for a minute.
    """
    history = ctx.resource
    while not ctx.is_over:
        feed = _feed(ctx, history)
        if feed.tail_id >= feed.head_id or not _tail_is_due(ctx, history, feed):
            return
        entries = ask_chain(ctx, history, after_id=feed.tail_id, work=WorkClass.FEED)
        if not entries.ids:
            # Entries the head saw are no longer there, or the answer is wrong: one alone would
            # have the tail pass them unread.
            entries = ask_chain(ctx, history, after_id=feed.tail_id, work=WorkClass.FEED)
        _pass_tail(ctx, history, entries, feed)
        if not entries.ids or entries.is_end:
            return


def _tail_is_due(ctx: Context, history: Resource, feed: Feed) -> bool:
    """Whether the oldest entry the tail has not passed has been known for a minute."""

    def oldest(connection: sa.Connection) -> bool:
        found = connection.exec_driver_sql(
            f"SELECT first_seen_at < clock_timestamp() - make_interval(secs => {TAIL_SECONDS})"
            f" FROM {crm_name(history.name)} WHERE store_id = %s AND id > %s AND id <= %s"
            " ORDER BY id LIMIT 1",
            (ctx.store.id, feed.tail_id, feed.head_id),
        ).scalar()
        return found is None or bool(found)

    return ctx.read(oldest)


def _pass_tail(ctx: Context, history: Resource, entries: Entries, feed: Feed) -> None:
    """Commit the entries the tail may pass, and those it found new."""
    assert isinstance(history.listing, Chain)
    ids = [entry for entry in entries.ids if entry <= feed.head_id]

    def known(connection: sa.Connection) -> dict[int, bool]:
        rows = connection.exec_driver_sql(
            f"SELECT id, first_seen_at < clock_timestamp() - make_interval(secs => {TAIL_SECONDS})"
            f" FROM {crm_name(history.name)} WHERE store_id = %s AND id = ANY(%s)",
            (ctx.store.id, ids),
        )
        return {row[0]: row[1] for row in rows}

    old = ctx.read(known)
    late = [entry for entry in ids if entry not in old]
    passed: list[int] = []
    for entry in sorted(ids):
        if not old.get(entry, False):
            break
        passed.append(entry)
    wanted = set(passed) | set(late)
    if not ids:
        # The API no longer shows what the tail stands before: nothing to pass but the head's own.
        passed = [feed.head_id]
    told: dict[int, Told] = {}
    subject = f"{history.listing.subject}_id"
    for row in entries.batch.rows:
        named = row.values.get(subject)
        if row.key in wanted and isinstance(named, int) and named in entries.told:
            told[named] = entries.told[named]
            survivor = entries.told[named].combined_to
            if survivor is not None:
                told.setdefault(survivor, Told())
    target = ctx.resources[history.listing.target]
    read = read_again(ctx, target, told) if told else Read()
    entries.batch.rows = [row for row in entries.batch.rows if row.key in wanted]

    def write(connection: sa.Connection) -> None:
        _write_entries(ctx, connection, history, entries)
        apply(ctx, connection, target, read)
        feeds.advance_tail(
            connection,
            ctx.store.id,
            history.name,
            tail_id=max(passed, default=feed.tail_id),
            late=len(late),
        )

    ctx.write(write)
    if not passed:
        entries.is_end = True  # the next one is too young: come back at the next interval


def drain(ctx: Context) -> None:
    """Read the records that wait in `sync.reread`, a hundred a request."""
    history = ctx.resource
    assert isinstance(history.listing, Chain)
    target = ctx.resources[history.listing.target]
    while not ctx.is_over:
        due = ctx.read(lambda c: rereads.due(c, ctx.store.id, target.name))
        if not due:
            break
        read = read_again(ctx, target, {record: Told() for record in due})

        def write(
            connection: sa.Connection, read: Read = read, due: dict[int, dt.datetime] = due
        ) -> None:
            # Ticked off before the results are written: those may ask for the same records anew.
            rereads.tick_off(connection, ctx.store.id, target.name, due)
            apply(ctx, connection, target, read)

        ctx.write(write)
    for resource in ctx.resources.values():
        if resource.parent is not None and resource.parent.resource == target.name:
            _drain_parents(ctx, resource)


def _drain_parents(ctx: Context, resource: Resource) -> None:
    """Ask again for parents that changed; the wish is ticked off after it was fulfilled."""
    while not ctx.is_over:
        due = ctx.read(lambda c: rereads.due(c, ctx.store.id, resource.name))
        if not due:
            return
        done = {key: due[key] for key in read_parents(ctx, resource, list(due))}

        def write(connection: sa.Connection, done: dict[int, dt.datetime] = done) -> None:
            rereads.tick_off(connection, ctx.store.id, resource.name, done)

        if done:
            ctx.write(write)
        if len(done) < len(due):
            return


def _look_for_orphans(ctx: Context) -> None:
    """Records that still point at a combined one are read again until none is left.

    The page that brought them may have been fetched before the merge and committed after it.
    """
    history = ctx.resource
    assert isinstance(history.listing, Chain)
    target = ctx.resources[history.listing.target]
    for name, column in target.combined:
        if name not in ctx.resources:
            continue

        def look(connection: sa.Connection, name: str = name, column: str = column) -> list[int]:
            return rereads.orphans_of_merges(
                connection, ctx.store.id, name, column, merged=target.name
            )

        found = ctx.read(look)
        if found:

            def queue(
                connection: sa.Connection, name: str = name, found: list[int] = found
            ) -> None:
                rereads.ask_again(
                    connection,
                    ctx.store.id,
                    name,
                    found,
                    reason="combined",
                    told_by=ctx.lease.resource,
                    after_seconds=ORPHAN_SECONDS,
                )

            ctx.write(queue)


def _set_clear(ctx: Context) -> None:
    """The moment up to which both cursors have read: the head's last end less a minute, or the
    oldest entry the tail has not passed, if that is older."""
    history = ctx.resource
    feed = _feed(ctx, history)
    if feed.head_at is None:
        return
    clear = feed.head_at - dt.timedelta(seconds=TAIL_SECONDS)

    def waiting(connection: sa.Connection) -> dt.datetime | None:
        return connection.exec_driver_sql(
            f"SELECT min(first_seen_at) FROM (SELECT first_seen_at FROM {crm_name(history.name)}"
            " WHERE store_id = %s AND id > %s AND id <= %s ORDER BY id LIMIT 1) AS t",
            (ctx.store.id, feed.tail_id, feed.head_id),
        ).scalar()

    oldest = ctx.read(waiting)
    if oldest is not None and feed.tail_id < feed.head_id:
        clear = min(clear, oldest)
    ctx.write(lambda c: feeds.set_clear(c, ctx.store.id, history.name, at=clear))


def set_bookmark(ctx: Context, history: Resource) -> Feed:
    """Find the newest history id, before anything is walked, and start the feed there.

    startDate goes back by doubling until something is there, then the chain is followed to its
    end, or to the slice's: an older bookmark is as good, what comes after it is followed like all
    else. Where there is no history the bookmark is 0.
    """
    newest, recent = find_newest(ctx, history)
    ctx.write(lambda c: feeds.set_bookmark(c, ctx.store.id, history.name, newest, tail_id=recent))
    faults.point("bookmarked")
    return _feed(ctx, history)


def find_newest(ctx: Context, history: Resource) -> tuple[int, int]:
    """The newest id of a history, and the id the tail begins at: minutes before it; 0 for none.

    The walk is about to read lists that may lag behind the history, so that even a change whose
    entry the bookmark leaves behind may not be in them yet; and an id below the bookmark may be
    published after it. Both are read by the tail. A hundred ids more, because the smallest id that
    shows need not be the smallest that was given out.
    """
    now = ctx.draw()
    minutes = RECENT_MINUTES
    while minutes < 60 * 24 * 366 * 30:
        since = local_text(now - dt.timedelta(minutes=minutes), ctx.zone)
        reply = ctx.api.first(
            history, {"filter": {"startDate": since}, "limit": 100}, work=WorkClass.FEED
        )
        entries = entries_of(ctx, history, reply, after_id=0)
        if entries.ids:
            return _end_of(ctx, history, entries, now=now)
        minutes *= 4
    # Nothing by date: a chain from the beginning is the last word.
    entries = ask_chain(ctx, history, after_id=0, work=WorkClass.FEED)
    return _end_of(ctx, history, entries, now=now)


def _end_of(
    ctx: Context, history: Resource, entries: Entries, *, now: dt.datetime
) -> tuple[int, int]:
    """Follow a chain to its end, or as far as the slice allows: the last id seen, and where the
    last minutes before `now` begin."""
    recent = now - dt.timedelta(minutes=RECENT_MINUTES)
    newest, begin = 0, 0
    while True:
        for row in entries.batch.rows:
            created = row.values.get("created_at")
            if not begin and created is not None and created >= recent:
                begin = int(row.key)
        newest = entries.last_id if entries.ids else newest
        if entries.is_end or ctx.is_over:
            return newest, max(0, (begin or newest + 1) - 1 - TAIL_MARGIN)
        entries = ask_chain(ctx, history, after_id=newest, work=WorkClass.FEED)


def check_gap(ctx: Context, history: Resource, feed: Feed) -> None:
    """After a long pause: is the last entry followed still in the history?

    When it is not, entries between may be gone as well, and only a reconcile can tell what they
    said. Coverage is taken back until it has.
    """
    assert isinstance(history.listing, Chain)
    assert feed.head_at is not None
    pause = (ctx.draw() - feed.head_at).total_seconds()
    if pause < GAP_CHECK_SECONDS or feed.head_id == 0:
        return
    entries = ask_chain(ctx, history, after_id=feed.head_id - 1, work=WorkClass.FEED, limit=20)
    if feed.head_id in entries.ids:
        return
    target = history.listing.target
    since = ctx.store.since if ctx.resources[target].created_field else None

    def write(connection: sa.Connection) -> None:
        connection.execute(
            sa.text(
                "UPDATE sync.feed SET gap_at = now() WHERE store_id = :store AND resource = :name"
            ),
            {"store": ctx.store.id, "name": history.name},
        )
        coverage.unprove(connection, ctx.store.id, target)
        notes.note_drift(
            connection,
            ctx.store.id,
            history.name,
            kind="gap",
            detail=f"entry {feed.head_id} is no longer in the history after {pause:.0f} s",
        )
        stores.queue_crawl(
            connection, ctx.store.id, target, kind="reconcile", days=(since, None), deep=True
        )

    ctx.write(write)
