"""Methods called once for every record of another resource: a pass over all parents.

The list of each parent closes on its own: a row that the list lacks becomes a tombstone. Between
two passes, a parent that its history names is read again (feed/due.py).
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from sync.crm import Priority
from sync.declare import Resource
from sync.deletion import By, Deleted, Evidence, Withheld
from sync.errors import MissingScope, NotFound, TryLater, Unavailable, UnexpectedData
from sync.records.loaded import Loaded
from sync.rows.live_rows import count_live, keys_of_parent, orphans
from sync.rows.tombstones import Tombstone
from sync.state import approvals, coverage, crawls, rereads
from sync.state.crawls import Crawl
from sync.telemetry import plain
from sync.work.by_ids import MOST_ALONE, WORDS, is_unreadable
from sync.work.context import Context
from sync.work.missing import judge_list, read_singly
from sync.work.per_parent.parent import (
    MOST_PAGES,
    Answered,
    Keep,
    Long,
    NotStill,
    ParentRow,
    Unfinished,
    ask_parent,
    live_parents,
)
from sync.work.prefetch import Prefetcher
from sync.work.whole_list.sweep import PASSES
from sync.work.writing import write_rows, write_tombstones

PARENTS_AT_ONCE = 200
FEED_PAGES = 50
"""The most pages of a list that a feed reads; longer lists are left to the pass."""
SUSPECT_AFTER = 20
"""The number of parents in a row without a list, from the first on, before the method is checked.
"""
WITHOUT_PARENTS_SECONDS = 300.0
"""The wait before the next look for parents: a query, no request."""
LOOK_SECONDS = (5.0, 60.0)
"""The shortest and the longest wait of a pass for its parents; in between, a tenth of its age."""
COUNTED = ("answered", "missing", "absent", "withheld", "failing")


class WithoutParents(Unavailable):
    """The parents are off or unavailable: there is nothing to request."""


def crawl_parents(ctx: Context, crawl: Crawl) -> bool:
    """Request the list of every live parent, in key order; False when the slice ended before.

    The pass waits until the parents are complete: a pass over half of them would claim too much.
    """
    resource = ctx.resources[crawl.resource]
    assert resource.parent is not None
    moment = ctx.draw()
    with ctx.reading() as connection:
        known = coverage.complete_as_of(connection, ctx.store.id, resource.parent.resource)
    if known is None:
        _wait_for_parents(ctx, crawl, resource, moment)
        return False
    asker = _begin(ctx, crawl, resource, min(moment, known))
    try:
        asker.ask_each(crawl)
    except Unfinished:
        return False
    if asker.found["missing"] and not asker.found["answered"]:
        _require_method(ctx, crawl, resource)
    _close(ctx, crawl, asker)
    return True


def _wait_for_parents(ctx: Context, crawl: Crawl, resource: Resource, moment: dt.datetime) -> None:
    """Make a pass wait; raise WithoutParents when its parents cannot become complete."""
    assert resource.parent is not None
    parents = resource.parent.resource
    with ctx.reading() as connection:
        known = coverage.standing(connection, ctx.store.id, parents)
    if not known.is_selected:
        raise WithoutParents(
            f"it is read for each record of {parents}, which is off; turn it on: "
            f"celery -A sync mirror resource {ctx.store.name} {parents} on"
        )
    if known.unavailable is not None:
        raise WithoutParents(f"it is read for each record of {parents}: {known.unavailable}")
    assert crawl.started_at is not None
    least, most = LOOK_SECONDS
    age = (moment - crawl.started_at).total_seconds()
    for attempt in ctx.attempts():
        with attempt as connection:
            crawls.wait(connection, crawl, seconds=min(most, max(least, age / 10)))


def _begin(ctx: Context, crawl: Crawl, resource: Resource, moment: dt.datetime) -> _Asker:
    """Begin a pass, or carry it on with the counts of its earlier slices.

    The pass is complete as of its beginning, or as of its parents' coverage then, if that is older.
    """
    is_new = "began" not in crawl.report
    for attempt in ctx.attempts():
        with attempt as connection:
            coverage.set_available(connection, ctx.store.id, resource.name)
            known = coverage.standing(connection, ctx.store.id, resource.name)
            if is_new:
                live = count_live(connection, resource, ctx.store.id)
                crawls.note(connection, crawl, began=moment.isoformat(), live=live)
    found = Counter({name: crawl.report.get(name, 0) for name in COUNTED})
    return _Asker(
        ctx, resource, crawl, live=crawl.report["live"], approved=known.is_approved, found=found
    )


def _require_method(ctx: Context, crawl: Crawl, resource: Resource) -> None:
    """Raise Unavailable when parents that exist all answer 404: the account lacks the method.

    The pass begins anew when it is tried again, the next day.
    """
    parents = live_parents(ctx, resource, at_most=SUSPECT_AFTER)
    if any(_is_there(ctx, resource, parent) for parent in parents):
        for attempt in ctx.attempts():
            with attempt as connection:
                crawls.begin_anew(connection, crawl)
        raise Unavailable(f"this account has no {resource.path} (HTTP 404)")


def _is_there(ctx: Context, resource: Resource, parent: ParentRow) -> bool:
    assert resource.parent is not None
    parents = ctx.resources[resource.parent.resource]
    if not parents.single or resource.parent.by != "id":
        return True
    try:
        read_singly(ctx, parents, parent.key, priority=Priority.REFRESH)
    except NotFound:
        return False
    return True


@dataclass(slots=True)
class _Asker:
    """The reader and writer of parents' lists, for a pass or, without a crawl, for a feed.

    `found` are the counts of the pass over all its slices, kept in the crawl's report. `live` is
    the number of live rows when it began. `first` is the parent whose list may outlast the slice.
    """

    ctx: Context
    resource: Resource
    crawl: Crawl | None = None
    most_pages: int = MOST_PAGES
    live: int = 0
    approved: bool = False
    found: Counter[str] = field(default_factory=Counter)
    words: str = "more than half of a list, or some that cannot be judged"
    first: Any = None

    def ask_each(self, crawl: Crawl) -> None:
        """Read the lists of all live parents left; raise Unfinished when the slice ends before."""
        while True:
            after = crawl.report.get("rebuilt_to")
            parents = live_parents(self.ctx, self.resource, after=after, at_most=PARENTS_AT_ONCE)
            self._ask_some(crawl, parents)
            if len(parents) < PARENTS_AT_ONCE:
                return

    def _ask_some(self, crawl: Crawl, parents: list[ParentRow]) -> None:
        """Read the lists of some parents, several side by side.

        A long list is read in its turn, by this thread, which writes it in parts.
        """
        with Prefetcher(self._ask) as ahead:
            for parent in parents:
                self.first = parent.key if self.first is None else self.first
                ahead.push(parent)
            for parent, result, _ in ahead.results():
                answered = self._ask_long(parent) if isinstance(result, Long) else result
                if isinstance(answered, Exception):
                    self._pass_by(crawl, parent, answered)
                    continue
                self.take(answered)
                if self.found["missing"] == SUSPECT_AFTER and not self.found["answered"]:
                    _require_method(self.ctx, crawl, self.resource)
                if self.ctx.is_over:
                    raise Unfinished("the slice is over")

    def _ask(self, parent: ParentRow, keep: Keep | None = None) -> Answered:
        # The first may outlast the slice, or a list that takes longer would start again for ever.
        is_over = self.ctx.stop.is_set if parent.key == self.first else lambda: self.ctx.is_over
        return ask_parent(
            self.ctx, self.resource, parent, is_over=is_over, most_pages=self.most_pages, keep=keep
        )

    def ask_in_parts(self, parent: ParentRow) -> Answered:
        """Read a parent's list of any length; parts are written whenever too much is held."""
        return self._ask(parent, self._keep)

    def _ask_long(self, parent: ParentRow) -> Answered | Exception:
        try:
            return self.ask_in_parts(parent)
        except (TryLater, UnexpectedData) as error:
            return error

    def _pass_by(self, crawl: Crawl, parent: ParentRow, error: Exception) -> None:
        """Go on without a parent whose list fails while the account answers otherwise.

        The parent is noted, and coverage stays as it was. When the first few of a pass all fail,
        the method itself may be at fault, and the error is raised.
        """
        if not _is_of_parent(error) or not isinstance(parent.key, int):
            raise error
        if self.found["failing"] + 1 >= MOST_ALONE and not self.found["answered"]:
            raise error
        failing = {parent.key: plain(error, most=WORDS)}
        for attempt in self.ctx.attempts():
            with attempt as connection:
                rereads.failed(connection, self.ctx.store.id, self.resource.name, failing)
                _advance(connection, crawl, parent, Counter(failing=1))
        self.found["failing"] += 1

    def take(self, answered: Answered) -> None:
        """Write a parent's answer; read its list again where newer rows refused a part of it."""
        for _ in range(PASSES):
            self._write(answered)
            if not answered.is_refused:
                return
            answered = self.ask_in_parts(answered.parent)

    def _write(self, answered: Answered) -> None:
        """Write a parent's records, mark as deleted what its list lacks, move the checkpoint."""
        found = Counter({"missing" if answered.is_missing else "answered": 1})
        tombstones = self._tombstones(answered, found)
        for attempt in self.ctx.attempts():
            with attempt as connection:
                loaded = self._load(connection, answered, tombstones)
                is_refused = answered.is_refused or bool(loaded.refused)
                if self.crawl is not None and not is_refused:
                    key = answered.parent.key
                    among = [key] if isinstance(key, int) else []
                    rereads.forget_failing(
                        connection, self.ctx.store.id, self.resource.name, among=among
                    )
                    _advance(connection, self.crawl, answered.parent, found)
        answered.is_refused = is_refused
        if self.crawl is not None and not is_refused:
            self.found += found

    def _keep(self, answered: Answered) -> None:
        """Write a part of a long list: it is true as of its request, whatever follows."""
        for attempt in self.ctx.attempts():
            with attempt as connection:
                loaded = self._load(connection, answered)
        answered.is_refused |= bool(loaded.refused)
        answered.batches, answered.held_bytes = [], 0

    def _load(
        self, connection: sa.Connection, answered: Answered, tombstones: Sequence[Tombstone] = ()
    ) -> Loaded:
        return write_rows(
            self.ctx,
            connection,
            self.resource,
            answered.batches,
            tombstones=tombstones,
            crawl=self.crawl,
        )

    def _tombstones(self, answered: Answered, found: Counter[str]) -> list[Tombstone]:
        """Return tombstones for the rows that a parent's list lacks, as far as allowed now.

        A parent that answers 404 lacks all, once other parents have shown that the method works.
        Only a pass makes rows wait for approval; a parents' feed leaves them alone.
        """
        first = answered.first_as_of
        with self.ctx.reading() as connection:
            known = keys_of_parent(
                connection,
                self.resource,
                self.ctx.store.id,
                answered.parent.key,
                known_before=first,
            )
        absent = known - answered.check.ids
        if not absent:
            return []
        verdict = judge_list(
            self.ctx,
            self.resource,
            absent,
            Evidence(
                By.NO_LIST if answered.is_missing else By.LIST,
                of=len(known),
                answers=not answered.is_missing or self.found["answered"] > 0,
                unusable=answered.check.unusable,
                together=self.found["absent"] + len(absent),
                of_all=self.live,
                approved=self.approved,
            ),
        )
        if isinstance(verdict, Deleted):
            found["absent"] = len(absent)
            return [Tombstone(key, first, verdict.reason) for key in absent]
        if isinstance(verdict, Withheld) and verdict.approvable:
            found["withheld"] = len(absent)
            self.words = verdict.words
        return []


def _advance(
    connection: sa.Connection, crawl: Crawl, parent: ParentRow, found: Counter[str]
) -> None:
    """Commit a pass up to a parent, and the counts found there."""
    crawls.add_report(connection, crawl, found)
    crawls.note(connection, crawl, rebuilt_to=str(parent.key))


def _is_of_parent(error: Exception) -> bool:
    """Tell whether an error concerns one parent alone, so that others may answer."""
    return is_unreadable(error) and not isinstance(
        error, Unfinished | Long | NotStill | UnexpectedData
    )


def _close(ctx: Context, crawl: Crawl, asker: _Asker) -> None:
    """Mark the records of deleted parents as deleted, and end the pass: every parent was asked."""
    as_of, found = ctx.draw(), asker.found
    began = dt.datetime.fromisoformat(crawl.report["began"])
    approval: approvals.Approval | None = None
    if found["withheld"]:
        approval = approvals.Approval(found["withheld"], asker.live, asker.words)
    for attempt in ctx.attempts():
        with attempt as connection:
            _delete_orphans(ctx, connection, asker.resource, as_of)
            approvals.end(
                connection,
                ctx.store,
                asker.resource,
                crawl,
                complete_as_of=None if found["failing"] else began,
                approval=approval,
            )


def _delete_orphans(
    ctx: Context,
    connection: sa.Connection,
    resource: Resource,
    as_of: dt.datetime,
    *,
    among: list[Any] | None = None,
) -> None:
    """Mark the rows of deleted parents as deleted.

    `as_of` is now, later than any read before: a parent deleted after its list was read leaves no
    rows.
    """
    assert resource.parent is not None
    parents = ctx.resources[resource.parent.resource]
    gone = orphans(connection, resource, parents, ctx.store.id, among=among)
    tombstones = [Tombstone(key, as_of, "absent") for key in gone]
    write_tombstones(ctx, connection, resource, tombstones)


def read_parents(ctx: Context, resource: Resource, keys: list[Any]) -> list[Any]:
    """Read again the lists of parents that changed; mark the records of deleted parents as deleted.

    Returns the keys that are done: not all when the slice ended before. This runs in the parents'
    feed, which must not fail because of another method. So a method that is off or unavailable is
    skipped, and one that refuses or is too long is left to a pass of its own.
    """
    with ctx.reading() as connection:
        known = coverage.standing(connection, ctx.store.id, resource.name)
    if not known.is_selected or known.unavailable is not None:
        return keys
    asker = _Asker(ctx, resource, most_pages=FEED_PAGES)
    done: list[Any] = []
    failing: dict[Any, str] = {}
    try:
        for parent in live_parents(ctx, resource, only=keys, at_most=len(keys)):
            if ctx.is_over:
                return done
            asker.first = asker.first if done else parent.key
            try:
                asker.take(asker.ask_in_parts(parent))
            except TryLater as error:
                is_method = len(failing) + 1 >= MOST_ALONE and not done
                if is_method or not _is_of_parent(error):
                    raise
                failing[parent.key] = plain(error, most=WORDS)
            else:
                done.append(parent.key)
    except Unfinished:
        return done
    except (MissingScope, Unavailable, UnexpectedData, NotStill):
        for attempt in ctx.attempts():
            with attempt as connection:
                crawls.queue_once(connection, ctx.store.id, resource.name, kind="refresh")
        return keys
    except TryLater:
        if not done:
            raise
        # What was read counts: if one request in ten fails, a hundred requests never all succeed.
        return done
    as_of = ctx.draw()
    for attempt in ctx.attempts():
        with attempt as connection:
            _delete_orphans(ctx, connection, resource, as_of, among=keys)
            rereads.failed(connection, ctx.store.id, resource.name, failing)
    return [key for key in keys if key not in failing]
