"""Celery tasks: a few lines each, around the functions of sync/work."""

from __future__ import annotations

import socket
from contextlib import suppress

from kombu.exceptions import OperationalError

from sync import failpoints, notify
from sync.database.engine import writing
from sync.errors import TryLater
from sync.metrics.budget import sample
from sync.state import lanes, paces, samples
from sync.state.heartbeat import consumed, heard_beat
from sync.telemetry import log, plain
from sync.work import dispatching, surroundings
from sync.work.services import services
from sync.work.slices import work
from sync.worker import places
from sync.worker.alive import memory_bytes, touch
from sync.worker.celery import app

BOUNCED_SECONDS = 1.0


@app.task(name="sync.feed")  # type: ignore[untyped-decorator]
def feed(store_id: int, resource: str) -> None:
    """Follow a feed to its end."""
    work(lanes.Claim(store_id, resource, "feed", by="message"), services())
    _dispatch()
    _note("feeds")


@app.task(name="sync.walk")  # type: ignore[untyped-decorator]
def walk(store_id: int, resource: str) -> None:
    """Do a slice of a crawl.

    A worker that was sent more crawls than it has places leaves the lane to another.
    """
    claim = lanes.Claim(store_id, resource, "walk", by="message")
    if not places.crawls.acquire(blocking=False):
        _unclaim(claim)
        return
    try:
        work(claim, services())
    finally:
        places.crawls.release()
    _dispatch()
    _note("crawls")


@app.task(name="sync.dispatch")  # type: ignore[untyped-decorator]
def dispatch() -> None:
    """Claim the lanes that are due and enqueue a task for each; every second, by beat."""
    _dispatch()
    _note("feeds")


@app.task(name="sync.pulse")  # type: ignore[untyped-decorator]
def pulse(queue: str) -> None:
    """Note that the queue is consumed, and that beat sends."""
    _note(queue)
    with suppress(TryLater), writing(services().engine) as connection:
        heard_beat(connection, process=f"{socket.gethostname()}:{services().pid}", queue=queue)


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
    """Sample the request budget and the pace of crawls; notify the operator of new problems."""
    surroundings.tell(services())
    try:
        with writing(services().engine) as connection:
            paces.sample(connection)
            samples.take(connection, memory_bytes=memory_bytes())
        sample(services().engine, services().limiter)
        notify.notify(services())
    except TryLater as error:
        log().warning("not watched", reason=str(error))
    _note("feeds")


def _dispatch() -> None:
    """Fill the places that are free, also that of the slice which has just ended."""
    if services().stop.is_set():
        return
    claims = dispatching.claim(services())
    try:
        while claims:
            failpoints.point("dispatch_claimed")
            _send(claims[0])
            del claims[0]
    except OperationalError as error:
        log().warning("nothing dispatched", reason=plain(error))
        _unclaim(*claims)


def _send(claim: lanes.Claim) -> None:
    task, queue = (feed, "feeds") if claim.lane == "feed" else (walk, "crawls")
    task.apply_async((claim.store_id, claim.resource), queue=queue)


def _unclaim(*claims: lanes.Claim) -> None:
    """Give claims back; without Postgres they expire by themselves."""
    with suppress(TryLater), writing(services().engine) as connection:
        for claim in claims:
            lanes.unclaim(connection, claim, seconds=BOUNCED_SECONDS)


def _note(queue: str) -> None:
    process, egress = f"{socket.gethostname()}:{services().pid}", services().settings.egress
    # Without Postgres, the missing note itself is the signal.
    with suppress(TryLater), writing(services().engine) as connection:
        consumed(connection, process=process, queue=queue, egress=egress, places=places.places())
        touch(services().settings.health_dir, queue)
