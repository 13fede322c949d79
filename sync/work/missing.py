"""The questions asked about records that an answer lacks, before sync/deletion.py judges them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from sync.crawl import WHOLE
from sync.crm import Priority
from sync.database.engine import attempts
from sync.declare import Resource
from sync.deletion import Ask, By, Deleted, Evidence, Verdict, judge
from sync.errors import AccessChanged, Forbidden, NotFound, TryLater, UnexpectedData
from sync.records.normalise import Batch
from sync.rows.live_rows import deleted_among, hidden_among
from sync.rows.tombstones import Tombstone
from sync.state import crawls, feeds, rereads, stores
from sync.telemetry import plain
from sync.work.by_ids import WORDS, ids_of, insistent, is_unreadable
from sync.work.context import Context
from sync.work.list_params import SMALL_PAGE, list_params
from sync.work.session import Reply

ACCESS_SECONDS = 5.0
SINGLE_TRIES = 2
OTHERS = 3
"""The number of other records requested before a method counts as one that never answers."""


@dataclass(slots=True)
class ChangeHint:
    """The history's hint on a record: when it was deleted, and the record it was combined into.

    `moved`: the record was created or deleted, or changed its creation day or site, so it may have
    been in another window a moment ago. `is_news`: an entry that names it was read just now.
    """

    gone_at: dt.datetime | None = None
    combined_to: int | None = None
    moved: bool = False
    is_news: bool = False

    @property
    def is_gone(self) -> bool:
        """True when the history says that the record was deleted or combined."""
        return self.gone_at is not None or self.combined_to is not None


@dataclass(slots=True)
class Found:
    """The results for records that a list lacks.

    `batches` hold the records that the method for one record returned (`unlisted`), `tombstones`
    the deleted ones. `absent` records must be requested once more; each has the send
    moment of the first request that lacked it. `failed` gives the reason for each record without a
    result.
    """

    batches: list[Batch] = field(default_factory=list)
    tombstones: list[Tombstone] = field(default_factory=list)
    unlisted: list[int] = field(default_factory=list)
    absent: dict[int, dt.datetime] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)


def find_out(
    ctx: Context,
    resource: Resource,
    missing: Mapping[int, dt.datetime],
    told: Mapping[int, ChangeHint],
    *,
    shown: Sequence[int],
    priority: Priority,
) -> Found:
    """Find out why records are missing from a list.

    Each has the send moment of the answer that lacked it. `shown` are other records of the list.
    """
    result = Found()
    unsaid = []
    for record, as_of in missing.items():
        about = told[record]
        if about.combined_to is not None:
            by = By.COMBINED
        elif about.gone_at is not None:
            by = By.HISTORY
        else:
            unsaid.append(record)
            continue
        verdict = judge(Evidence(by))
        assert isinstance(verdict, Deleted)
        tombstone = Tombstone(record, as_of, verdict.reason, about.gone_at, about.combined_to)
        result.tombstones.append(tombstone)
    _ask_singly(ctx, resource, unsaid, result, shown=shown, priority=priority)
    return result


@dataclass(frozen=True, slots=True)
class _Lacking:
    """A 404 of the method for one record."""

    record: int
    as_of: dt.datetime
    combined_to: int | None


def _ask_singly(
    ctx: Context,
    resource: Resource,
    ids: Sequence[int],
    result: Found,
    *,
    shown: Sequence[int],
    priority: Priority,
) -> None:
    """Request each record by itself, and judge those that answer 404."""
    if not resource.single:
        words = f"the list lacks it, and {resource.name} have no method for one record"
        result.failed |= dict.fromkeys(ids, words)
        return
    lacking: list[_Lacking] = []
    refused: dict[int, str] = {}
    for record in ids:
        before = ctx.draw()
        try:
            reply = read_singly(ctx, resource, record, priority=priority)
        except NotFound as absence:
            # Of the try that was answered: one before it says nothing of since when it is absent.
            lacking.append(_Lacking(record, absence.sent_at or before, absence.combined_to))
        except Forbidden as refusal:
            refused[record] = plain(refusal, most=WORDS)  # that does not mean deleted
        except (TryLater, UnexpectedData) as error:
            if not is_unreadable(error):
                raise
            result.failed[record] = plain(error, most=WORDS)
        else:
            found = reply.data.get(resource.single_key)
            records = [found] if isinstance(found, dict) else []
            batch = ctx.normalise(resource, records, as_of=reply.as_of)
            result.batches.append(batch)
            if any(row.key == record for row in batch.rows):
                result.unlisted.append(record)
            else:
                result.failed[record] = "asked for by its id, it does not come"
    if refused:
        with ctx.reading() as connection:
            explained = deleted_among(connection, resource, ctx.store.id, list(refused))
            explained |= hidden_among(connection, resource, ctx.store, list(refused))
        result.failed |= {each: text for each, text in refused.items() if each not in explained}
    if lacking:
        _judge_singly(ctx, resource, lacking, result, shown=shown, priority=priority)


def read_singly(ctx: Context, resource: Resource, record: int, *, priority: Priority) -> Reply:
    """Request one record by its id; raise NotFound when the method answers 404."""
    path = resource.single.replace("{id}", str(record))
    reply = insistent(
        ctx,
        lambda: ctx.api.ask(path, {"by": "id"}, priority=priority),
        priority=priority,
        tries=SINGLE_TRIES,
    )
    ctx.answering.add(resource.name)
    return reply


def _judge_singly(
    ctx: Context,
    resource: Resource,
    lacking: Sequence[_Lacking],
    result: Found,
    *,
    shown: Sequence[int],
    priority: Priority,
) -> None:
    ids = [each.record for each in lacking]
    with ctx.reading() as connection:
        deleted = deleted_among(connection, resource, ctx.store.id, ids)
        hidden = hidden_among(connection, resource, ctx.store, ids)
        absent_since = rereads.absent_since(connection, ctx.store.id, resource.name, ids)
        lateness_seconds = feeds.lateness_seconds(connection, ctx.store.id)
    lacking = [each for each in lacking if each.combined_to or each.record not in deleted]
    if not lacking:
        return
    wanted = {each.record for each in lacking}
    answers = _answers_for_others(ctx, resource, shown, wanted, priority=priority)
    require_access(ctx, priority=priority)
    for each in lacking:
        first_at = absent_since.get(each.record)
        verdict = judge(
            Evidence(
                By.SINGLE if each.combined_to is None else By.COMBINED,
                answers=answers,
                hidden=each.record in hidden,
                asked_at=each.as_of,
                first_at=first_at,
                lateness_seconds=lateness_seconds,
            )
        )
        if isinstance(verdict, Deleted):
            tombstone = Tombstone(each.record, each.as_of, verdict.reason, None, each.combined_to)
            result.tombstones.append(tombstone)
        elif isinstance(verdict, Ask):
            result.absent[each.record] = first_at or each.as_of
        elif each.record not in hidden:  # a hidden record needs no note: its site explains the 404
            result.failed[each.record] = verdict.words


def _answers_for_others(
    ctx: Context, resource: Resource, shown: Sequence[int], lacking: set[int], *, priority: Priority
) -> bool:
    """Tell whether the method for one record returns any that the list shows now.

    An empty list shows no records to try; it agrees with the 404, so this counts as working.
    """
    if resource.name in ctx.answering:
        return True
    if not shown:
        params = list_params(ctx, resource, WHOLE, page=1, limit=SMALL_PAGE)
        reply = ctx.api.first(resource, params, priority=priority)
        if reply.pagination.total == 0 and not reply.records(resource):
            return True
        shown = sorted(ids_of(reply.records(resource)) - lacking)
    for record in shown[:OTHERS]:
        with suppress(NotFound, Forbidden):
            read_singly(ctx, resource, record, priority=priority)
            return True
    return False


def judge_list(
    ctx: Context, resource: Resource, absent: Collection[Any], found: Evidence
) -> Verdict:
    """Judge rows that a list lacks, after a check that the key's access is unchanged.

    Adds to the evidence how many they are, and whether they may be of sites the key has lost.
    """
    hidden: set[Any] = set()
    if absent:
        require_access(ctx, priority=Priority.REFRESH)
        with ctx.reading() as connection:
            hidden = hidden_among(connection, resource, ctx.store, list(absent))
    return judge(replace(found, absent=len(absent), hidden=bool(hidden)))


def require_access(ctx: Context, *, priority: Priority) -> None:
    """Raise TryLater or AccessChanged unless the key has the access known so far.

    Without that, a missing record proves nothing. Access that has grown is stored by a
    `credentials` refresh, which is queued here. A person may also have accepted a change during
    this slice.
    """
    access = ctx.api.credentials(priority=priority)
    if access == ctx.store.access:
        return
    with ctx.reading() as connection:
        known = stores.by_id(connection, ctx.store.id)
    if known is None or access.sees_all_of(known.access):
        if known is not None and access != known.access and "credentials" in ctx.resources:
            for attempt in attempts(ctx.engine):  # unfenced: this write does not belong to the lane
                with attempt as connection:
                    crawls.queue_once(connection, ctx.store.id, "credentials", kind="refresh")
        raise TryLater(
            f"the access of the key of {ctx.store.name} has changed; missing records are requested"
            " again",
            after=ACCESS_SECONDS,
        )
    raise AccessChanged(
        f"the key of {ctx.store.name} sees other things than before (was "
        f"{ctx.store.access}, is {access}); restore its access, or accept it with: "
        f"celery -A sync mirror store check {ctx.store.name}"
    )
