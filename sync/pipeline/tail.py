"""The second cursor of a feed: it passes an entry once that has been known for a minute.

Ids may be published out of order, and a list may lag behind the history: by then the entry's record
is read once more, and an entry the head never saw is noticed.
"""

from __future__ import annotations

import datetime as dt

import sqlalchemy as sa

from sync.crm import WorkClass
from sync.declare import Chain, Resource
from sync.mirror import feeds
from sync.mirror.feeds import TAIL_SECONDS, Feed
from sync.mirror.names import crm_name
from sync.pipeline.chain import Entries, ask_chain, feed_of, note_departures, write_entries
from sync.pipeline.context import Context
from sync.pipeline.reread import Read, Told, apply, read_again


def follow_tail(ctx: Context) -> None:
    """Read the chain a second time, up to the last entry that has been known for a minute.

    An entry the head never saw was published late: it is treated as new, and the tail waits at it
    until it, too, has been known for a minute.
    """
    history = ctx.resource
    while not ctx.is_over:
        feed = feed_of(ctx, history)
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
        note_departures(ctx, connection, history, told)
        write_entries(ctx, connection, history, entries)
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


def set_clear(ctx: Context) -> None:
    """The moment up to which both cursors have read: the head's last end less a minute, or the
    oldest entry the tail has not passed, if that is older."""
    history = ctx.resource
    feed = feed_of(ctx, history)
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
