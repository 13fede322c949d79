"""Records asked for by their ids, in halves where they cannot be had together.

One that answers 500, is cut, never ends, or is larger than a body may be, spoils every answer it
is in. While the account is well, what failed twice is asked for in halves, down to single ids.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sync.crawl import record_id_of
from sync.crm import Priority
from sync.declare import Resource
from sync.errors import LeaseLost, OverLimit, Refused, TryLater, UnexpectedData
from sync.telemetry import plain
from sync.work.context import Context
from sync.work.session import Reply

IDS_PER_REQUEST = 100
TRIES = 3
"""One answer in forty that fails does so three times in a row once in sixty thousand pages."""
MOST_ALONE = 3
"""So many parts, or single records, that fail, and nothing else came: then it is not they."""
WORDS = 300


@dataclass(slots=True)
class Ids:
    """What a request by ids gave: answers, and the error of each record that could not be had.

    `asked` are the records that were answered for, with the send moment of the answer: one that is
    in it and in none of the answers did not come.
    """

    replies: list[Reply] = field(default_factory=list)
    asked: dict[int, dt.datetime] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)


def cannot_be_had(error: Exception) -> bool:
    """Whether less might come where this did not: a fault of the answer, not of access or limit."""
    if isinstance(error, OverLimit | LeaseLost):
        return False
    return isinstance(error, TryLater | UnexpectedData)


def insistent(ctx: Context, ask: Callable[[], Reply], *, priority: Priority, tries: int) -> Reply:
    """Ask until it answers, so many times; the last error when the account is well meanwhile.

    TryLater of `credentials` when it is not: what an outage refuses is not asked for in parts.
    """
    for attempt in range(1, tries + 1):
        try:
            return ask()
        except OverLimit as refusal:
            if attempt == tries or refusal.after or ctx.is_over:
                raise
        except (TryLater, UnexpectedData) as error:
            if not cannot_be_had(error):
                raise
            if attempt == tries:
                ctx.api.credentials(priority=priority)
                raise
            if ctx.stop.is_set():
                raise
    raise AssertionError("unreachable")


def ids_page(
    ctx: Context,
    resource: Resource,
    ids: Iterable[int],
    *,
    priority: Priority,
    chosen: Mapping[str, Any] | None = None,
) -> Ids:
    """Ask for records by their ids, at most a hundred a request, each request's pages read.

    A batch that fails twice is asked for in halves. `chosen` are further filters.
    """
    result = Ids()
    ordered = sorted(set(ids))

    def ask(wanted: Sequence[int], page: int) -> Reply:
        # limit=100, else the tail of the ids lands on page 2.
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

    for start in range(0, len(ordered), IDS_PER_REQUEST):
        batch = ordered[start : start + IDS_PER_REQUEST]
        _batch(ctx, resource, batch, result, ask, priority=priority, tries=2)
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
        if not cannot_be_had(error):
            raise
        if not alone:
            middle = len(ids) // 2
            # Known to hold a fault: each half that fails once is halved again.
            for half in (ids[:middle], ids[middle:]):
                _batch(ctx, resource, half, into, ask, priority=priority, tries=1)
            return
        into.failed[ids[0]] = plain(error, most=WORDS)
        if len(into.failed) >= MOST_ALONE and not into.replies:
            raise
        return
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
    """The further pages of an answer that is paged smaller than it was asked for.

    None of a list that shows what was not asked for: it ignores the filter, and would be read
    whole.
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
            break  # it became shorter: what is missing is asked for singly
        replies.append(reply)
    return replies


def ids_of(records: Iterable[Any]) -> set[int]:
    """Ids of records as sent; what has none is left out."""
    found = (record_id_of(each.get("id")) for each in records if isinstance(each, dict))
    return {each for each in found if each is not None}
