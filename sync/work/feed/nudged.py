"""Records that a nudge named: read before the history tells of them, if they are known here."""

from __future__ import annotations

from sync.state import nudges, rereads
from sync.work.context import Context


def take_nudged(ctx: Context) -> bool:
    """Queue the known records that nudges named of this feed's target; tell whether there are any.

    They hold coverage until they are read, as anything does that may have changed: should one fail,
    the entry that tells of it later must not count as read.
    """
    target = ctx.resource.target
    for attempt in ctx.attempts():
        with attempt as connection:
            ids = nudges.take_named(connection, ctx.store.id, target)
            rereads.ask_again(connection, ctx.store.id, target, ids, reason=rereads.NUDGED)
    return bool(ids)
