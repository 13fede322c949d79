"""The lease of a feed, taken by another lane that needs the feed further than it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sync.database.engine import attempts
from sync.declare import Resource
from sync.errors import SyncError, TryLater
from sync.state import lanes
from sync.work.context import Context

UNFOLLOWED_SECONDS = 300.0
"""The wait before a lane that needs a feed is tried again while the feed is parked or off."""


class AtRest(TryLater):
    """The feed is parked or off: nobody will work on it."""


def with_feed(
    ctx: Context, history: Resource, work: Callable[[Context], float], *, again_seconds: float
) -> bool:
    """Do work with the lease of a history's feed; False while another worker has it.

    `work` returns the seconds until the feed is due. After an error it is due in `again_seconds`.
    Raises AtRest when the feed is parked or off.
    """
    claim = lanes.Claim(ctx.store.id, history.name, "feed")
    for attempt in attempts(ctx.engine):
        with attempt as connection:
            held = lanes.acquire(connection, claim, holder=ctx.lease.holder)
            is_at_rest = held is None and lanes.is_at_rest(connection, claim)
    if is_at_rest:
        raise AtRest(
            f"{history.name} is not followed: its feed is parked or off", after=UNFOLLOWED_SECONDS
        )
    if held is None:
        return False
    try:
        due = work(replace(ctx, lease=held))
    except SyncError as error:
        for attempt in attempts(ctx.engine):
            with attempt as connection:
                lanes.fail(
                    connection, held, error=str(error), after_seconds=again_seconds, parked=False
                )
        raise
    for attempt in attempts(ctx.engine):
        with attempt as connection:
            lanes.release(connection, held, after_seconds=due)
    return True
