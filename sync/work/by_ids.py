"""Records requested by their ids, in halves where a request for all of them fails.

A batch is as large as a page of the list may be (fit.py). A single record can spoil every answer
that contains it: the answer is HTTP 500, is truncated, never ends or exceeds the size limit. A
batch that failed is requested in halves, down to single ids, as long as the account answers
otherwise.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sync.crawl import record_id_of
from sync.crm import Priority
from sync.declare import Resource
from sync.errors import (
    Ended,
    LeaseLost,
    OutOfService,
    OverLimit,
    Refused,
    SyncError,
    TooLarge,
    TooManyRecords,
    TooSlow,
    TryLater,
    UnexpectedData,
)
from sync.telemetry import plain
from sync.work.context import Context
from sync.work.session import Reply

IDS_PER_REQUEST = 100
TRIES = 3
"""The most tries: where one answer in forty fails, three in a row fail once in sixty thousand."""
MOST_ALONE = 3
"""The number of failures without any success after which the method itself is at fault."""
WORDS = 300


@dataclass(slots=True)
class Ids:
    """The result of requests by id: the answers, and the errors of records that could not be read.

    `asked` maps each record of a request that succeeded to the send moment. A record in `asked` and
    in no answer is missing from the list.
    """

    replies: list[Reply] = field(default_factory=list)
    asked: dict[int, dt.datetime] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)


def is_unreadable(error: Exception) -> bool:
    """Tell whether a smaller request may succeed: not after an error of the lease, the slice or the
    limit, nor where the account answers nothing, or ignores the size asked for.
    """
    if isinstance(error, OverLimit | LeaseLost | Ended | OutOfService | TooManyRecords):
        return False
    return isinstance(error, TryLater | UnexpectedData)


def insistent(ctx: Context, ask: Callable[[], Reply], *, priority: Priority, tries: int) -> Reply:
    """Send a request up to `tries` times, and raise the last error if the account answers.

    What was too slow or too large would be so again, and is not repeated. When the account does not
    answer `credentials` either, OutOfService is raised: during an outage nothing is requested in
    parts.
    """
    for attempt in range(1, tries + 1):
        try:
            return ask()
        except OverLimit as refusal:
            if attempt == tries or refusal.after or ctx.is_over:
                raise
        except (TryLater, UnexpectedData) as error:
            if not is_unreadable(error):
                raise
            if isinstance(error, TooLarge):
                raise
            if attempt == tries or isinstance(error, TooSlow):
                _require_service(ctx, error, priority=priority)
                raise
            if ctx.stop.is_set():
                raise
    raise AssertionError("unreachable")


def _require_service(ctx: Context, error: SyncError, *, priority: Priority) -> None:
    """Raise OutOfService unless the account answers something sent after a request that failed."""
    if isinstance(error, UnexpectedData):
        return  # that was an answer
    if error.sent_at is not None and ctx.api.has_answered_since(error.sent_at):
        return
    try:
        ctx.api.credentials(priority=priority, after=error.sent_at)
    except TryLater as outage:
        raise OutOfService(str(outage), after=outage.after) from error


def ids_page(
    ctx: Context,
    resource: Resource,
    ids: Iterable[int],
    *,
    priority: Priority,
    chosen: Mapping[str, Any] | None = None,
    tries: int = 2,
) -> Ids:
    """Request records by their ids, at most a hundred a request, and all pages of each answer.

    A batch that fails `tries` times is requested in halves. `chosen` are further filters.
    """
    result = Ids()
    ordered = sorted(set(ids))

    def ask(wanted: Sequence[int], page: int) -> Reply:
        # With a smaller limit, the last ids would come on page 2.
        params: dict[str, Any] = {
            **dict(resource.params),
            "filter": {**(chosen or {}), "ids": list(wanted)},
            "limit": IDS_PER_REQUEST,
        }
        if page > 1:
            return ctx.api.later(resource, params | {"page": page}, priority=priority)
        reply = ctx.api.first(resource, params, priority=priority)
        reply.records(resource)
        return reply

    fit = ctx.fit(resource)
    start = 0
    while start < len(ordered):
        kept, size = fit.size, fit.next_size()
        size = IDS_PER_REQUEST if size >= fit.usual else size
        batch = ordered[start : start + size]
        failed = len(result.failed)
        _batch(ctx, resource, batch, result, ask, priority=priority, tries=tries)
        if len(result.failed) > failed:
            fit.restore(kept)  # a record was at fault, not the size
        start += size
    return result


def _batch(
    ctx: Context,
    resource: Resource,
    ids: list[int],
    into: Ids,
    ask: Callable[[Sequence[int], int], Reply],
    *,
    priority: Priority,
    tries: int,
) -> None:
    alone = len(ids) == 1
    try:
        first = insistent(ctx, lambda: ask(ids, 1), priority=priority, tries=2 if alone else tries)
        replies = [first, *_further(ctx, resource, ids, first, ask, priority=priority)]
    except (TryLater, UnexpectedData) as error:
        if not is_unreadable(error):
            raise
        if not alone:
            ctx.fit(resource).failed(len(ids), error)
            middle = len(ids) // 2
            # The batch contains a fault: a half that fails once is halved again.
            for half in (ids[:middle], ids[middle:]):
                _batch(ctx, resource, half, into, ask, priority=priority, tries=1)
            return
        into.failed[ids[0]] = plain(error, most=WORDS)
        if len(into.failed) >= MOST_ALONE and not into.replies:
            raise
        return
    ctx.fit(resource).came(len(ids))
    into.replies += replies
    into.asked |= dict.fromkeys(ids, replies[0].as_of)


def _further(
    ctx: Context,
    resource: Resource,
    ids: list[int],
    first: Reply,
    ask: Callable[[Sequence[int], int], Reply],
    *,
    priority: Priority,
) -> list[Reply]:
    """Return the further pages of an answer whose pages are smaller than requested.

    Empty when the list shows other records: it ignores the filter, and all of it would be read.
    """
    replies: list[Reply] = []
    if not ids_of(first.records(resource)) <= set(ids):
        return replies
    pages = min(first.pagination.pages if "pagination" in first.data else 1, len(ids))
    for page in range(2, pages + 1):
        try:
            reply = insistent(
                ctx,
                lambda page=page: ask(ids, page),  # type: ignore[misc]
                priority=priority,
                tries=TRIES,
            )
        except Refused:
            break  # the list became shorter: missing records are requested singly
        replies.append(reply)
    return replies


def ids_of(records: Iterable[Any]) -> set[int]:
    """Return the ids of records as sent; records without an id are left out."""
    found = (record_id_of(each.get("id")) for each in records if isinstance(each, dict))
    return {each for each in found if each is not None}
