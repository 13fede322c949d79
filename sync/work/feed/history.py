"""A history's entries, requested by id, and their content for the records they name.

The content of an entry is read from its typed row, as stored: a history has one parser. `told_of`
uses the order of the ids, in whatever order the entries were published.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import sqlalchemy as sa

from sync.crm import Priority
from sync.crm.decode import decode
from sync.database.identifiers import crm_name
from sync.declare import Resource
from sync.declare.moments import Zone, is_same_wall_time
from sync.errors import TooLarge, TooSlow, TryLater
from sync.failpoints import scaled
from sync.records.loaded import Loaded
from sync.records.normalise import Batch, JsonRow, Row
from sync.state import diagnostics, feeds
from sync.state.feeds import Feed
from sync.work.context import Context
from sync.work.missing import ChangeHint
from sync.work.session import Reply
from sync.work.writing import doubt_all, write_rows

LIMIT = 100
GAP_SECONDS = scaled(300)
"""The time for which known entries may be missing before the history counts as another one."""
_MOVES = ("createdat", "site")
"""Fields whose change moves a record to another window; some histories write `created_at`."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The content of a history entry: its record, and the change of it."""

    id: int
    subject: int | None
    at: dt.datetime | None
    field: str | None
    is_created: bool
    is_deleted: bool
    combined_to: int | None

    @property
    def is_departure(self) -> bool:
        """True when the record was deleted or combined, or left its creation day or site."""
        return self.is_deleted or self.combined_to is not None or self._is_move

    @property
    def is_arrival(self) -> bool:
        """True when the record was created, or moved to another creation day or site."""
        return self.is_created or self._is_move

    @property
    def _is_move(self) -> bool:
        return self.field is not None and self.field.lower().replace("_", "") in _MOVES


@dataclass(slots=True)
class Entries:
    """An answer of a history: rows after the requested id, ascending.

    `crm_at` is the CRM's own clock at the answer, None where it gives none.
    """

    batch: Batch
    as_of: dt.datetime
    crm_at: dt.datetime | None
    entries: list[Entry] = field(default_factory=list)
    is_end: bool = True
    total: int = 0
    """The number of entries from the requested one on, as told."""

    @property
    def ids(self) -> list[int]:
        """The ids of the entries, ascending."""
        return [entry.id for entry in self.entries]

    @property
    def last_id(self) -> int:
        """The largest entry id, from which the chain goes on."""
        return self.entries[-1].id

    def among(self, ids: Iterable[int]) -> list[Entry]:
        """Return the entries with these ids."""
        wanted = set(ids)
        return [entry for entry in self.entries if entry.id in wanted]


@cache
def _columns(history: Resource) -> dict[str, str]:
    """Return the names of the columns with an entry's content, by their meaning."""
    by_path = {each.path: each.name for each in history.fields}
    wanted = {
        "subject": f"{history.subject}.id",
        "at": "createdAt",
        "field": "field",
        "created": "created",
        "deleted": "deleted",
        "combined_to": "combinedTo.id",
    }
    return {what: by_path[path] for what, path in wanted.items() if path in by_path}


def subject_column(history: Resource) -> str:
    """Return the column of a history that holds the id of an entry's record."""
    return _columns(history)["subject"]


def entry_of(history: Resource, entry_id: int, values: Mapping[str, Any]) -> Entry:
    """Build an entry from a typed row of a history."""
    columns = _columns(history)

    def value(what: str) -> Any:
        return values.get(columns[what]) if what in columns else None

    return Entry(
        entry_id,
        value("subject"),
        value("at"),
        value("field"),
        value("created") is True,
        value("deleted") is True,
        value("combined_to"),
    )


def parts_told(ctx: Context, history: Resource, rows: Iterable[Row]) -> list[JsonRow]:
    """Return what entries say of the fields by which their records name others, as columns.

    An entry of such a field holds the values before and after; the entry that created a record
    holds the record as it was then.
    """
    target = ctx.target_of(history)
    roots = {also.path.split(".")[0] for also in target.rereads} - {target.key}
    told: list[JsonRow] = []
    for row in rows if roots else ():
        record = decode(row.raw)
        stub = record.get(history.subject)
        if not isinstance(stub, dict):
            continue
        parts = [{root: stub[root]} for root in sorted(roots & stub.keys())]
        changed = record.get("field")
        if isinstance(changed, str) and changed in roots:
            parts += [{changed: record.get(side)} for side in ("oldValue", "newValue")]
        records = [{target.key: number} | part for number, part in enumerate(parts, start=1)]
        batch = ctx.normalise(target, records, as_of=row.as_of)
        told += [made.values for made in batch.rows]
    return told


def told_of(entries: Iterable[Entry]) -> dict[int, ChangeHint]:
    """Return the hints of entries on each record; the entry with the largest id counts."""
    told: dict[int, ChangeHint] = {}
    for entry in sorted(entries, key=lambda each: each.id):
        if entry.subject is None:
            continue
        about = told.setdefault(entry.subject, ChangeHint())
        about.is_news = True
        about.moved |= entry.is_departure or entry.is_created
        if entry.combined_to is not None:
            about.combined_to, about.gone_at = entry.combined_to, entry.at
            told.setdefault(entry.combined_to, ChangeHint())  # the survivor changed as well
        elif entry.is_deleted:
            about.gone_at = entry.at
        elif entry.is_created:
            about.gone_at = about.combined_to = None
    return told


def broken_link(known: Sequence[Entry], answer: Entries, *, head_id: int, zone: Zone) -> str | None:
    """Name the known entry that did not come again unchanged, in words; None when all came.

    The oldest may be missing: a history may be cut at its old end. When none came, the chain is
    whole only if the first entry follows the head's id directly. Times are compared as the store's
    zone writes them: what a known entry's neighbours proved of an hour that comes twice, an answer
    does not tell.
    """
    if not known:
        return None
    came = {entry.id: entry for entry in answer.entries}
    until = None if answer.is_end or not answer.entries else answer.last_id
    expected = [each for each in known if until is None or each.id <= until]
    there = [each for each in expected if each.id in came]
    for each in there:
        now = came[each.id]
        if (now.subject, now.field) != (each.subject, each.field) or not is_same_wall_time(
            now.at, each.at, zone
        ):
            return f"entry {each.id} is another one than before"
    if not there:
        first = answer.entries[0].id if answer.entries else None
        return None if first == head_id + 1 else f"none of the entries up to {head_id} came again"
    lost = [each.id for each in expected if each.id > there[0].id and each.id not in came]
    return f"entry {lost[0]} did not come again" if lost else None


def ask_chain(
    ctx: Context, history: Resource, *, after_id: int, priority: Priority, limit: int = LIMIT
) -> Entries:
    """Request the next entries after an id. No `page`: with sinceId the API answers 400."""
    chosen = {"sinceId": after_id}
    return ask_entries(ctx, history, chosen, after_id=after_id, priority=priority, limit=limit)


def ask_entries(
    ctx: Context,
    history: Resource,
    chosen: Mapping[str, Any],
    *,
    after_id: int = 0,
    priority: Priority,
    limit: int = LIMIT,
) -> Entries:
    """Request the first entries that a filter chooses.

    Fewer are requested where an account does not answer a page of `limit` in time, from the next
    look on: a smaller page is just a shorter step.
    """
    fit = ctx.fit(history)
    size = fit.next_size()
    size = limit if size >= fit.usual else size
    params = {"filter": chosen, "limit": size}
    try:
        reply = ctx.api.first(history, params, priority=priority)
    except (TooLarge, TooSlow) as error:
        fit.failed(size, error)
        raise
    fit.came(size)
    return entries_of(ctx, history, reply, after_id=after_id, limit=size)


def surely_in_one_answer(ctx: Context, history: Resource) -> int:
    """Return how many known entries come in one answer though late ones come between them."""
    fit = ctx.fit(history)
    return (LIMIT if fit.size >= fit.usual else fit.size) // 2


def require_progress(history: Resource, answer: Entries) -> None:
    """Raise TryLater when an empty answer says that more follows: that is no end of a chain."""
    if not answer.entries and not answer.is_end:
        raise TryLater(f"{history.path} says that entries follow, and shows none")


def entries_of(
    ctx: Context, history: Resource, reply: Reply, *, after_id: int, limit: int = LIMIT
) -> Entries:
    """Parse an answer of a history. Only a short page that says it is the last one ends a chain."""
    records = reply.records(history)
    batch = ctx.normalise(history, records, as_of=reply.as_of)
    rows: dict[int, Row] = {
        row.key: row for row in batch.rows if isinstance(row.key, int) and row.key > after_id
    }
    batch.rows = [rows[key] for key in sorted(rows)]
    answer = Entries(batch, reply.as_of, ctx.moment(reply.data.get("generatedAt")))
    answer.total = reply.pagination.total
    answer.entries = [entry_of(history, key, rows[key].values) for key in sorted(rows)]
    says_last = reply.pagination.pages <= 1 or (not records and reply.pagination.total == 0)
    answer.is_end = len(records) < limit and says_last
    return answer


def find_feed(ctx: Context, history: Resource) -> Feed | None:
    """Return the feed of a history, None before it has its bookmark."""
    with ctx.reading() as connection:
        return feeds.feed(connection, ctx.store.id, history.name)


def feed_of(ctx: Context, history: Resource) -> Feed:
    """Return the feed of a history that has its bookmark."""
    feed = find_feed(ctx, history)
    assert feed is not None, "a feed is followed from its bookmark"
    return feed


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored entry, and the seconds since it was first seen.

    `is_owed`: `sync.reread` will read its record again, the lateness bound after that moment or
    later.
    """

    entry: Entry
    known_seconds: float
    is_owed: bool


def stored_after(
    ctx: Context, history: Resource, after_id: int, *, until_id: int, bound: float, at_most: int
) -> list[Stored]:
    """Return the first stored entries after an id that the key may see."""
    with ctx.reading() as connection:
        rows = _stored(
            connection,
            history,
            ctx.store.id,
            f"{_seen(ctx, history)} AND h.id > %(after)s AND h.id <= %(until)s"
            f" ORDER BY h.id LIMIT {at_most}",
            also="cast(extract(epoch FROM clock_timestamp() - h.first_seen_at) AS float8) AS known,"
            " EXISTS (SELECT FROM sync.reread AS r WHERE r.store_id = h.store_id"
            f" AND r.resource = %(target)s AND r.id = h.{subject_column(history)}"
            " AND r.not_before >= h.first_seen_at + make_interval(secs => %(bound)s)) AS is_owed",
            after=after_id,
            until=until_id,
            target=history.target,
            bound=bound,
            sites=list(ctx.store.access.sites or ()),
        )
        return [Stored(entry, row["known"], row["is_owed"]) for entry, row in rows]


def _stored(
    connection: sa.Connection,
    history: Resource,
    store_id: int,
    which: str,
    *,
    also: str = "",
    **binds: object,
) -> Iterator[tuple[Entry, Mapping[str, Any]]]:
    """Yield live stored entries, each with its row.

    `which` is SQL about alias `h`, with its binds; `also` are further columns.
    """
    columns = [f"h.{column}" for column in ("id", *_columns(history).values())]
    rows = connection.exec_driver_sql(
        f"SELECT {', '.join([*columns, *([also] if also else [])])}"
        f" FROM {crm_name(history.name)} AS h"
        f" WHERE h.store_id = %(store)s AND h.deleted_at IS NULL AND {which}",
        {"store": store_id, **binds},
    )
    for row in rows:
        values = row._asdict()
        yield entry_of(history, values["id"], values), values


def _seen(ctx: Context, history: Resource) -> str:
    """Return the SQL condition of entries of sites that the key may see; it binds `sites`."""
    path = f"{history.subject}.site"
    site = next((each.name for each in history.fields if each.path == path), "")
    if ctx.store.access.sites is None or not site:
        return "true"
    return f"(h.{site} IS NULL OR h.{site} = ANY(%(sites)s))"


def known_before(
    ctx: Context, connection: sa.Connection, history: Resource, head_id: int, *, at_most: int
) -> list[Entry]:
    """Return the last stored entries up to an id that the key may see, ascending.

    Entries before the bookmark are excluded until the older history is whole. Until then, an entry
    missing there is not late: the walk of older history has not reached it.
    """
    rows = _stored(
        connection,
        history,
        ctx.store.id,
        f"{_seen(ctx, history)} AND h.id <= %(head)s AND h.id >= (SELECT CASE WHEN"
        " c.proven_as_of IS NULL THEN f.bookmark ELSE 0 END FROM sync.feed AS f"
        " JOIN sync.coverage AS c USING (store_id, resource) WHERE f.store_id = %(store)s"
        f" AND f.resource = %(name)s) ORDER BY h.id DESC LIMIT {at_most}",
        head=head_id,
        name=history.name,
        sites=list(ctx.store.access.sites or ()),
    )
    return [entry for entry, _ in rows][::-1]


def arrived_after(
    connection: sa.Connection,
    history: Resource,
    store_id: int,
    after_id: int,
    *,
    since: dt.datetime | None,
) -> dict[int, int]:
    """Return the records that arrived (came or moved) by the stored entries after an id.

    Each is mapped to its last such entry. `since` is the earliest moment of an entry, by the CRM's
    own clock; None for any.
    """
    which = f"h.id > %(after)s AND coalesce(h.{_columns(history)['at']} >= %(since)s, true)"
    rows = _stored(
        connection, history, store_id, f"{which} ORDER BY h.id", after=after_id, since=since
    )
    arrived = [entry for entry, _ in rows if entry.is_arrival]
    return {each.subject: each.id for each in arrived if each.subject is not None}


def told_before(ctx: Context, history: Resource, subjects: Sequence[int]) -> list[Entry]:
    """Return the stored entries that say that records were created, deleted or combined."""
    if not subjects:
        return []
    columns = _columns(history)
    told = [f"h.{columns['created']}", f"h.{columns['deleted']}"]
    told += [f"h.{columns['combined_to']} IS NOT NULL"] if "combined_to" in columns else []
    which = f"h.{columns['subject']} = ANY(%(subjects)s) AND ({' OR '.join(told)})"
    with ctx.reading() as connection:
        rows = _stored(connection, history, ctx.store.id, which, subjects=list(subjects))
        return [entry for entry, _ in rows]


def write_entries(
    ctx: Context, connection: sa.Connection, history: Resource, answer: Entries, rows: list[Row]
) -> Loaded:
    """Store entries; those that cannot be read raise a doubt on the records they may name."""
    unread = {row.key for row in rows} & {e.id for e in answer.entries if e.subject is None}
    shapeless = [reject.record for reject in answer.batch.rejects if reject.is_whole]
    unread |= set(shapeless) - diagnostics.known_rejects(
        connection, ctx.store.id, history.name, shapeless
    )
    page = replace(answer.batch, rows=rows)
    loaded = write_rows(ctx, connection, history, [page])
    if unread:
        target = ctx.target_of(history)
        detail = f"entries of {history.name} name no record that can be read"
        doubt_all(ctx, connection, target, kind="unread", detail=detail)
    return loaded
