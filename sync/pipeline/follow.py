"""Following a feed: entries in, the records they name read again, the checkpoint moved; one
transaction a page.

Two cursors walk the same chain. The *head* follows it to its end at every interval. The *tail*
passes an entry once it has been known for a minute, and reads its records once more: ids may be
published out of order, and a list may lag behind the history.
"""

from __future__ import annotations

import datetime as dt

import sqlalchemy as sa

from sync.crawl import seconds_to_turn
from sync.crm import WorkClass
from sync.declare import Chain, Resource
from sync.mirror import clock, feeds, rereads
from sync.pipeline.bookmark import check_gap, set_bookmark
from sync.pipeline.chain import Entries, ask_chain, feed_of, note_departures, write_entries
from sync.pipeline.context import Context
from sync.pipeline.parents import read_parents
from sync.pipeline.reread import Read, Told, apply, read_again
from sync.pipeline.tail import follow_tail, set_clear

ORPHAN_SECONDS = 30


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
        set_clear(ctx)
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
    feed = feed_of(ctx, history)
    while True:
        entries = ask_chain(ctx, history, after_id=feed.head_id, work=WorkClass.FEED)
        commit_entries(ctx, history, entries, head=True)
        if entries.is_end:
            return True
        feed = feed_of(ctx, history)
        if ctx.is_over:
            return False


def commit_entries(ctx: Context, history: Resource, entries: Entries, *, head: bool) -> None:
    """Read the named records again, then write entries, records and checkpoint together."""
    assert isinstance(history.listing, Chain)
    target = ctx.resources[history.listing.target]
    read = read_again(ctx, target, entries.told) if entries.told else Read()

    def write(connection: sa.Connection) -> None:
        note_departures(ctx, connection, history, entries.told)
        loaded = write_entries(ctx, connection, history, entries)
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
