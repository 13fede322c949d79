"""The run of a task: take the lease, do a slice of the work that is due, hand over.

Errors are caught only here. Each is named by the next step (sync/errors.py, failures.py).
"""

from __future__ import annotations

import datetime as dt
import random
import time
from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.exc import ProgrammingError

from sync import failpoints
from sync.database.engine import attempts
from sync.declare import CursorPages, Incremental, Resource
from sync.errors import LeaseLost, SyncError, TryLater, UnexpectedData
from sync.resources import RESOURCES
from sync.state import clock, coverage, crawls, diagnostics, lanes, nudges, stores
from sync.state.crawls import Crawl
from sync.state.lanes import Claim, Lease
from sync.state.stores import Store
from sync.telemetry import counting, log, plain, span, told
from sync.work import account
from sync.work.access import SharedAccess
from sync.work.context import Context
from sync.work.failures import Next, after_failure
from sync.work.feed.backlog import crawl_older
from sync.work.feed.follow import follow
from sync.work.per_parent.parents import crawl_parents
from sync.work.rebuild import crawl_rebuild
from sync.work.scheduled import queue_scheduled, seconds_to_next
from sync.work.services import Services
from sync.work.session import Session
from sync.work.whole_list.cursor import crawl_cursor
from sync.work.whole_list.sweep import crawl_sweep
from sync.work.whole_list.updated import poll
from sync.work.windows.crawl import crawl_list

CRASHES = 8
"""The number of worker deaths without progress after which a lane is parked for a person."""
HANDED_OVER_SECONDS = 0.0
INCONCLUSIVE_SECONDS = 5.0


def work(claim: Claim, services: Services, resources: Mapping[str, Resource] = RESOURCES) -> None:
    """Do one slice of a lane's work, if its lease is free. Never raises a SyncError."""
    if claim.resource not in resources:
        return  # another release's resource: a worker of that release takes the lease later
    try:
        holder = services.worker_id
        for attempt in attempts(services.engine):
            with attempt as connection:
                held = lanes.acquire(connection, claim, holder=holder)
                store = stores.by_id(connection, claim.store_id)
                sealed = stores.sealed_key(connection, claim.store_id)
    except TryLater as error:
        log(resource=claim.resource, lane=claim.lane).warning("not begun", reason=str(error))
        return
    if held is None or store is None:
        return  # a duplicate task, or the resource or store was turned off or removed meanwhile
    say = log(store=store.name, resource=claim.resource, lane=claim.lane)
    if held.attempts > CRASHES and not held.is_failing:
        _park(
            services.engine, held, f"its worker died {held.attempts - 1} times without any progress"
        )
        say.error("parked", attempts=held.attempts)
        return
    failpoints.point("leased")
    try:
        _work(services, store, sealed, held, resources)
    except ProgrammingError:
        if not services.schema.is_behind():
            raise
        # Another database is there now, or an older dump in it, and waits for `migrate`.
        services.heart.owe(lambda c: _give_back(c, held))


def _work(
    services: Services,
    store: Store,
    sealed: bytes,
    held: Lease,
    resources: Mapping[str, Resource],
) -> None:
    """Do the slice under its lease, and end the lease with what became of it."""
    say = log(store=store.name, resource=held.resource, lane=held.lane)
    began = time.monotonic()
    named = {"store": store.name, "resource": held.resource, "lane": held.lane}
    with counting() as tally, span("slice", **named):
        ctx = None
        try:
            ctx = _context(services, store, sealed, held, resources)
            after_seconds = _slice(ctx)
        except SyncError as error:
            was_silent = ctx is not None and ctx.api.unanswered > 0 and ctx.api.answers == 0
            silent_for = time.monotonic() - began if was_silent else None
            _failed(services, store, held, error, silent_for=silent_for)
        except Exception as error:
            if isinstance(error, ProgrammingError) and services.schema.is_behind():
                raise
            # A bug fails loudly, once, and waits for a person; the rest of the mirror goes on.
            say.exception("bug")
            _park(services.engine, held, f"bug: {told(error)}")
            raise
        else:
            failpoints.point("before_acknowledge")
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
    services: Services,
    store: Store,
    sealed: bytes,
    held: Lease,
    resources: Mapping[str, Resource],
) -> Context:
    api = Session(
        services.client,
        services.account(store, sealed),
        store_id=store.id,
        limiter=services.limiter,
        draw=lambda: clock.draw(services.engine, store.id),
        stop=services.stop,
        say=log(store=store.name, resource=held.resource, lane=held.lane),
        access=SharedAccess(
            services.engine, store.id, key=store.key_fingerprint, stop=services.stop
        ),
    )
    if not held.is_heard:
        api.heard = lambda: _heard(services.engine, store)
    ctx = Context(
        services.engine,
        store,
        resources,
        api,
        held,
        stop=services.stop,
        feed_seconds=services.settings.feed_seconds,
        requests_per_second=services.settings.rate_limit,
    )
    api.cut = ctx.cut
    return ctx


def _heard(engine: sa.Engine, store: Store) -> None:
    """Note that a store answers, while the slice goes on."""
    try:
        for attempt in attempts(engine):
            with attempt as connection:
                lanes.answered(connection, store.id)
    except TryLater as error:  # the next slice that is answered notes it
        log(store=store.name).warning("answer not noted", reason=str(error))


def _slice(ctx: Context) -> float:
    """Do the work that is due; return the seconds until the lane is due again."""
    if ctx.lease.lane == "feed":
        return follow(ctx)
    return _walk_slice(ctx)


def _walk_slice(ctx: Context) -> float:
    """Carry on one crawl after the other; a crawl that waits does not block the next."""
    resource = ctx.resource
    while True:
        crawl = _next_crawl(ctx)
        if crawl is None and queue_scheduled(ctx, resource):
            crawl = _next_crawl(ctx)
        if crawl is None:
            if isinstance(resource.changes, Incremental):
                poll(ctx, resource)
            return seconds_to_next(ctx, resource)
        if crawl.state == "pending":
            for attempt in ctx.attempts():
                with attempt as connection:
                    crawls.start_crawl(connection, crawl)
        if _carry_on(ctx, crawl):
            _take_note(ctx, resource)
        elif not ctx.is_over and (then := _next_crawl(ctx)) is not None and then.id == crawl.id:
            return INCONCLUSIVE_SECONDS
        if ctx.is_over:
            return HANDED_OVER_SECONDS


def _take_note(ctx: Context, resource: Resource) -> None:
    """Store a pass's facts about the account; when they are unexpected, queue another pass."""
    try:
        account.take_note(ctx, resource)
    except UnexpectedData:
        for attempt in ctx.attempts():
            with attempt as connection:
                crawls.queue_once(connection, ctx.store.id, resource.name, kind="refresh")
        raise


def _next_crawl(ctx: Context) -> Crawl | None:
    with ctx.reading() as connection:
        return crawls.next_crawl(connection, ctx.store.id, ctx.resource.name)


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
    if isinstance(resource.listing, CursorPages):
        return crawl_cursor(ctx, crawl)
    return crawl_sweep(ctx, crawl)


def _released(ctx: Context, after_seconds: float) -> None:
    """Release the lease; a crawl queued or a nudge come meanwhile makes the lane due at once."""
    try:
        for attempt in attempts(ctx.engine):
            with attempt as connection:
                lanes.lock(connection, ctx.lease)
                # Read after the lane's row is locked, because queueing a crawl locks it too. A
                # running crawl has set its own wait.
                crawl = None
                if ctx.lease.lane == "walk":
                    crawl = crawls.next_crawl(connection, ctx.store.id, ctx.lease.resource)
                is_new = crawl is not None and crawl.state == "pending"
                most = INCONCLUSIVE_SECONDS if is_new else after_seconds
                if ctx.lease.lane == "feed" and nudges.came_since(
                    connection, ctx.store.id, ctx.lease.taken_at
                ):
                    most = 0.0
                lanes.release(connection, ctx.lease, after_seconds=min(after_seconds, most))
                if ctx.store.error is not None and ctx.lease.resource == "credentials":
                    stores.recovered(connection, ctx.store.id)
    except SyncError as error:
        log(store=ctx.store.name, resource=ctx.lease.resource).info(
            "not released", reason=str(error)
        )


def _park(engine: sa.Engine, held: Lease, text: str) -> None:
    for attempt in attempts(engine):
        with attempt as connection:
            lanes.fail(connection, held, error=text, after_seconds=0, parked=True)


def _failed(
    services: Services,
    store: Store,
    held: Lease,
    error: SyncError,
    *,
    silent_for: float | None = None,
) -> None:
    """Apply the consequence of an error (failures.py); no row and no checkpoint is lost by it.

    `silent_for` is the length of the slice when none of its requests was answered.
    """
    say = log(store=store.name, resource=held.resource, lane=held.lane)
    then = after_failure(
        error,
        attempts=held.attempts,
        odd=held.odd,
        is_stopping=services.stop.is_set(),
        jitter=random.random(),  # noqa: S311
    )
    if not then.is_failure:
        say.info("lease lost" if isinstance(error, LeaseLost) else "ended", reason=plain(error))
        try:
            for attempt in attempts(services.engine):
                with attempt as connection:
                    _give_back(connection, held)
        except LeaseLost:
            pass  # taken over by another worker
        except TryLater:
            services.heart.owe(lambda c: _give_back(c, held))
        return
    is_noted = True
    try:
        for attempt in attempts(services.engine):
            with attempt as connection:
                is_noted = _note_failure(connection, store, held, error, then)
                if silent_for is not None:
                    lanes.silence(
                        connection,
                        store.id,
                        after_seconds=then.again_in,
                        elapsed_seconds=silent_for,
                    )
        if then.stopped_for is not None:
            # In a transaction of its own: it locks every lane of the store, and each worker holds
            # one of them.
            again_after = dt.timedelta(seconds=then.stopped_for)
            for attempt in attempts(services.engine):
                with attempt as connection:
                    stores.stop_all(
                        connection, store.id, error=plain(error), again_after=again_after
                    )
    except SyncError as second:
        say.warning("could not note the failure", reason=str(second))
        if isinstance(second, TryLater):
            services.heart.owe(lambda c: _note_failure(c, store, held, error, then))
    if not is_noted:
        say.info("lease lost", reason=plain(error))
        return
    say.warning(
        "failed",
        reason=plain(error),
        again_in_seconds=round(then.again_in, 1),
        parked=then.parked,
        odd=then.odd,
    )


def _give_back(connection: sa.Connection, held: Lease) -> None:
    """Release a lease at once; one refused because the store's zone changed is still held here."""
    lanes.lock(connection, held)
    lanes.release(connection, held, after_seconds=0)


def _note_failure(
    connection: sa.Connection, store: Store, held: Lease, error: SyncError, then: Next
) -> bool:
    """Write the failure down; False when another worker had taken the lease over."""
    reason = plain(error)
    if then.unavailable:
        lanes.lock(connection, held)
        coverage.set_unavailable(connection, store.id, held.resource, reason=reason)
        lanes.release(connection, held, after_seconds=then.again_in)
        return True
    is_held = lanes.fail(
        connection,
        held,
        error=reason,
        after_seconds=then.again_in,
        parked=then.parked,
        odd=then.odd,
    )
    is_first = then.odd is not None and (held.odd is None or held.odd.kind != then.odd)
    if is_first and isinstance(error, UnexpectedData) and error.body:
        diagnostics.park_page(
            connection,
            store.id,
            held.resource,
            request=held.resource,
            reason=str(error),
            body=error.body,
        )
    return is_held
