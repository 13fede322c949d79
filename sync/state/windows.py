"""The proof of each window of a crawl: compared, counted, sealed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import sqlalchemy as sa

from sync.crawl import Days
from sync.database.identifiers import crm_name
from sync.declare import Resource
from sync.schema.crawls import MET, WINDOW
from sync.state.crawls import Crawl


@dataclass(slots=True)
class Window:
    """A row of `sync.window`: a slice of a list, and its checkpoint.

    The checkpoint is a place in the list: `last_page` whole pages of `page_size` records, and
    `in_page` records of the next one. The size that is asked for may be another one at any time.
    """

    id: int
    crawl_id: int
    days: Days
    state: str
    total: int
    page_count: int
    last_page: int
    page_size: int
    in_page: int = 0
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


def add_windows(
    connection: sa.Connection,
    crawl: Crawl,
    days: Sequence[Days],
    *,
    state: str = "planned",
    deep: bool = False,
    like: Window | None = None,
    page_size: int = 100,
    total: int = 0,
) -> list[Window]:
    """Plan windows; their first page will tell what is in them. Parts of a window copy `like`.

    `total` is an estimate of what each has, where its records were counted with others before.
    """
    values: dict[str, Any] = {
        "state": state, "deep": deep, "page_size": page_size, "total": total,
    }  # fmt: skip
    if like is not None:
        values |= {"deep": like.deep, "walks": like.walks, "page_size": like.page_size}
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
        made.append(Window(window_id, crawl.id, each, page_count=0, last_page=0, **values))
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
            " last_page = 0, in_page = 0, page_count = 0, last_id = NULL,"
            " walked_as_of = NULL, differed = 0, asked_at = NULL, counted_at = NULL,"
            " crm_at = NULL WHERE id = :id"
        ),
        {"id": window_id},
    )


def advance(
    connection: sa.Connection,
    window_id: int,
    *,
    last_page: int,
    in_page: int = 0,
    total: int,
    page_count: int,
    state: str,
    as_of: dt.datetime,
) -> None:
    """Commit a window up to `last_page` and `in_page` records of the next; never backwards."""
    connection.execute(
        sa.text(
            "UPDATE sync.window SET last_page = :page, in_page = :within, total = :total,"
            " page_count = :pages, state = :state,"
            " walked_as_of = coalesce(walked_as_of, :as_of)"
            " WHERE id = :id AND (last_page, in_page) <= (:page, :within)"
        ),
        {
            "id": window_id,
            "page": last_page,
            "within": in_page,
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


_SAME = tuple(each.name for each in fields(Window) if each.name not in ("id", "crawl_id", "days"))


def of_crawl(connection: sa.Connection, crawl_id: int, *, states: Sequence[str]) -> list[Window]:
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


def keep_met(
    connection: sa.Connection, window_id: int, first: int, end: int, ids: Sequence[int]
) -> None:
    """Store the ids met from the place `first` to before `end`, in the transaction of their rows.

    They replace what an earlier reading of these places met, in pages of whatever size.
    """
    binds = {"window": window_id, "first": first, "end": end, "ids": list(ids)}
    connection.execute(
        sa.text(
            "DELETE FROM sync.met WHERE window_id = :window AND page >= :first AND page < :end"
        ),
        binds,
    )
    connection.execute(
        sa.text("INSERT INTO sync.met (window_id, page, ids) VALUES (:window, :first, :ids)"),
        binds,
    )


def not_met(
    connection: sa.Connection,
    resource: Resource,
    store_id: int,
    window: Window,
    *,
    sites: Sequence[str] | None,
    at_most: int,
) -> list[int]:
    """Return live rows of a window, known before its first page, that are on none of its pages.

    Only ids above `window.last_id` are returned, because the others were requested. Rows without a
    creation day belong to no window and are looked for in each. Rows of sites that the key cannot
    see, or that were not chosen, are left out, because their absence proves nothing.
    """
    where = ""
    binds: list[object] = [window.id, store_id, window.walked_as_of, window.last_id or 0]
    if resource.created_field and window.days != Days():
        where = (
            " AND (t.created_on BETWEEN coalesce(%s, '-infinity'::date)"
            " AND coalesce(%s, 'infinity'::date) OR t.created_on IS NULL)"
        )
        binds += [window.days.first, window.days.last]
    if sites is not None and resource.has_site:
        where += " AND t.site = ANY(%s)"
        binds.append(list(sites))
    rows = connection.exec_driver_sql(
        "WITH met AS MATERIALIZED (SELECT DISTINCT unnest(ids) AS id FROM sync.met"
        " WHERE window_id = %s)"
        f" SELECT t.id FROM {crm_name(resource.name)} AS t LEFT JOIN met ON met.id = t.id"
        " WHERE t.store_id = %s AND t.deleted_at IS NULL AND t.as_of < %s AND t.id > %s"
        f" AND met.id IS NULL{where} ORDER BY t.id LIMIT {at_most}",
        tuple(binds),
    )
    return [row[0] for row in rows]


def asked_for(connection: sa.Connection, window: Window, *, last_id: int) -> None:
    """Note that the unmet rows of a window have been requested up to an id."""
    connection.execute(
        sa.text("UPDATE sync.window SET last_id = :last WHERE id = :id"),
        {"id": window.id, "last": last_id},
    )


def end_comparison(connection: sa.Connection, window: Window) -> None:
    """Mark a window as ready to be counted, because all rows it lacked were requested."""
    connection.execute(
        sa.text("DELETE FROM sync.met WHERE window_id = :id"),
        {"id": window.id},
    )
    connection.execute(
        sa.text("UPDATE sync.window SET state = 'walked' WHERE id = :id"), {"id": window.id}
    )


def forget_met(connection: sa.Connection) -> None:
    """Delete the ids met in windows of crawls that are over; a dropped crawl leaves them behind."""
    connection.exec_driver_sql(
        "DELETE FROM sync.met AS m WHERE NOT EXISTS (SELECT FROM sync.window AS w JOIN sync.crawl"
        " AS c ON c.id = w.crawl_id WHERE w.id = m.window_id"
        " AND c.state IN ('pending', 'running'))"
    )


def set_counted(
    connection: sa.Connection,
    windows: Sequence[Window],
    *,
    asked_at: dt.datetime,
    counted_at: dt.datetime,
    crm_at: dt.datetime | None,
) -> None:
    """Mark windows as provisionally proven by one count."""
    connection.execute(
        sa.text(
            "UPDATE sync.window SET state = 'counted', differed = 0, asked_at = :asked,"
            " counted_at = :counted, crm_at = :crm WHERE id = ANY(:ids)"
        ),
        {
            "ids": [window.id for window in windows],
            "asked": asked_at,
            "counted": counted_at,
            "crm": crm_at,
        },
    )


def set_differed(
    connection: sa.Connection, window: Window, *, counted_at: dt.datetime, differed: int
) -> None:
    """Note a count of a window that proved nothing."""
    connection.execute(
        sa.text("UPDATE sync.window SET differed = :n, counted_at = :counted WHERE id = :id"),
        {"id": window.id, "counted": counted_at, "n": differed},
    )


def count_again(connection: sa.Connection, windows: Sequence[Window]) -> None:
    """Have windows counted once more, because something spoke against their count."""
    connection.execute(
        sa.text(
            "UPDATE sync.window SET state = 'walked', asked_at = NULL, counted_at = NULL,"
            " crm_at = NULL WHERE id = ANY(:ids)"
        ),
        {"ids": [window.id for window in windows]},
    )


def open_contradicted(
    connection: sa.Connection,
    store_id: int,
    resource: str,
    told: Sequence[tuple[int, dt.datetime | None]],
) -> bool:
    """Open windows proven by a count that did not know of a departure; tell whether there are any.

    `told` are records with the CRM's time of their departure; call it after `departures.note`. In
    the count, the departed record may have made up for one that is lost anywhere in its range, so
    all windows of that count are opened. Proofs before the last one of the whole are history.
    """
    opened = connection.execute(
        sa.text(
            "UPDATE sync.window AS o SET state = 'walked', asked_at = NULL, counted_at = NULL,"
            " crm_at = NULL, verified_at = NULL FROM (SELECT DISTINCT w.crawl_id, w.asked_at"
            " FROM sync.window AS w JOIN sync.departure AS d ON d.store_id = w.store_id"
            " AND d.resource = w.resource AND d.told_at >= w.counted_at"
            " AND coalesce(w.first_day, '-infinity') <= coalesce(d.created_on, '-infinity')"
            " AND coalesce(w.last_day, 'infinity') >= coalesce(d.created_on, 'infinity')"
            " JOIN unnest(cast(:ids AS bigint[]), cast(:moments AS timestamptz[])) AS n(id, at)"
            " ON n.id = d.id AND (n.at IS NULL OR n.at <= coalesce(w.crm_at, w.asked_at))"
            " WHERE w.store_id = :store AND w.resource = :resource AND w.state = 'proven'"
            " AND w.verified_at >= coalesce((SELECT proven_as_of FROM sync.coverage"
            " WHERE store_id = :store AND resource = :resource), '-infinity')) AS c"
            " WHERE o.crawl_id = c.crawl_id AND o.asked_at = c.asked_at AND o.state = 'proven'"
        ),
        {
            "store": store_id,
            "resource": resource,
            "ids": [record for record, _ in told],
            "moments": [at for _, at in told],
        },
    ).rowcount
    return opened > 0


def seal(connection: sa.Connection, windows: Sequence[Window]) -> None:
    """Mark windows as proven as of when their total was requested."""
    connection.execute(
        sa.text(
            "UPDATE sync.window SET state = 'proven', verified_at = asked_at WHERE id = ANY(:ids)"
        ),
        {"ids": [window.id for window in windows]},
    )


def proven_as_of(connection: sa.Connection, crawl_id: int) -> dt.datetime | None:
    """Return the oldest moment that a crawl's windows are proven as of; None where it has none."""
    found: dt.datetime | None = connection.execute(
        sa.text("SELECT min(verified_at) FROM sync.window WHERE crawl_id = :id"),
        {"id": crawl_id},
    ).scalar()
    return found


def count_at_once(connection: sa.Connection, crawl_ids: Sequence[int]) -> None:
    """Have the walked windows of some crawls counted now: a person has acted."""
    connection.execute(
        sa.text(
            "UPDATE sync.window SET differed = 0, counted_at = NULL"
            " WHERE state = 'walked' AND crawl_id = ANY(:ids)"
        ),
        {"ids": list(crawl_ids)},
    )


def remove_of(connection: sa.Connection, crawl_ids: Sequence[int]) -> None:
    """Delete the windows of some crawls."""
    connection.execute(
        sa.text("DELETE FROM sync.window WHERE crawl_id = ANY(:ids)"), {"ids": list(crawl_ids)}
    )
