"""The proof of each window of a crawl: compared, counted, sealed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import sqlalchemy as sa

from sync.crawl import Days
from sync.database.identifiers import crm_name
from sync.declare import Resource
from sync.state.crawls import Crawl, Window


def keep_met(connection: sa.Connection, window_id: int, page: int, ids: Sequence[int]) -> None:
    """Store the ids on a page of a compared window, in the page's transaction."""
    connection.execute(
        sa.text(
            "INSERT INTO sync.met (window_id, page, ids) VALUES (:window, :page, :ids)"
            " ON CONFLICT (window_id, page) DO UPDATE SET ids = excluded.ids"
        ),
        {"window": window_id, "page": page, "ids": list(ids)},
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
    if sites is not None and any(field.name == "site" for field in resource.fields):
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
        " AND c.state IN ('pending', 'running', 'parked'))"
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


def try_at_once(connection: sa.Connection, store_id: int, resource: str) -> None:
    """Have waiting windows and crawls tried now, because a person has acted."""
    binds = {"store": store_id, "resource": resource}
    open_ones = (
        "SELECT id FROM sync.crawl WHERE store_id = :store AND resource = :resource"
        " AND state IN ('pending', 'running')"
    )
    connection.execute(
        sa.text(
            "UPDATE sync.window SET differed = 0, counted_at = NULL"
            f" WHERE state = 'walked' AND crawl_id IN ({open_ones})"
        ),
        binds,
    )
    connection.execute(
        sa.text(f"UPDATE sync.crawl SET not_before = NULL WHERE id IN ({open_ones})"), binds
    )


def report_ghosts(connection: sa.Connection, resource: Resource, crawl: Crawl) -> None:
    """Store in a crawl's report how many rows of its days were found to be gone since it began.

    Each was requested twice, the second time by the feed, so no walk knows the number by itself.
    """
    where, binds = "true", {}
    if resource.created_field:
        where = (
            "coalesce(created_on, '-infinity') >= coalesce(cast(:first AS date), '-infinity')"
            " AND coalesce(created_on, '-infinity') <= coalesce(cast(:last AS date), 'infinity')"
        )
        binds = {"first": crawl.days.first, "last": crawl.days.last}
    connection.execute(
        sa.text(
            "UPDATE sync.crawl AS w SET report = coalesce(w.report, '{}'::jsonb)"
            " || jsonb_build_object('ghosts', n.ghosts) FROM (SELECT count(*) AS ghosts"
            f" FROM {crm_name(resource.name)} AS t, sync.crawl AS c WHERE c.id = :id"
            " AND t.store_id = c.store_id AND t.deleted_at IS NOT NULL AND t.as_of >= c.started_at"
            f" AND t.deleted_reason IN ('not_found', 'absent') AND {where}) AS n"
            " WHERE w.id = :id AND n.ghosts > 0"
        ),
        {"id": crawl.id, **binds},
    )
