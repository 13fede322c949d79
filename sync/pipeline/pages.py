"""What cannot be had together is asked for in parts, down to the single record.

A page that answers 500 again and again, is cut, never ends, or is larger than a body may be: while
the account is well it is asked for with a limit of 50, then of 20, and what is still missing by
the ids that may stand there, in halves. One request that fails among others costs one request.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from sync.crawl import record_id_of
from sync.crm import WorkClass
from sync.declare import Chain, Resource
from sync.errors import LeaseLost, OverLimit, Refused, TryLater, UnexpectedData
from sync.mirror.names import crm_name
from sync.pipeline.asking import Reply
from sync.pipeline.context import Context
from sync.telemetry import plain

IDS_PER_REQUEST = 100
TRIES = 3
"""One answer in forty that fails does so three times in a row once in sixty thousand pages."""
SMALLER = (50, 20)
SPAN = 500
"""So many ids between two neighbours are asked for one and all; of more, those known of."""
MOST_ALONE = 3
"""So many single records that fail, and nothing else came: then it is not the records."""
MOST_HELD_BYTES = 64 * 1024 * 1024
"""What the parts of one page may weigh together; it is held as one."""
_WORDS = 300

Ask = Callable[[Mapping[str, Any]], Reply]


@dataclass(slots=True)
class Ids:
    """What a request by ids gave: answers, and the error of each record that could not be had.

    `asked` are the records that were answered for, with the send moment of the answer: one that is
    in it and in none of the answers did not come.
    """

    replies: list[Reply] = field(default_factory=list)
    asked: dict[int, dt.datetime] = field(default_factory=dict)
    failing: dict[int, str] = field(default_factory=dict)


@dataclass(slots=True)
class Page:
    """A page as if it had come at once. `reply` says when the oldest of its parts was sent.

    `totals` are what its parts said of the list's length, `failing` the records that cannot be
    had, `unnamed` how many of those are not known by their ids.
    """

    reply: Reply
    totals: set[int]
    failing: dict[int, str] = field(default_factory=dict)
    unnamed: int = 0


def cannot_be_had(error: Exception) -> bool:
    """Whether less might come where this did not: a fault of the answer, not of access or limit."""
    if isinstance(error, OverLimit | LeaseLost):
        return False
    return isinstance(error, TryLater | UnexpectedData)


def insistent(ctx: Context, ask: Callable[[], Reply], *, work: WorkClass, tries: int) -> Reply:
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
                ctx.api.credentials(work=work)
                raise
            if ctx.stop.is_set():
                raise
    raise AssertionError("unreachable")


# --- by id ------------------------------------------------------------------------------------


def ids_page(
    ctx: Context,
    resource: Resource,
    ids: Iterable[int],
    *,
    work: WorkClass,
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
            return ctx.api.later(resource, params | {"page": page}, work=work)
        reply = ctx.api.first(resource, params, work=work)
        reply.records(resource)
        return reply

    for start in range(0, len(ordered), IDS_PER_REQUEST):
        batch = ordered[start : start + IDS_PER_REQUEST]
        _batch(ctx, resource, batch, result, ask, work=work, tries=2)
    return result


def _batch(
    ctx: Context,
    resource: Resource,
    ids: list[int],
    into: Ids,
    ask: Callable[[Sequence[int], int], Reply],
    *,
    work: WorkClass,
    tries: int,
) -> None:
    alone = len(ids) == 1
    try:
        first = insistent(ctx, lambda: ask(ids, 1), work=work, tries=2 if alone else tries)
        replies = [first, *_further(ctx, resource, ids, first, ask, work=work)]
    except (TryLater, UnexpectedData) as error:
        if not cannot_be_had(error):
            raise
        if not alone:
            middle = len(ids) // 2
            # Known to hold a fault: each half that fails once is halved again.
            for half in (ids[:middle], ids[middle:]):
                _batch(ctx, resource, half, into, ask, work=work, tries=1)
            return
        into.failing[ids[0]] = plain(error, most=_WORDS)
        if len(into.failing) >= MOST_ALONE and not into.replies:
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
    work: WorkClass,
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
                work=work,
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


# --- by page ----------------------------------------------------------------------------------


def read_page(
    ctx: Context,
    resource: Resource,
    params: Mapping[str, Any],
    *,
    page: int,
    work: WorkClass,
    ask: Ask | None = None,
) -> Page:
    """A page of `resource.page_size` records, in parts where it cannot be had at once.

    `params` are those of the list, without `limit` and `page`; `ask` sends them, where it is not
    the resource's own path that is asked. Thread-safe: it writes nothing.
    """
    send = ask or _asker(ctx, resource, work)

    def whole() -> Reply:
        reply = send({**params, "limit": resource.page_size, "page": page})
        reply.records(resource)
        return reply

    try:
        reply = insistent(ctx, whole, work=work, tries=TRIES)
    except (TryLater, UnexpectedData) as error:
        if not cannot_be_had(error) or ctx.stop.is_set():
            raise
        return _Parts(ctx, resource, params, page, work, send, error).read()
    return Page(reply, {reply.pagination.total})


def _asker(ctx: Context, resource: Resource, work: WorkClass) -> Ask:
    def ask(params: Mapping[str, Any]) -> Reply:
        send = ctx.api.first if params["page"] == 1 else ctx.api.later
        return send(resource, params, work=work)

    return ask


@dataclass(slots=True)
class _Parts:
    """A page put together: what stands at each of its places."""

    ctx: Context
    resource: Resource
    params: Mapping[str, Any]
    page: int
    work: WorkClass
    send: Ask
    error: Exception
    places: dict[int, Any] = field(default_factory=dict)
    sent: list[dt.datetime] = field(default_factory=list)
    totals: list[int] = field(default_factory=list)
    failing: dict[int, str] = field(default_factory=dict)
    found: list[Any] = field(default_factory=list)
    held_bytes: int = 0

    def read(self) -> Page:
        size = self.resource.page_size
        first, after = size * (self.page - 1), size * self.page
        for limit in (each for each in SMALLER if each < size):
            for number in self._numbers(first, after, limit):
                self._part(number, limit)
        if not self.totals:
            # Not even the smallest page: what stands around it is not known.
            raise self.error
        total = self.totals[-1]
        open_places = [
            place for place in range(first, min(after, total)) if place not in self.places
        ]
        if open_places:
            self._by_ids(open_places)
        missing = len(open_places) - len(self.found) - len(self.failing)
        is_by_id = self.resource.key == "id" and self.resource.parent is None
        if missing > 0 and not (is_by_id and (self.places or self.found)):
            raise self.error
        records = [self.places[each] for each in sorted(self.places)] + self.found
        return Page(self._reply(records, total), set(self.totals), self.failing, max(0, missing))

    def _numbers(self, first: int, after: int, limit: int) -> list[int]:
        """Pages of `limit` that hold a place that is still open."""
        most = min(after, self.totals[-1]) if self.totals else after
        return sorted(
            {place // limit + 1 for place in range(first, most) if place not in self.places}
        )

    def _part(self, number: int, limit: int) -> None:
        """Take a smaller page; it stays open when it fails too."""
        try:
            reply = self.send({**self.params, "limit": limit, "page": number})
            records = reply.records(self.resource)
        except Refused:
            return  # beyond the end
        except (TryLater, UnexpectedData) as error:
            if not cannot_be_had(error):
                raise
            self.ctx.api.credentials(work=self.work)
            self.error = error
            return
        self._note(reply)
        begin = limit * (number - 1)
        size = self.resource.page_size
        for place, record in enumerate(records, begin):
            if size * (self.page - 1) <= place < size * self.page:
                self.places.setdefault(place, record)

    def _note(self, reply: Reply) -> None:
        self.sent.append(reply.as_of)
        self.totals.append(reply.pagination.total)
        self.held_bytes += len(reply.body)
        if self.held_bytes > MOST_HELD_BYTES:
            raise UnexpectedData(
                f"page {self.page} of {self.resource.name} is of more than {MOST_HELD_BYTES} bytes"
            )

    def _by_ids(self, open_places: list[int]) -> None:
        """Ask for what may stand at the open places by id."""
        if self.resource.key != "id" or self.resource.parent is not None:
            return
        here = {place: record_id_of(record.get("id")) for place, record in self.places.items()
                if isinstance(record, dict)}  # fmt: skip
        had = {each for each in here.values() if each is not None}
        wanted: set[int] = set()
        for run in _runs(open_places):
            below = self._neighbour(run[0] - 1, here)
            above = self._neighbour(run[-1] + 1, here)
            wanted |= self._candidates(below, above, len(run))
        answered = ids_page(
            self.ctx,
            self.resource,
            wanted - had,
            work=self.work,
            chosen=self.params.get("filter"),
        )
        came: set[int] = set()
        for reply in answered.replies:
            for record in reply.records(self.resource):
                named = record_id_of(record.get("id")) if isinstance(record, dict) else None
                if named in wanted and named not in had | came:
                    came.add(named)
                    self.found.append(record)
            self.sent.append(reply.as_of)
        self.failing = {each: text for each, text in answered.failing.items() if each not in came}

    def _neighbour(self, place: int, here: Mapping[int, int | None]) -> int | None:
        """The id at a place, which another page may hold; None at an end of the list."""
        if place in here:
            return here[place]
        if place < 0 or place >= self.totals[-1]:
            return None
        limit = SMALLER[-1]
        try:
            reply = self.send({**self.params, "limit": limit, "page": place // limit + 1})
            records = reply.records(self.resource)
        except (Refused, TryLater, UnexpectedData):
            return None
        at = place - place // limit * limit
        record = records[at] if at < len(records) else None
        return record_id_of(record.get("id")) if isinstance(record, dict) else None

    def _candidates(self, one: int | None, other: int | None, count: int) -> set[int]:
        """Ids that may stand between two neighbours, in whichever order the list is."""
        known = [each for each in (one, other) if each is not None]
        if not known:
            return set()
        if len(known) == 2:
            low, high = min(known), max(known)
        else:
            # An end of the list: as many as fit on either side, and what is known of.
            low, high = max(0, known[0] - SPAN // 2 - 1), known[0] + SPAN // 2 + 1
        if high - low <= SPAN + 2:
            return set(range(low + 1, high)) - set(known)
        return self.ctx.read(lambda c: _known_between(c, self.ctx, self.resource, low, high))

    def _reply(self, records: list[Any], total: int) -> Reply:
        size = self.resource.page_size
        block = {
            "limit": size, "totalCount": total, "currentPage": self.page,
            "totalPageCount": -(-total // size),
        }  # fmt: skip
        data = {self.resource.answer_key: records, "pagination": block}
        return Reply(data, b"", min(self.sent))


def _runs(places: Sequence[int]) -> list[list[int]]:
    """Places that follow each other, together."""
    runs: list[list[int]] = []
    for place in places:
        if runs and runs[-1][-1] == place - 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    return runs


def _known_between(
    connection: sa.Connection, ctx: Context, resource: Resource, low: int, high: int
) -> set[int]:
    """Ids between two that the mirror holds, or that the history named."""
    sql = f"SELECT id FROM {crm_name(resource.name)} WHERE store_id = %s AND id > %s AND id < %s"
    binds: list[Any] = [ctx.store.id, low, high]
    for history in ctx.resources.values():
        if isinstance(history.listing, Chain) and history.listing.target == resource.name:
            subject = f"{history.listing.subject}_id"
            sql += (
                f' UNION SELECT "{subject}" FROM {crm_name(history.name)}'
                f' WHERE store_id = %s AND "{subject}" > %s AND "{subject}" < %s'
            )
            binds += [ctx.store.id, low, high]
    rows = connection.exec_driver_sql(f"{sql} LIMIT 5000", tuple(binds))
    return {row[0] for row in rows}
