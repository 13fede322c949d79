"""Methods that are asked once for every record of another resource: a pass over the parents.

Each parent's list is closed on its own: what it lacks is tombstoned, of that parent alone. In
between, a parent that its history names is asked for again (follow.py drains those wishes).
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
from sync.deletion import By, Deleted, Withheld
from sync.errors import MissingScope, NotFound, TryLater, Unavailable, UnexpectedData
from sync.records.observed import Loaded, Origin
from sync.rows.live_rows import count_live, keys_of_parent, orphans
from sync.rows.tombstones import Tombstone
from sync.state import approvals, coverage, crawls, rereads, stores
from sync.state.crawls import Crawl
from sync.telemetry import plain
from sync.work.by_ids import MOST_ALONE, WORDS, cannot_be_had
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
"""A feed reads lists of so many pages, and leaves longer ones to the pass."""
SUSPECT_AFTER = 20
"""So many parents that have none, and no other: is the method there at all?"""
WITHOUT_PARENTS_SECONDS = 300.0
"""Until it is looked again whether there are parents after all: a query, and no request."""
LOOK_SECONDS = (5.0, 60.0)
"""A pass that waits for its parents looks again after a tenth of its age, but not sooner, nor
later, than these."""
COUNTED = ("answered", "missing", "absent", "withheld", "failing")


class WithoutParents(Unavailable):
    """What the records belong to is off, or not given: there is nothing to ask for."""


def crawl_parents(ctx: Context, crawl: Crawl) -> bool:
    """Ask for every live parent, in key order; False when it could not be done to the end.

    It waits for its parents: a pass over half of them would claim what is not so.
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
        _insist_on_method(ctx, crawl, resource)
    _close(ctx, crawl, asker)
    return True


def _wait_for_parents(ctx: Context, crawl: Crawl, resource: Resource, moment: dt.datetime) -> None:
    """Let a pass wait; WithoutParents when they will not become complete by being waited for."""
    assert resource.parent is not None
    parents = resource.parent.resource
    with ctx.reading() as connection:
        is_selected, unavailable = coverage.why_not(connection, ctx.store.id, parents)
    if not is_selected:
        raise WithoutParents(
            f"it is asked for by {parents}, which is off; turn it on: "
            f"celery -A sync mirror resource {ctx.store.name} {parents} on"
        )
    if unavailable is not None:
        raise WithoutParents(f"it is asked for by {parents}: {unavailable}")
    assert crawl.started_at is not None
    least, most = LOOK_SECONDS
    age = (moment - crawl.started_at).total_seconds()
    for attempt in ctx.attempts():
        with attempt as connection:
            crawls.wait(connection, crawl, seconds=min(most, max(least, age / 10)))


def _begin(ctx: Context, crawl: Crawl, resource: Resource, moment: dt.datetime) -> _Asker:
    """Begin a pass, or carry it on with what its slices have found so far.

    It is complete as of when it began, or as of when its parents were then, if that is older.
    """
    is_new = "began" not in crawl.report
    for attempt in ctx.attempts():
        with attempt as connection:
            coverage.set_asked(connection, ctx.store.id, resource.name)
            approved = approvals.is_approved(connection, ctx.store.id, resource.name)
            if is_new:
                live = count_live(connection, resource, ctx.store.id)
                crawls.note(connection, crawl, began=moment.isoformat(), live=live)
    found = Counter({name: crawl.report.get(name, 0) for name in COUNTED})
    return _Asker(ctx, resource, crawl, live=crawl.report["live"], approved=approved, found=found)


def _insist_on_method(ctx: Context, crawl: Crawl, resource: Resource) -> None:
    """Unavailable when parents that are there have nothing to ask for: no such method here.

    The pass begins anew when it is asked again, tomorrow.
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
    """Asks parents for their lists and writes them, for a pass or, without a crawl, for a feed.

    `found` is what the pass has found so far, over all its slices; kept in the crawl's report, as
    is how many rows were `live` when it began. `first` is the parent that may outlast the slice.
    """

    ctx: Context
    resource: Resource
    crawl: Crawl | None = None
    most_pages: int = MOST_PAGES
    live: int = 0
    approved: bool = False
    found: Counter[str] = field(default_factory=Counter)
    words: str = "more than half of a list, or some that cannot be told"
    first: Any = None

    def ask_each(self, crawl: Crawl) -> None:
        """Ask for all live parents that are left; Unfinished when the slice is over before."""
        while True:
            after = crawl.report.get("rebuilt_to")
            parents = live_parents(self.ctx, self.resource, after=after, at_most=PARENTS_AT_ONCE)
            self._ask_some(crawl, parents)
            if len(parents) < PARENTS_AT_ONCE:
                return

    def _ask_some(self, crawl: Crawl, parents: list[ParentRow]) -> None:
        """Ask for some parents, several side by side.

        A long list is read in its turn, by one thread, which writes it in parts.
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
                    _insist_on_method(self.ctx, crawl, self.resource)
                if self.ctx.is_over:
                    raise Unfinished("the slice is over")

    def _ask(self, parent: ParentRow, keep: Keep | None = None) -> Answered:
        # The first may outlast the slice, or a list that takes longer would be begun for ever.
        is_over = self.ctx.stop.is_set if parent.key == self.first else lambda: self.ctx.is_over
        return ask_parent(
            self.ctx, self.resource, parent, is_over=is_over, most_pages=self.most_pages, keep=keep
        )

    def ask_in_parts(self, parent: ParentRow) -> Answered:
        """Read a parent's list, however long; what is held at once is written meanwhile."""
        return self._ask(parent, self._keep)

    def _ask_long(self, parent: ParentRow) -> Answered | Exception:
        try:
            return self.ask_in_parts(parent)
        except (TryLater, UnexpectedData) as error:
            return error

    def _pass_by(self, crawl: Crawl, parent: ParentRow, error: Exception) -> None:
        """Go on without a parent whose list cannot be had while the account is well.

        It is named, and coverage stays where it was. The first few of a pass may be the method
        itself.
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
        """Write a parent's answer; asked again where newer knowledge stood in the way of it."""
        for _ in range(PASSES):
            self._write(answered)
            if not answered.is_refused:
                return
            answered = self.ask_in_parts(answered.parent)

    def _write(self, answered: Answered) -> None:
        """Write a parent's records, tombstone what its list lacks, move the checkpoint."""
        found = Counter({"missing" if answered.is_missing else "answered": 1})
        graves = self._graves(answered, found)
        for attempt in self.ctx.attempts():
            with attempt as connection:
                loaded = self._load(connection, answered, graves)
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
        """Write what was read of a long list so far: true as of its request, whatever comes."""
        for attempt in self.ctx.attempts():
            with attempt as connection:
                loaded = self._load(connection, answered)
        answered.is_refused |= bool(loaded.refused)
        answered.batches, answered.held_bytes = [], 0

    def _load(
        self, connection: sa.Connection, answered: Answered, graves: Sequence[Tombstone] = ()
    ) -> Loaded:
        return write_rows(
            self.ctx,
            connection,
            self.resource,
            answered.batches,
            origin=Origin.SHOWN,
            graves=graves,
            crawl=self.crawl,
        )

    def _graves(self, answered: Answered, found: Counter[str]) -> list[Tombstone]:
        """Rows of one parent that its list lacks, as far as they may be tombstoned now.

        A parent that has none (404) lacks all, once others have shown that the method is there.
        What waits for a person waits in a pass: the parents' feed leaves it alone.
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
            of=len(known),
            by=By.NO_LIST if answered.is_missing else By.LIST,
            answers=not answered.is_missing or self.found["answered"] > 0,
            unusable=answered.check.unusable,
            together=self.found["absent"] + len(absent),
            of_all=self.live,
            approved=self.approved,
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
    """Commit a pass up to a parent, and what was found there."""
    crawls.add_report(connection, crawl, found)
    crawls.note(connection, crawl, rebuilt_to=str(parent.key))


def _is_of_parent(error: Exception) -> bool:
    """Whether an error is one parent's: others may answer."""
    return cannot_be_had(error) and not isinstance(
        error, Unfinished | Long | NotStill | UnexpectedData
    )


def _close(ctx: Context, crawl: Crawl, asker: _Asker) -> None:
    """Every parent was asked: bury the records of parents that are gone, and say so."""
    as_of, found = ctx.draw(), asker.found
    began = dt.datetime.fromisoformat(crawl.report["began"])
    approval: approvals.Approval | None = None
    if found["withheld"]:
        approval = approvals.Approval(found["withheld"], asker.live, asker.words)
    for attempt in ctx.attempts():
        with attempt as connection:
            _bury_orphans(ctx, connection, asker.resource, as_of)
            approvals.end(
                connection,
                ctx.store,
                asker.resource,
                crawl,
                complete_as_of=None if found["failing"] else began,
                approval=approval,
            )


def _bury_orphans(
    ctx: Context,
    connection: sa.Connection,
    resource: Resource,
    as_of: dt.datetime,
    *,
    among: list[Any] | None = None,
) -> None:
    """Rows of parents that are gone. `as_of` is of now, later than any read before it: a parent
    deleted after it was asked for leaves none behind."""
    assert resource.parent is not None
    parents = ctx.resources[resource.parent.resource]
    gone = orphans(connection, resource, parents, ctx.store.id, among=among)
    graves = [Tombstone(key, as_of, "absent") for key in gone]
    write_tombstones(ctx, connection, resource, graves)


def read_parents(ctx: Context, resource: Resource, keys: list[Any]) -> list[Any]:
    """Ask again for parents that changed; the records of those that are gone are buried.

    Returns the keys that are done with: not all when the slice ended before. This is the parents'
    feed, which must not stumble over a method it is not for: what is off or unavailable is not
    asked, and what refuses, or is too long, is left to a pass of its own, which finds out what that
    means.
    """
    with ctx.reading() as connection:
        is_selected, unavailable = coverage.why_not(connection, ctx.store.id, resource.name)
    if not is_selected or unavailable is not None:
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
                stores.queue_once(connection, ctx.store.id, resource.name, kind="refresh")
        return keys
    except TryLater:
        if not done:
            raise
        # What was read counts: of a hundred requests one in ten may fail, and all together they
        # would never come through.
        return done
    as_of = ctx.draw()
    for attempt in ctx.attempts():
        with attempt as connection:
            _bury_orphans(ctx, connection, resource, as_of, among=keys)
            rereads.failed(connection, ctx.store.id, resource.name, failing)
    return [key for key in keys if key not in failing]
