"""One parent: the live parents, and the list that the API has for one of them.

A parent's list is usually short, so it is read whole and written at once. A longer one is handed
over in parts. Its pages are limited, and the end of the slice is checked between two of them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from sync.crawl import PassCheck, pages_bound
from sync.crm import Priority
from sync.database.identifiers import crm_name
from sync.declare import Resource, Shape, SinglePage
from sync.errors import NotFound, Refused, TryLater, UnexpectedData
from sync.records.normalise import Batch
from sync.work.by_ids import TRIES, insistent
from sync.work.context import Context
from sync.work.pages import PageList, Part, read_page
from sync.work.session import Reply
from sync.work.whole_list.sweep import PASSES, unusable

HELD_PAGES = 10
HELD_BYTES = 2_000_000
"""The most bytes of a list held at once, as sent; several parents are read side by side."""
MOST_PAGES = 500
"""The most pages of one parent's list: fifty thousand records. A larger page count is an error."""


class NotStill(TryLater):
    """The list changed during every reading of it."""


class Unfinished(TryLater):
    """The slice ended during a list: it is read from its first page again."""


class Long(TryLater):
    """The list is larger than may be held at once: it has to be handed over in parts."""


@dataclass(frozen=True, slots=True)
class ParentRow:
    """A live parent, with the columns that fill the path and the parameters."""

    key: Any
    columns: Mapping[str, Any]


@dataclass(slots=True)
class Answered:
    """The whole list of one parent; `is_missing`: the API answered 404.

    `batches` are those not handed over yet. `is_refused`: newer rows refused some that were handed
    over.
    """

    parent: ParentRow
    first_as_of: dt.datetime
    check: PassCheck = field(default_factory=PassCheck)
    batches: list[Batch] = field(default_factory=list)
    is_missing: bool = False
    is_refused: bool = False
    held_bytes: int = 0

    def take(self, batch: Batch, part: Part) -> None:
        """Add a page, or a part of it."""
        self.batches.append(batch)
        self.held_bytes += part.body_bytes
        self.check.add([row.key for row in batch.rows], part.total, unusable=unusable(batch))

    @property
    def is_full(self) -> bool:
        """True when as much is held as may be held at once."""
        return len(self.batches) > HELD_PAGES or self.held_bytes > HELD_BYTES


Keep = Callable[[Answered], None]
"""A function that writes and removes the batches of a list whose reading goes on."""


def live_parents(
    ctx: Context,
    resource: Resource,
    *,
    at_most: int,
    after: str | None = None,
    only: list[Any] | None = None,
) -> list[ParentRow]:
    """Return live parents in the order of their key column, without those with NULLs."""
    parent = resource.parent
    assert parent is not None
    table = ctx.resources[parent.resource]
    kind = next(f.kind.sql for f in table.fields if f.name == parent.by)
    names = [f.name for f in table.fields if _is_named(resource, f.name)]
    columns = ", ".join(f't."{name}"' for name in names)
    where = "".join(f' AND t."{name}" IS NOT NULL' for name in names)
    binds: list[Any] = [ctx.store.id]
    if after is not None:
        where += f' AND t."{parent.by}" > %s::{kind}'
        binds.append(after)
    if only is not None:
        where += f' AND t."{parent.by}" = ANY(%s::{kind}[])'
        binds.append(only)
    sql = (
        f'SELECT DISTINCT ON (t."{parent.by}") t."{parent.by}"{", " + columns if columns else ""}'
        f" FROM {crm_name(table.name)} AS t WHERE t.store_id = %s AND t.deleted_at IS NULL"
        f' AND t."{parent.by}" IS NOT NULL{where} ORDER BY t."{parent.by}" LIMIT {at_most}'
    )
    with ctx.reading() as connection:
        rows = connection.exec_driver_sql(sql, tuple(binds)).all()
    return [ParentRow(row[0], dict(zip(names, row[1:], strict=True))) for row in rows]


def _is_named(resource: Resource, column: str) -> bool:
    place = f"{{{column}}}"
    return place in resource.path or any(place in str(value) for _, value in resource.params)


def _filled(text: str, columns: Mapping[str, Any]) -> str:
    for name, value in columns.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


def ask_parent(
    ctx: Context,
    resource: Resource,
    parent: ParentRow,
    *,
    is_over: Callable[[], bool],
    most_pages: int = MOST_PAGES,
    keep: Keep | None = None,
) -> Answered:
    """Read one parent's whole list, repeatedly until it holds still.

    Nothing can shift inside a list of one page. A longer one is read until two passes agree, or
    until one pass contains all that was there when it began (`PassCheck`). Raises NotStill after
    PASSES passes, and Unfinished when `is_over`. Too large a list goes to `keep` in parts; without
    `keep`, Long is raised.
    """
    reading = _Reading(ctx, resource, parent, is_over, most_pages, keep)
    before: PassCheck | None = None
    for _ in range(PASSES):
        answered = reading.run()
        check = answered.check
        if check.pages <= 1 or check.agrees_with(before) or check.holds_its_beginning:
            return answered
        before = check
        reading.require_time()
    raise NotStill(f"{resource.name} of {parent.key} did not hold still: {check.problem}")


@dataclass(frozen=True, slots=True)
class _Reading:
    """The passes over a parent's list."""

    ctx: Context
    resource: Resource
    parent: ParentRow
    is_over: Callable[[], bool]
    most_pages: int
    keep: Keep | None

    def run(self) -> Answered:
        answered = Answered(self.parent, self.ctx.draw())
        if isinstance(self.resource.listing, SinglePage):
            self._read_answer(answered)
        else:
            self._read_pages(answered)
        return answered

    def _read_answer(self, answered: Answered) -> None:
        """Read a list that comes in one answer."""
        path, params = self._address()
        try:
            reply = insistent(
                self.ctx,
                lambda: self.ctx.api.of_parent(
                    self.resource, path, params, priority=Priority.REFRESH
                ),
                priority=Priority.REFRESH,
                tries=TRIES,
            )
        except NotFound:
            answered.is_missing = True
            return
        records = _records(reply, self.resource)
        batch = self.ctx.normalise(
            self.resource, records, as_of=reply.as_of, parent=self.parent.key
        )
        size = len(reply.body)
        part = Part(None, reply.as_of, len(records), pages=1, left=(), body_bytes=size)
        answered.take(batch, part)

    def _read_pages(self, answered: Answered) -> None:
        """Read a list page by page."""
        path, params = self._address()
        body = b""

        def ask(asked: Mapping[str, Any]) -> Reply:
            nonlocal body
            reply = self.ctx.api.of_parent(self.resource, path, asked, priority=Priority.REFRESH)
            body = reply.body
            return reply

        pages = PageList(self.ctx, self.resource, params, Priority.REFRESH, ask=ask)
        page, last, bound = 1, 1, 0
        repeats: dict[str, int] = {}
        try:
            while page <= last:
                for part in read_page(pages, page):
                    batch = self.ctx.normalise(
                        self.resource,
                        part.take_records(),
                        as_of=part.as_of,
                        parent=self.parent.key,
                        repeats=repeats,
                    )
                    repeats = batch.repeats
                    answered.take(batch, part)
                    if not bound:
                        self._require_length(part.pages, body)
                        bound = pages_bound(part.pages)
                    last = min(part.pages, bound) if batch.rows else page
                    if part.left or page < last:
                        self._make_room(answered)
                        self.require_time()
                page += 1
        except Refused as refusal:
            if not answered.check.pages and isinstance(refusal, NotFound):
                answered.is_missing = True
            else:
                answered.check.add_refusal()

    def _address(self) -> tuple[str, dict[str, Any]]:
        """Return the path and the parameters of this parent's list."""
        columns = self.parent.columns
        path = _filled(
            self.resource.path,
            {name: quote(str(value), safe="") for name, value in columns.items()},
        )
        params: dict[str, Any] = {
            name: _filled(value, columns) if isinstance(value, str) else value
            for name, value in self.resource.params
        }
        return path, params

    def _require_length(self, pages: int, body: bytes) -> None:
        if pages > self.most_pages:
            raise UnexpectedData(
                f"{self.resource.name} of {self.parent.key} have {pages} pages, more than"
                f" {self.most_pages}",
                body=body,
            )
        if pages > HELD_PAGES and self.keep is None:
            raise Long(f"{self.resource.name} of {self.parent.key} have {pages} pages")

    def _make_room(self, answered: Answered) -> None:
        if not answered.is_full:
            return
        if self.keep is None:
            raise Long(f"{self.resource.name} of {self.parent.key} are too large to be held")
        self.keep(answered)

    def require_time(self) -> None:
        """Raise Unfinished when the slice is over."""
        if self.is_over():
            raise Unfinished(f"{self.resource.name} of {self.parent.key} were not read to the end")


def _records(reply: Reply, resource: Resource) -> list[Any]:
    """Return the records of an answer; [] for null or PHP's empty array instead of one object."""
    if resource.shape is Shape.SINGLE and reply.data.get(resource.answer_key, 0) in (None, [], {}):
        return []
    return reply.records(resource)
