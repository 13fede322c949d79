"""A page that fails as a whole is requested in parts.

The answer is HTTP 500 every time, is truncated, never ends or exceeds the size limit. When the
account answers otherwise, the page is requested with a limit of 50, then of 20. Records still
missing then are requested by the ids that may stand in their places (by_ids.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from sync.crawl import record_id_of
from sync.crm import Priority
from sync.database.identifiers import crm_name
from sync.declare import Resource, SinceId
from sync.errors import Refused, TryLater, UnexpectedData
from sync.work.by_ids import MOST_ALONE, TRIES, ids_page, insistent, is_unreadable
from sync.work.context import Context
from sync.work.session import Reply

SMALLER = (50, 20)
SPAN = 500
"""The largest gap between two neighbours in which every id is requested, not only known ones."""
MOST_HELD_BYTES = 64 * 1024 * 1024
"""The most bytes that the parts of one page may have together: they are all held in memory."""
Ask = Callable[[Mapping[str, Any]], Reply]


@dataclass(slots=True)
class Page:
    """A page, as if it came in one answer. `reply.as_of` is the send moment of its oldest part.

    `totals` are the list's lengths according to the parts. `failed` are records that could not be
    read, with the reason; `unnamed` is the number of further ones whose ids are not known.
    """

    reply: Reply
    totals: set[int]
    failed: dict[int, str] = field(default_factory=dict)
    unnamed: int = 0


def read_page(
    ctx: Context,
    resource: Resource,
    params: Mapping[str, Any],
    *,
    page: int,
    priority: Priority,
    ask: Ask | None = None,
) -> Page:
    """Return a page of `resource.page_size` records, in parts where the whole page fails.

    `params` are those of the list, without `limit` and `page`. `ask` sends the request; by default
    it goes to the resource's own path. Thread-safe: nothing is written.
    """
    send = ask or _asker(ctx, resource, priority)

    def whole() -> Reply:
        reply = send({**params, "limit": resource.page_size, "page": page})
        reply.records(resource)
        return reply

    try:
        reply = insistent(ctx, whole, priority=priority, tries=TRIES)
    except (TryLater, UnexpectedData) as error:
        if not is_unreadable(error) or ctx.stop.is_set():
            raise
        return _Parts(ctx, resource, params, page, priority, send, error).read()
    return Page(reply, {reply.pagination.total})


def _asker(ctx: Context, resource: Resource, priority: Priority) -> Ask:
    def ask(params: Mapping[str, Any]) -> Reply:
        send = ctx.api.first if params["page"] == 1 else ctx.api.later
        return send(resource, params, priority=priority)

    return ask


@dataclass(slots=True)
class _Parts:
    """A page put together from parts: the record at each of its places."""

    ctx: Context
    resource: Resource
    params: Mapping[str, Any]
    page: int
    priority: Priority
    send: Ask
    error: Exception
    places: dict[int, Any] = field(default_factory=dict)
    sent: list[dt.datetime] = field(default_factory=list)
    totals: list[int] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)
    found: list[Any] = field(default_factory=list)
    held_bytes: int = 0

    def read(self) -> Page:
        size = self.resource.page_size
        first, after = size * (self.page - 1), size * self.page
        for limit in (each for each in SMALLER if each < size):
            failed = 0
            for number in self._numbers(first, after, limit):
                failed += not self._part(number, limit)
                if failed >= MOST_ALONE and not self.sent:
                    raise self.error
        if not self.totals:
            # Even the smallest pages failed: nothing around the open places is known.
            raise self.error
        total = self.totals[-1]
        open_places = [
            place for place in range(first, min(after, total)) if place not in self.places
        ]
        if open_places:
            self._by_ids(open_places)
        missing = len(open_places) - len(self.found) - len(self.failed)
        is_by_id = self.resource.key == "id" and self.resource.parent is None
        if missing > 0 and not (is_by_id and (self.places or self.found)):
            raise self.error
        records = self._in_order()
        return Page(self._reply(records, total), set(self.totals), self.failed, max(0, missing))

    def _in_order(self) -> list[Any]:
        """Return all records; those found by id are sorted in where the list is ordered by id."""
        placed = [self.places[each] for each in sorted(self.places)]
        ids = [_id_of(record) for record in placed]
        known = [each for each in ids if each is not None]
        for descends in (False, True):
            if len(known) == len(placed) and known == sorted(known, reverse=descends):
                return sorted([*placed, *self.found], key=_id_or_zero, reverse=descends)
        return placed + self.found

    def _numbers(self, first: int, after: int, limit: int) -> list[int]:
        """Return the numbers of the pages of `limit` records that contain an open place."""
        most = min(after, self.totals[-1]) if self.totals else after
        return sorted(
            {place // limit + 1 for place in range(first, most) if place not in self.places}
        )

    def _part(self, number: int, limit: int) -> bool:
        """Request a smaller page; return False when it fails too and its places stay open."""
        try:
            reply = self.send({**self.params, "limit": limit, "page": number})
            records = reply.records(self.resource)
        except Refused:
            return True  # beyond the end
        except (TryLater, UnexpectedData) as error:
            if not is_unreadable(error):
                raise
            self.ctx.api.credentials(priority=self.priority)
            self.error = error
            return False
        self._note(reply)
        begin = limit * (number - 1)
        size = self.resource.page_size
        for place, record in enumerate(records, begin):
            if size * (self.page - 1) <= place < size * self.page:
                self.places.setdefault(place, record)
        return True

    def _note(self, reply: Reply) -> None:
        self.sent.append(reply.as_of)
        self.totals.append(reply.pagination.total)
        self.held_bytes += len(reply.body)
        if self.held_bytes > MOST_HELD_BYTES:
            raise UnexpectedData(
                f"page {self.page} of {self.resource.name} is of more than {MOST_HELD_BYTES} bytes"
            )

    def _by_ids(self, open_places: list[int]) -> None:
        """Request by id the records that may stand at the open places."""
        if self.resource.key != "id" or self.resource.parent is not None:
            return
        here = {place: _id_of(record) for place, record in self.places.items()}
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
            priority=self.priority,
            chosen=self.params.get("filter"),
        )
        came: set[int] = set()
        for reply in answered.replies:
            for record in reply.records(self.resource):
                named = _id_of(record)
                if named in wanted and named not in had | came:
                    came.add(named)
                    self.found.append(record)
            self.sent.append(reply.as_of)
        self.failed = {each: text for each, text in answered.failed.items() if each not in came}

    def _neighbour(self, place: int, here: Mapping[int, int | None]) -> int | None:
        """Return the id at a place, maybe of another page; None beyond an end, or on failure."""
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
        return _id_of(records[at]) if at < len(records) else None

    def _candidates(self, one: int | None, other: int | None, count: int) -> set[int]:
        """Return the ids that may stand between two neighbours, whichever order the list has."""
        known = [each for each in (one, other) if each is not None]
        if not known:
            return set()
        if len(known) == 2:
            low, high = min(known), max(known)
        else:
            # An end of the list: half of SPAN on either side, or the known ids there.
            low, high = max(0, known[0] - SPAN // 2 - 1), known[0] + SPAN // 2 + 1
        if high - low <= SPAN + 2:
            return set(range(low + 1, high)) - set(known)
        with self.ctx.reading() as connection:
            return _known_between(connection, self.ctx, self.resource, low, high)

    def _reply(self, records: list[Any], total: int) -> Reply:
        size = self.resource.page_size
        block = {
            "limit": size, "totalCount": total, "currentPage": self.page,
            "totalPageCount": -(-total // size),
        }  # fmt: skip
        data = {self.resource.answer_key: records, "pagination": block}
        return Reply(data, b"", min(self.sent))


def _id_of(record: Any) -> int | None:
    return record_id_of(record.get("id")) if isinstance(record, dict) else None


def _id_or_zero(record: Any) -> int:
    return _id_of(record) or 0


def _runs(places: Sequence[int]) -> list[list[int]]:
    """Group consecutive places."""
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
    """Return the ids between two ids that the mirror holds or that a history named."""
    sql = f"SELECT id FROM {crm_name(resource.name)} WHERE store_id = %s AND id > %s AND id < %s"
    binds: list[Any] = [ctx.store.id, low, high]
    for history in ctx.resources.values():
        if isinstance(history.listing, SinceId) and history.listing.target == resource.name:
            subject = f"{history.listing.subject}_id"
            sql += (
                f' UNION SELECT "{subject}" FROM {crm_name(history.name)}'
                f' WHERE store_id = %s AND "{subject}" > %s AND "{subject}" < %s'
            )
            binds += [ctx.store.id, low, high]
    rows = connection.exec_driver_sql(f"{sql} LIMIT 5000", tuple(binds))
    return {row[0] for row in rows}
