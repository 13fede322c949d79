"""Lists with an updated-since filter: changes are read between the full passes.

Only a full pass shows deletions and moves coverage; a poll only makes rows more recent. A poll
starts a little before the last one, because the filter excludes its own bound and clocks differ.
"""

from __future__ import annotations

import datetime as dt

from sync.declare import Incremental, Resource
from sync.declare.moments import Zone, local_text
from sync.records.loaded import Source
from sync.state import coverage
from sync.work.context import Context
from sync.work.whole_list.sweep import PASSES, Pass, read_list


def poll(ctx: Context, resource: Resource) -> None:
    """Read the changes since the last poll, or since the last full pass.

    The filter uses a field that changes all the time, so pages shift during the reading. Unless the
    list held still, the next poll starts where this one did. The full pass handles unreadable
    records.
    """
    changes = resource.changes
    assert isinstance(changes, Incremental)
    with ctx.reading() as connection:
        known = coverage.standing(connection, ctx.store.id, resource.name)
    moments = [each for each in (known.polled_as_of, known.complete_as_of) if each is not None]
    if not moments:
        return  # the first full pass is still to come
    bound = bound_of(max(moments), ctx.draw(), changes.overlap_seconds, ctx.zone)
    for _ in range(PASSES):
        read = Pass()
        read_list(ctx, resource, read, source=Source.NEWS, chosen={changes.since: bound})
        check, first = read.check, read.first_as_of
        assert first is not None
        if check.pages <= 1 or len(check.ids) >= max(check.totals):
            for attempt in ctx.attempts():
                with attempt as connection:
                    coverage.set_polled_as_of(connection, ctx.store.id, resource.name, as_of=first)
            return
        if ctx.is_over:
            return


def bound_of(since: dt.datetime, now: dt.datetime, overlap_seconds: int, zone: Zone) -> str:
    """Return the bound as local text.

    If clocks went back since, the same local times came twice, and the bound goes back by the
    difference: a change in the second hour may look older than `since`.
    """
    start = since - dt.timedelta(seconds=overlap_seconds)
    before, after = start.astimezone(zone).utcoffset(), now.astimezone(zone).utcoffset()
    assert before is not None
    assert after is not None
    return local_text(start - max(before - after, dt.timedelta(0)), zone)
