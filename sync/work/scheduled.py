"""The crawls that the schedule makes due: refreshes of lists, and the nightly reconcile."""

from __future__ import annotations

import datetime as dt

from sync.crawl import next_night
from sync.declare import FullRefresh, Incremental, Resource
from sync.state import crawls
from sync.work.context import Context
from sync.work.failures import MAINTENANCE_SECONDS

SETTLED_FOR = dt.timedelta(days=0.8)
"""The time after a proof, or an attempt at one, in which the nightly reconcile skips a list."""
REFRESH_EARLY = 0.95


def queue_scheduled(ctx: Context, resource: Resource) -> bool:
    """Queue the crawl that the schedule makes due; False when there is none, or it is open."""
    kind = _due(ctx, resource)
    if kind is None:
        return False
    with ctx.reading() as connection:
        if crawls.is_open(connection, ctx.store.id, resource.name, "load", kind):
            return False
    days = ctx.store.days_of(resource)
    for attempt in ctx.attempts():
        with attempt as connection:
            crawls.queue_crawl(connection, ctx.store.id, resource.name, kind=kind, days=days)
    return True


def _due(ctx: Context, resource: Resource) -> str | None:
    """Return the kind of the crawl that is due; None when none is."""
    now = ctx.draw()
    with ctx.reading() as connection:
        settled = crawls.settled(connection, ctx.store.id, resource.name)
    if isinstance(resource.changes, FullRefresh) and not resource.is_history:
        every = dt.timedelta(seconds=resource.changes.every_seconds)
        if ctx.store.error is not None and resource.name == "credentials":
            # Its answer shows that the account works again.
            every = min(every, dt.timedelta(seconds=MAINTENANCE_SECONDS / 2))
        is_due = settled.read_at is None or now - settled.read_at >= every * REFRESH_EARLY
        return "refresh" if is_due else None
    if not resource.is_followed or settled.proven_at is None:
        return None
    return "reconcile" if now - settled.proven_at > SETTLED_FOR else None


def seconds_to_next(ctx: Context, resource: Resource) -> float:
    """Return the seconds until the schedule has work, or until a waiting crawl goes on."""
    changes = resource.changes
    with ctx.reading() as connection:
        waits = crawls.next_due(connection, ctx.store.id, resource.name)
    if resource.is_history or not isinstance(changes, FullRefresh):
        now = ctx.now()
        due = (next_night(now, offset=ctx.store.id) - now).total_seconds()
    else:
        now = ctx.draw()  # the same clock as the passes' moments
        with ctx.reading() as connection:
            read_at = crawls.settled(connection, ctx.store.id, resource.name).read_at
        # Count from the pass, not on a grid, so that its age hardly exceeds the interval.
        full = (read_at or now) + dt.timedelta(seconds=changes.every_seconds * REFRESH_EARLY)
        if isinstance(changes, Incremental):
            full = min(full, now + dt.timedelta(seconds=changes.poll_seconds))
        due = (full - now).total_seconds()
    if waits is not None:
        due = min(due, (waits - now).total_seconds())
    return max(due, 1.0)
