"""Records that wait in `sync.reread`, read when they are due."""

from __future__ import annotations

from sync.declare import Resource
from sync.state import coverage, feeds, rereads
from sync.work.context import Context
from sync.work.feed.late import judge_sample
from sync.work.feed.reread import apply, read_again
from sync.work.missing import ChangeHint
from sync.work.per_parent.parents import read_parents


def drain(ctx: Context) -> None:
    """Read the due records of this feed, a hundred a request, and one request at least."""
    history = ctx.resource
    target = ctx.target_of(history)
    while not ctx.stop.is_set() and _read_waiting(ctx, history, target) and not ctx.is_over:
        pass
    for resource in ctx.resources.values():
        if resource.parent is not None and resource.parent.resource == target.name:
            _drain_parents(ctx, resource)


def _read_waiting(ctx: Context, history: Resource, target: Resource) -> bool:
    """Read some due records; False when none is due."""
    with ctx.reading() as connection:
        due = rereads.due(connection, ctx.store.id, target.name)
    if not due:
        return False
    read = read_again(ctx, target, {record: ChangeHint() for record in due})
    sampled = {
        record: each.not_before
        for record, each in due.items()
        if each.reason == rereads.SAMPLED and each.is_last
    }

    for attempt in ctx.attempts():
        with attempt as connection:
            coverage.lock(connection, ctx.store.id, target.name)
            if sampled:
                feeds.hold(connection, ctx.store.id, history.name, of=target.name)
            # Ticked off before the results are written: those may queue the same records again.
            settled = {record: each for record, each in due.items() if record not in read.open}
            rereads.tick_off(connection, ctx.store.id, target.name, settled, read_at=read.as_of)
            if sampled:
                judge_sample(ctx, connection, history, sampled)
            apply(ctx, connection, target, read)
    return True


def _drain_parents(ctx: Context, resource: Resource) -> None:
    """Read again the lists of due parents; each is ticked off after it was read."""
    while not ctx.is_over:
        with ctx.reading() as connection:
            due = rereads.due(connection, ctx.store.id, resource.name)
        if not due:
            return
        read_at = ctx.draw()
        done = {key: due[key] for key in read_parents(ctx, resource, list(due))}
        if done:
            for attempt in ctx.attempts():
                with attempt as connection:
                    rereads.tick_off(connection, ctx.store.id, resource.name, done, read_at=read_at)
        if len(done) < len(due):
            return
