"""Celery tasks: a few lines each, around the functions of sync/work."""

from __future__ import annotations

import socket
from contextlib import suppress
from threading import BoundedSemaphore

from sync import failpoints, notify
from sync.database.engine import writing
from sync.errors import TryLater
from sync.metrics.budget import sample
from sync.state import lanes
from sync.state.heartbeat import consumed
from sync.telemetry import log
from sync.work import dispatching
from sync.work.services import services
from sync.work.slices import work
from sync.worker.celery import PLACES, app

_crawls = BoundedSemaphore(max(1, PLACES // 2))
"""The places for crawls: at most half of a worker's, so that feeds never wait for them."""
BOUNCED_SECONDS = 1.0


@app.task(name="sync.feed")  # type: ignore[untyped-decorator]
def feed(store_id: int, resource: str) -> None:
    """Follow a feed to its end."""
    work(lanes.Claim(store_id, resource, "feed"), services())
    _note("feeds")


@app.task(name="sync.walk")  # type: ignore[untyped-decorator]
def walk(store_id: int, resource: str) -> None:
    """Do a slice of a crawl if a place for crawls is free; else the lane is due again at once."""
    claim = lanes.Claim(store_id, resource, "walk")
    if not _crawls.acquire(blocking=False):
        # Without Postgres, the claim expires by itself.
        with suppress(TryLater), writing(services().engine) as connection:
            lanes.unclaim(connection, claim, seconds=BOUNCED_SECONDS)
        return
    try:
        work(claim, services())
    finally:
        _crawls.release()
    _note("crawls")


@app.task(name="sync.dispatch")  # type: ignore[untyped-decorator]
def dispatch() -> None:
    """Claim the lanes that are due and enqueue a task for each; every second, by beat."""
    for claim in dispatching.claim(services()):
        failpoints.point("dispatch_claimed")
        task, queue = (feed, "feeds") if claim.lane == "feed" else (walk, "crawls")
        task.apply_async((claim.store_id, claim.resource), queue=queue, expires=lanes.CLAIM_SECONDS)
    _note("feeds")


@app.task(name="sync.pulse")  # type: ignore[untyped-decorator]
def pulse(queue: str) -> None:
    """Note that the queue is consumed."""
    _note(queue)


@app.task(name="sync.poll_intervals")  # type: ignore[untyped-decorator]
def cadence() -> None:
    """Fit the feeds' intervals to the request budget; every minute, by beat."""
    dispatching.set_cadence(services())


@app.task(name="sync.housekeeping")  # type: ignore[untyped-decorator]
def housekeeping() -> None:
    """Register a new release's resources, queue rebuilds, delete old notes; hourly, by beat."""
    dispatching.housekeep(services())


@app.task(name="sync.watch")  # type: ignore[untyped-decorator]
def watch() -> None:
    """Sample the request budget, and notify the operator of new problems."""
    try:
        sample(services().engine, services().limiter)
        notify.notify(services())
    except TryLater as error:
        log().warning("not watched", reason=str(error))
    _note("feeds")


def _note(queue: str) -> None:
    process, egress = f"{socket.gethostname()}:{services().pid}", services().settings.egress
    # Without Postgres, the missing note itself is the signal.
    with suppress(TryLater), writing(services().engine) as connection:
        consumed(connection, process=process, queue=queue, egress=egress)
