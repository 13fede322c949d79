"""Crawls, their windows and their positions: progress, written in the transaction of the rows."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import sqlalchemy as sa

from sync.crawl import Days
from sync.schema.crawls import CRAWL, MET, WINDOW


@dataclass(slots=True)
class Window:
    """A row of `sync.window`: a slice of a list, and its last committed page."""

    id: int
    crawl_id: int
    days: Days
    state: str
    total: int
    page_count: int
    last_page: int
    after_id: int | None = None
    until_id: int | None = None
    last_id: int | None = None
    deep: bool = False
    walks: int = 0
    differed: int = 0
    walked_as_of: dt.datetime | None = None
    asked_at: dt.datetime | None = None
    counted_at: dt.datetime | None = None
    crm_at: dt.datetime | None = None

    @property
    def is_read(self) -> bool:
        """True when the last page is committed. Of a compared window, only the rows it lacks are
        still to be requested, from `last_id` on."""
        return self.state == "open" and 0 < self.page_count <= self.last_page


@dataclass(slots=True)
class Crawl:
    """A row of `sync.crawl`.

    `rounds` counts the last rounds without a result; `report` holds the values kept by `note`.
    """

    id: int
    store_id: int
    resource: str
    kind: str
    asked_by: str
    days: Days
    deep: bool
    phase: str
    state: str
    rounds: int
    started_at: dt.datetime | None
    report: dict[str, Any]


def next_crawl(connection: sa.Connection, store_id: int, resource: str) -> Crawl | None:
    """Return the open crawl to work on: a rebuild first, then an operator's, then the oldest.

    None when there is none, or each has to wait.
    """
    row = connection.execute(
        sa.select(CRAWL)
        .where(
            CRAWL.c.store_id == store_id,
            CRAWL.c.resource == resource,
            CRAWL.c.state.in_(("pending", "running")),
            sa.or_(CRAWL.c.not_before.is_(None), CRAWL.c.not_before <= sa.func.clock_timestamp()),
        )
        .order_by(CRAWL.c.kind != "rebuild", CRAWL.c.asked_by != "operator", CRAWL.c.id)
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    return Crawl(
        id=row.id,
        store_id=row.store_id,
        resource=row.resource,
        kind=row.kind,
        asked_by=row.asked_by,
        days=Days(row.since, row.until),
        deep=row.deep,
        phase=row.phase,
        state=row.state,
        rounds=row.rounds,
        started_at=row.started_at,
        report=row.report or {},
    )


def next_due(connection: sa.Connection, store_id: int, resource: str) -> dt.datetime | None:
    """Return when the first open crawl may be worked on; None when none is open."""
    found: dt.datetime | None = connection.execute(
        sa.text(
            "SELECT min(coalesce(not_before, asked_at)) FROM sync.crawl WHERE store_id = :store"
            " AND resource = :resource AND state IN ('pending', 'running')"
        ),
        {"store": store_id, "resource": resource},
    ).scalar()
    return found


def wait(
    connection: sa.Connection,
    crawl: Crawl,
    *,
    seconds: float,
    phase: str | None = None,
    rounds: int = 0,
) -> None:
    """Postpone a crawl by `seconds`. `rounds` in a row ended without a result, 0 for none."""
    crawl.phase = phase or crawl.phase
    connection.execute(
        sa.text(
            "UPDATE sync.crawl SET phase = :phase, rounds = :rounds,"
            " not_before = clock_timestamp() + make_interval(secs => :seconds), fruitless_since ="
            " CASE WHEN :rounds > 0 THEN coalesce(fruitless_since, now()) END WHERE id = :id"
        ),
        {"id": crawl.id, "seconds": seconds, "phase": crawl.phase, "rounds": rounds},
    )


def start_crawl(connection: sa.Connection, crawl: Crawl) -> None:
    """Note that work on a crawl has begun."""
    crawl.started_at = connection.execute(
        sa.text(
            "UPDATE sync.crawl SET state = 'running', error = NULL,"
            " started_at = coalesce(started_at, now())"
            " WHERE id = :id AND state = 'pending' RETURNING started_at"
        ),
        {"id": crawl.id},
    ).scalar()


def set_phase(connection: sa.Connection, crawl: Crawl, phase: str) -> None:
    """Move a crawl to its next phase."""
    connection.execute(
        sa.text("UPDATE sync.crawl SET phase = :phase WHERE id = :id"),
        {"id": crawl.id, "phase": phase},
    )
    crawl.phase = phase


def end_crawl(connection: sa.Connection, crawl: Crawl) -> None:
    """Mark a crawl done."""
    connection.execute(
        sa.text(
            "UPDATE sync.crawl SET state = 'done', phase = 'done', finished_at = now(),"
            " error = NULL WHERE id = :id"
        ),
        {"id": crawl.id},
    )
    crawl.phase = crawl.state = "done"


def count_pages(
    connection: sa.Connection,
    crawl: Crawl,
    *,
    pages: int = 0,
    planned: int = 0,
    seen: int = 0,
    changed: int = 0,
    requests: int = 0,
) -> None:
    """Add to a crawl's figures."""
    connection.execute(
        sa.text(
            "UPDATE sync.crawl SET pages_done = pages_done + :pages,"
            " pages_planned = pages_planned + :planned, rows_seen = rows_seen + :seen,"
            " rows_changed = rows_changed + :changed, requests = requests + :requests"
            " WHERE id = :id"
        ),
        {
            "id": crawl.id,
            "pages": pages,
            "planned": planned,
            "seen": seen,
            "changed": changed,
            "requests": requests,
        },
    )


def note(connection: sa.Connection, crawl: Crawl, **values: object) -> None:
    """Keep values in a crawl's report, replacing those of the same names."""
    connection.execute(
        sa.text(
            "UPDATE sync.crawl SET report = coalesce(report, '{}'::jsonb) || cast(:new AS jsonb)"
            " WHERE id = :id"
        ),
        {"id": crawl.id, "new": json.dumps(values)},
    )
    crawl.report |= values


def add_report(connection: sa.Connection, crawl: Crawl, found: dict[str, int]) -> None:
    """Add to the numbers in a crawl's report."""
    for name, number in found.items():
        if not number:
            continue
        connection.execute(
            sa.text(
                "UPDATE sync.crawl SET report = jsonb_set(coalesce(report, '{}'::jsonb),"
                " ARRAY[:name], to_jsonb(coalesce((report ->> :name)::bigint, 0) + :number))"
                " WHERE id = :id"
            ),
            {"id": crawl.id, "name": name, "number": number},
        )


def windows(connection: sa.Connection, crawl_id: int, *, states: Sequence[str]) -> list[Window]:
    """Return a crawl's windows in the given states, in the order planned."""
    rows = connection.execute(
        sa.select(WINDOW)
        .where(WINDOW.c.crawl_id == crawl_id, WINDOW.c.state.in_(states))
        .order_by(WINDOW.c.id)
    )
    return [
        Window(
            id=row.id,
            crawl_id=row.crawl_id,
            days=Days(row.first_day, row.last_day),
            **{name: getattr(row, name) for name in _SAME},
        )
        for row in rows
    ]


_SAME = tuple(each.name for each in fields(Window) if each.name not in ("id", "crawl_id", "days"))


def add_windows(
    connection: sa.Connection,
    crawl: Crawl,
    days: Sequence[Days],
    *,
    state: str = "planned",
    deep: bool = False,
    like: Window | None = None,
) -> list[Window]:
    """Plan windows; their first page will tell what is in them. Parts of a window copy `like`."""
    values: dict[str, Any] = {"state": state, "deep": deep}
    if like is not None:
        values |= {"deep": like.deep, "walks": like.walks}
        values |= {"walked_as_of": like.walked_as_of} if state == "walked" else {}
    made = []
    for each in days:
        window_id: int = connection.execute(
            sa.insert(WINDOW)
            .values(
                crawl_id=crawl.id,
                store_id=crawl.store_id,
                resource=crawl.resource,
                first_day=each.first,
                last_day=each.last,
                **values,
            )
            .returning(WINDOW.c.id)
        ).scalar_one()
        made.append(Window(window_id, crawl.id, each, total=0, page_count=0, last_page=0, **values))
    return made


def add_id_windows(
    connection: sa.Connection, crawl: Crawl, ranges: Sequence[tuple[int, int]]
) -> None:
    """Plan windows of a history: (exclusive lower, inclusive upper) entry ids."""
    of = {"crawl_id": crawl.id, "store_id": crawl.store_id, "resource": crawl.resource}
    for after, until in ranges:
        ids = {"after_id": after, "until_id": until, "last_id": after}
        connection.execute(sa.insert(WINDOW).values(of | ids | {"state": "open"}))


def remove_window(connection: sa.Connection, window_id: int) -> None:
    """Delete a window that others replace, and the ids met in it."""
    connection.execute(sa.delete(MET).where(MET.c.window_id == window_id))
    connection.execute(sa.delete(WINDOW).where(WINDOW.c.id == window_id))


def walk_again(connection: sa.Connection, window_id: int) -> None:
    """Have a window walked again from its first page, with its ids and contents compared."""
    connection.execute(sa.delete(MET).where(MET.c.window_id == window_id))
    connection.execute(
        sa.text(
            "UPDATE sync.window SET state = 'planned', deep = true, walks = walks + 1,"
            " last_page = 0, page_count = 0, last_id = NULL, walked_as_of = NULL, differed = 0,"
            " asked_at = NULL, counted_at = NULL, crm_at = NULL WHERE id = :id"
        ),
        {"id": window_id},
    )


def advance(
    connection: sa.Connection,
    window_id: int,
    *,
    last_page: int,
    total: int,
    page_count: int,
    state: str,
    as_of: dt.datetime,
) -> None:
    """Commit a window's pages up to `last_page`; never backwards."""
    connection.execute(
        sa.text(
            "UPDATE sync.window SET last_page = :page, total = :total, page_count = :pages,"
            " state = :state, walked_as_of = coalesce(walked_as_of, :as_of)"
            " WHERE id = :id AND last_page <= :page"
        ),
        {
            "id": window_id,
            "page": last_page,
            "total": total,
            "pages": page_count,
            "state": state,
            "as_of": as_of,
        },
    )


def advance_ids(connection: sa.Connection, window_id: int, *, last_id: int, state: str) -> None:
    """Commit a history window's entries up to `last_id`; never backwards."""
    connection.execute(
        sa.text(
            "UPDATE sync.window SET last_id = :last, state = :state, last_page = last_page + 1"
            " WHERE id = :id AND coalesce(last_id, -1) <= :last"
        ),
        {"id": window_id, "last": last_id, "state": state},
    )


@dataclass(frozen=True, slots=True)
class Position:
    """A position in a list behind a cursor: the cursor, and `Batch.repeats` before its page."""

    cursor: str
    repeats: dict[str, int]


def position(connection: sa.Connection, store_id: int, resource: str) -> Position:
    """Return the position in a list; its beginning when none is stored."""
    row = connection.execute(
        sa.text("SELECT cursor, repeats FROM sync.position WHERE store_id = :s AND resource = :r"),
        {"s": store_id, "r": resource},
    ).one_or_none()
    return Position("", {}) if row is None else Position(row.cursor, row.repeats)


def set_position(connection: sa.Connection, store_id: int, resource: str, to: Position) -> None:
    """Store the position in a list."""
    connection.execute(
        sa.text(
            "INSERT INTO sync.position (store_id, resource, cursor, repeats)"
            " VALUES (:s, :r, :cursor, cast(:repeats AS jsonb))"
            " ON CONFLICT (store_id, resource) DO UPDATE"
            " SET cursor = excluded.cursor, repeats = excluded.repeats"
        ),
        {"s": store_id, "r": resource, "cursor": to.cursor, "repeats": json.dumps(to.repeats)},
    )


def begin_anew(connection: sa.Connection, crawl: Crawl) -> None:
    """Forget the progress of a crawl, so that it begins anew the next time."""
    connection.execute(
        sa.text("UPDATE sync.crawl SET report = NULL, phase = 'plan' WHERE id = :id"),
        {"id": crawl.id},
    )
    crawl.phase, crawl.report = "plan", {}
