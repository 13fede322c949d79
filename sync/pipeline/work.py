"""A task arrives: take the lease, do a slice of what is due, hand over.

This is the only place that catches errors: each is named by what happens next (sync/errors.py).
"""

from __future__ import annotations

import datetime as dt
import os
import random
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Event, Thread

import sqlalchemy as sa

from sync import faults
from sync.crawl import next_night, retry_seconds
from sync.declare import Cursor, Refreshed, Resource, Updated
from sync.errors import (
    AccessChanged,
    LeaseLost,
    MissingScope,
    NeedsOperator,
    NoSuchAccount,
    SyncError,
    TryLater,
    Unavailable,
    UnexpectedData,
    WrongKey,
)
from sync.mirror import checkpoint, clock, coverage, lease, notes, stores
from sync.mirror.checkpoint import Crawl
from sync.mirror.engine import in_transaction
from sync.mirror.lease import Claim, Lease
from sync.mirror.stores import Store
from sync.pipeline import account
from sync.pipeline.asking import Asking
from sync.pipeline.context import Context
from sync.pipeline.cursor import crawl_cursor
from sync.pipeline.follow import follow, until_next_look
from sync.pipeline.listed import crawl_list
from sync.pipeline.older import crawl_older
from sync.pipeline.parents import (
    WITHOUT_PARENTS_SECONDS,
    WithoutParents,
    crawl_parents,
    seconds_to_parents,
)
from sync.pipeline.rebuild import crawl_rebuild
from sync.pipeline.services import Services
from sync.pipeline.sweep import crawl_sweep
from sync.pipeline.updated import poll
from sync.resources import RESOURCES
from sync.telemetry import counting, log, plain, span, told

RENEW_SECONDS = faults.scaled(20)
CRASHES = 8
"""A lane whose worker died this often without any progress is parked for a person to look at."""
DAY = dt.timedelta(days=1)
DAY_SECONDS = DAY.total_seconds()
MAINTENANCE = dt.timedelta(seconds=faults.scaled(900))
"""Until an account whose host answered no API at all is asked again."""
SURE_ATTEMPTS = 4
"""Failures in a row, over some seconds, before an account is believed to be gone, or a history not
to be given any more: a proxy that has a bad moment answers `credentials` with its page too."""
PAUSE = dt.timedelta(hours=1)
"""The longest an account may put us off: looking once more costs one request."""
HANDED_OVER_SECONDS = 0.0
INCONCLUSIVE_SECONDS = 5.0
REFRESH_EARLY = 0.95


def work(claim: Claim, services: Services, resources: Mapping[str, Resource] = RESOURCES) -> None:
    """Do one slice of a lane's work, if its lease can be had. Never raises a SyncError."""
    if claim.resource not in resources:
        return  # of another release: whoever knows it takes its lease, once the claim has run out
    holder = f"{socket.gethostname()}:{os.getpid()}"
    engine = services.engine
    try:
        held = in_transaction(engine, lambda c: lease.acquire(c, claim, holder=holder))
        if held is None:
            return  # a task delivered twice, or turned off meanwhile
        store = in_transaction(engine, lambda c: stores.by_id(c, claim.store_id))
    except TryLater as error:
        log(resource=claim.resource, lane=claim.lane).warning("not begun", reason=str(error))
        return
    if store is None:
        return  # removed
    say = log(store=store.name, resource=claim.resource, lane=claim.lane)
    if held.attempts > CRASHES and _never_failed(engine, held):
        _park(engine, held, f"its worker died {held.attempts - 1} times without any progress")
        say.error("parked", attempts=held.attempts)
        return
    faults.point("leased")
    began = time.monotonic()
    named = {"store": store.name, "resource": held.resource, "lane": held.lane}
    with renewed(engine, held, store), counting() as tally, span("slice", **named):
        try:
            ctx = _context(services, store, held, resources)
            after_seconds = _slice(ctx)
        except SyncError as error:
            _failed(services, store, held, error)
        except Exception as error:
            # A bug fails loudly, once, and waits for a person; the rest of the mirror goes on.
            say.exception("bug")
            _park(engine, held, f"bug: {told(error)}")
            raise
        else:
            faults.point("before_acknowledge")
            _released(ctx, after_seconds)
            say.info(
                "slice",
                requests=ctx.api.requests,
                rows=tally.rows,
                changed=tally.changed,
                waited_seconds=round(ctx.api.waited_seconds, 3),
                elapsed_seconds=round(time.monotonic() - began, 3),
            )


def _context(
    services: Services, store: Store, held: Lease, resources: Mapping[str, Resource]
) -> Context:
    api = Asking(
        services.client,
        services.account(store),
        store_id=store.id,
        limiter=services.limiter,
        draw=lambda: clock.draw(services.engine, store.id),
        stop=services.stop,
        say=log(store=store.name, resource=held.resource, lane=held.lane),
    )
    return Context(
        services.engine,
        store,
        resources,
        api,
        held,
        stop=services.stop,
        feed_seconds=services.settings.feed_seconds,
        requests_per_second=services.settings.rate_limit,
    )


@contextmanager
def renewed(engine: sa.Engine, held: Lease, store: Store) -> Iterator[None]:
    """Renew the lease beside the work: a slot of a busy budget may be long in coming.

    A process that is stopped stops renewing too, so its lease runs out as it should.
    """
    ended = Event()

    def renew() -> None:
        while not ended.wait(RENEW_SECONDS):
            try:
                in_transaction(engine, lambda c: lease.hold(c, held, zone=store.zone))
            except SyncError:
                return  # the next write will find out, and say so

    thread = Thread(target=renew, name="renew", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()


def _slice(ctx: Context) -> float:
    """Do what is due; return in how many seconds the lane is due again."""
    if ctx.lease.lane == "feed":
        began = ctx.monotonic()
        if not follow(ctx):
            return HANDED_OVER_SECONDS
        return until_next_look(ctx, looked_seconds=ctx.monotonic() - began)
    return _walk_slice(ctx)


def _walk_slice(ctx: Context) -> float:
    resource = ctx.resource
    while True:
        crawl = ctx.read(lambda c: checkpoint.next_crawl(c, ctx.store.id, resource.name))
        if crawl is None:
            crawl = _scheduled(ctx, resource)
        if crawl is None:
            if isinstance(resource.changes, Updated):
                poll(ctx, resource)
            return _next_due(ctx, resource)
        started = crawl
        ctx.write(lambda c, started=started: checkpoint.start_crawl(c, started))  # type: ignore[misc]
        if not _carry_on(ctx, crawl):
            over = ctx.monotonic() >= ctx.deadline or ctx.stop.is_set()
            if crawl.waits and not over:
                continue  # others go before it
            if not over and resource.parent is not None:
                return seconds_to_parents(ctx, crawl)
            return HANDED_OVER_SECONDS if over else INCONCLUSIVE_SECONDS
        account.take_note(ctx, resource)
        if ctx.is_over:
            return HANDED_OVER_SECONDS


def _carry_on(ctx: Context, crawl: Crawl) -> bool:
    resource = ctx.resource
    if crawl.kind == "rebuild":
        return crawl_rebuild(ctx, crawl)
    if resource.is_history:
        return crawl_older(ctx, crawl)
    if resource.is_followed:
        return crawl_list(ctx, crawl)
    if resource.parent is not None:
        return crawl_parents(ctx, crawl)
    if isinstance(resource.listing, Cursor):
        return crawl_cursor(ctx, crawl)
    return crawl_sweep(ctx, crawl)


def _scheduled(ctx: Context, resource: Resource) -> Crawl | None:
    """The crawl that is due by the clock, queued now; None when nothing is."""
    now = ctx.draw()
    complete, settled = ctx.read(lambda c: _settled(c, ctx.store.id, resource.name))
    kind = None
    if isinstance(resource.changes, Refreshed) and not resource.is_history:
        every = dt.timedelta(seconds=resource.changes.every_seconds)
        if ctx.store.error is not None and resource.name == "credentials":
            every = min(every, MAINTENANCE / 2)  # they tell whether the account is well again
        if complete is None or now - complete >= every * REFRESH_EARLY:
            kind = "refresh"
    elif resource.is_followed and settled is not None and now - settled > DAY * 0.8:
        kind = "reconcile"
    if kind is None or ctx.read(lambda c: checkpoint.next_due(c, ctx.store.id, resource.name)):
        return None  # nothing is due, or one is open and waits
    wanted = kind
    since = ctx.store.since if resource.created_field else None
    ctx.write(
        lambda c: stores.queue_crawl(
            c, ctx.store.id, resource.name, kind=wanted, days=(since, None)
        )
    )
    return ctx.read(lambda c: checkpoint.next_crawl(c, ctx.store.id, resource.name))


def _settled(
    connection: sa.Connection, store_id: int, resource: str
) -> tuple[dt.datetime | None, dt.datetime | None]:
    """As of when the last pass was read, and when the last load or reconcile ended.

    A pass counts from its start even if it proved nothing (it waits for approval, its parents are
    older): otherwise it would be due again at once, and again.
    """
    row = connection.execute(
        sa.text(
            "SELECT greatest(c.complete_as_of, (SELECT max(started_at) FROM sync.crawl AS w"
            " WHERE w.store_id = c.store_id AND w.resource = c.resource"
            " AND w.kind IN ('load', 'refresh') AND w.state = 'done')) AS read_at,"
            " (SELECT max(finished_at) FROM sync.crawl AS w"
            " WHERE w.store_id = c.store_id AND w.resource = c.resource"
            " AND w.kind IN ('load', 'reconcile')) AS settled_at FROM sync.coverage AS c"
            " WHERE c.store_id = :store AND c.resource = :resource"
        ),
        {"store": store_id, "resource": resource},
    ).one()
    return row.read_at, row.settled_at


def _next_due(ctx: Context, resource: Resource) -> float:
    waiting = ctx.read(lambda c: checkpoint.next_due(c, ctx.store.id, resource.name))
    scheduled = _next_scheduled(ctx, resource)
    if waiting is None:
        return scheduled
    return max(0.0, min(scheduled, (waiting - ctx.read(clock.now)).total_seconds()))


def _next_scheduled(ctx: Context, resource: Resource) -> float:
    changes = resource.changes
    if resource.is_history or not isinstance(changes, Refreshed):
        now = ctx.read(clock.now)
        return (next_night(now, offset=ctx.store.id) - now).total_seconds()
    now = ctx.draw()  # what the passes' moments are drawn from
    complete, _ = ctx.read(lambda c: _settled(c, ctx.store.id, resource.name))
    # From the pass itself, not from a grid: its age then never exceeds the cadence by much.
    full = (complete or now) + dt.timedelta(seconds=changes.every_seconds * REFRESH_EARLY)
    if isinstance(changes, Updated):
        full = min(full, now + dt.timedelta(seconds=changes.poll_seconds))
    return max((full - now).total_seconds(), 1.0)


def _released(ctx: Context, after_seconds: float) -> None:
    """Give the lease back; a crawl asked for meanwhile makes the lane due at once."""

    def write(connection: sa.Connection) -> None:
        lease.lock(connection, ctx.lease)
        # Read after the lane's row is locked: whoever queues a crawl locks it too.
        # One that was begun is the one that was worked on, and said itself how long it waits.
        crawl = None
        if ctx.lease.lane == "walk":
            crawl = checkpoint.next_crawl(connection, ctx.store.id, ctx.lease.resource)
        is_new = crawl is not None and crawl.state == "pending"
        most = INCONCLUSIVE_SECONDS if is_new else after_seconds
        lease.release(connection, ctx.lease, after_seconds=min(after_seconds, most))
        if ctx.store.error is not None and ctx.lease.resource == "credentials":
            stores.recovered(connection, ctx.store.id)

    try:
        in_transaction(ctx.engine, write)
    except SyncError as error:
        log(store=ctx.store.name, resource=ctx.lease.resource).info(
            "not released", reason=str(error)
        )


def _never_failed(engine: sa.Engine, held: Lease) -> bool:
    def ask(connection: sa.Connection) -> bool:
        return (
            connection.execute(
                sa.text(
                    "SELECT failing_since IS NULL FROM sync.lane WHERE store_id = :s"
                    " AND resource = :r AND lane = :l"
                ),
                {"s": held.store_id, "r": held.resource, "l": held.lane},
            ).scalar()
            is True
        )

    return in_transaction(engine, ask)


def _park(engine: sa.Engine, held: Lease, text: str) -> None:
    in_transaction(engine, lambda c: lease.fail(c, held, error=text, after_seconds=0, parked=True))


def _failed(services: Services, store: Store, held: Lease, error: SyncError) -> None:
    """What happens after each kind of error; nothing of it loses a row or a checkpoint."""
    engine = services.engine
    say = log(store=store.name, resource=held.resource, lane=held.lane)
    reason = plain(error)
    if isinstance(error, LeaseLost):
        say.info("lease lost", reason=reason)
        _give_back(engine, held)
        return
    stopping = isinstance(error, TryLater) and services.stop.is_set()
    seconds = 0.0 if stopping else _retry_after(held, error)
    parked = False

    def write(connection: sa.Connection) -> None:
        lease.fail(connection, held, error=reason, after_seconds=seconds, parked=parked)

    try:
        if stopping:
            in_transaction(engine, lambda c: lease.release(c, held, after_seconds=seconds))
            return
        if _is_to_be_seen_again(held, error):
            seconds = max(seconds, services.settings.feed_seconds)
            in_transaction(engine, write)
        elif isinstance(error, MissingScope | Unavailable):
            seconds = DAY_SECONDS
            if isinstance(error, WithoutParents):
                seconds = WITHOUT_PARENTS_SECONDS
            in_transaction(engine, lambda c: _unavailable(c, store, held, reason, seconds))
        elif isinstance(error, WrongKey | NoSuchAccount | AccessChanged):
            # Only a person gives a key its access back, but a page of maintenance goes by itself.
            pause = MAINTENANCE if isinstance(error, NoSuchAccount) else DAY
            seconds = pause.total_seconds()
            in_transaction(engine, write)
            in_transaction(
                engine,
                lambda c: stores.stop_all(c, store.id, error=reason, again_after=pause),
            )
        elif isinstance(error, UnexpectedData | NeedsOperator):
            parked = True
            in_transaction(engine, write)
            if isinstance(error, UnexpectedData) and error.body:
                in_transaction(engine, lambda c: _keep_body(c, store, held, error))
        else:
            in_transaction(engine, write)
    except SyncError as second:
        say.warning("could not note the failure", reason=str(second))
    say.warning("failed", reason=reason, again_in_seconds=round(seconds, 1))


def _is_to_be_seen_again(held: Lease, error: SyncError) -> bool:
    """Whether an answer is not believed before it has come several times in a row.

    A history that was read until now, above all: what it tells of would not wait for it any more.
    """
    if held.attempts >= SURE_ATTEMPTS:
        return False
    return isinstance(error, NoSuchAccount) or (
        held.lane == "feed" and isinstance(error, MissingScope | Unavailable)
    )


def _give_back(engine: sa.Engine, held: Lease) -> None:
    """A lease refused because the store's zone changed is still ours: another slice may begin."""

    def write(connection: sa.Connection) -> None:
        lease.lock(connection, held)
        lease.release(connection, held, after_seconds=0)

    with suppress(SyncError):  # taken over: it is somebody else's now
        in_transaction(engine, write)


def _keep_body(connection: sa.Connection, store: Store, held: Lease, error: UnexpectedData) -> None:
    notes.park_page(
        connection,
        store.id,
        held.resource,
        request=held.resource,
        reason=str(error),
        body=error.body,
    )


def _unavailable(
    connection: sa.Connection, store: Store, held: Lease, reason: str, after_seconds: float
) -> None:
    coverage.set_unavailable(connection, store.id, held.resource, reason=reason)
    lease.release(connection, held, after_seconds=after_seconds)


def _retry_after(held: Lease, error: SyncError) -> float:
    asked = error.after if isinstance(error, TryLater) and error.after is not None else 0.0
    own = retry_seconds(held.attempts, jitter=random.random(), most=60.0)  # noqa: S311
    return max(min(asked, PAUSE.total_seconds()), own)
