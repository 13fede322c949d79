"""Rows that are gone, or have left their day or site: `sync.departure`.

An equal count proves an equal set only while every departure is known (sync/crawl.py). A departed
row that a lagging list still shows, or whose departure is published late, cancels a lost row in the
count. So windows with such rows are counted later, and a count is final only when no departure from
before it was learnt after it: from a history (`note`), or from the record itself (`note_read`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from sync.crawl import Days
from sync.database.identifiers import crm_name
from sync.declare import Resource
from sync.state import clock

KEEP_DAYS = 2
_RECENT = "(d.entry_id > :passed OR d.told_at > now() - make_interval(secs => :bound))"
_IN_DAYS = (
    "coalesce({0}.created_on, '-infinity') >= coalesce(cast(:first AS date), '-infinity')"
    " AND coalesce({0}.created_on, '-infinity') <= coalesce(cast(:last AS date), 'infinity')"
)


def note(
    connection: sa.Connection,
    resource: Resource,
    store_id: int,
    told: Sequence[tuple[int, int, dt.datetime | None]],
) -> None:
    """Store departures of live rows before they are applied: (entry id, record id, the CRM's time).

    Call it in the transaction that applies the entries, and after `feeds.hold`. The stored day is
    that of the unchanged row. A count, which holds the feed too, is wholly before or after this.
    """
    if not told:
        return
    day = "t.created_on" if resource.created_field else "cast(NULL AS date)"
    connection.execute(
        sa.text(
            "INSERT INTO sync.departure (store_id, resource, entry_id, id, created_on, left_at,"
            f" told_at) SELECT :store, :resource, n.entry, n.id, {day}, n.at, clock_timestamp()"
            " FROM unnest(cast(:entries AS bigint[]), cast(:ids AS bigint[]),"
            " cast(:moments AS timestamptz[])) AS n(entry, id, at)"
            f" JOIN {crm_name(resource.name)} AS t ON t.store_id = :store AND t.id = n.id"
            " AND t.deleted_at IS NULL ON CONFLICT DO NOTHING"
        ),
        {
            "store": store_id,
            "resource": resource.name,
            "entries": [entry for entry, _, _ in told],
            "ids": [record for _, record, _ in told],
            "moments": [at for _, _, at in told],
        },
    )


def note_read(
    connection: sa.Connection,
    resource: Resource,
    store_id: int,
    left: Mapping[Any, dt.date | None],
) -> None:
    """Store departures of rows that were read, with the days they left, but for those just noted.

    A record may be read before its history tells of it: then its row has left when the entry comes.
    Call it after `feeds.hold`. No entry told of them, so their numbers are below zero.
    """
    connection.execute(
        sa.text(
            "INSERT INTO sync.departure (store_id, resource, entry_id, id, created_on, told_at)"
            " SELECT :store, :resource, (SELECT least(min(entry_id), 0) FROM sync.departure"
            " WHERE store_id = :store AND resource = :resource) - row_number() OVER (), n.id,"
            " n.day, clock_timestamp() FROM unnest(cast(:ids AS bigint[]), cast(:days AS date[]))"
            " AS n(id, day) WHERE NOT EXISTS (SELECT FROM sync.departure AS d"
            " WHERE d.store_id = :store AND d.resource = :resource AND d.told_at >= now()"
            " AND d.id = n.id AND d.created_on IS NOT DISTINCT FROM n.day)"
        ),
        {
            "store": store_id,
            "resource": resource.name,
            "ids": list(left),
            "days": list(left.values()),
        },
    )


def contested(
    connection: sa.Connection,
    resource: Resource,
    store_id: int,
    days: Days,
    *,
    arrived: Iterable[int] = (),
    found_before: dt.datetime,
    lateness_seconds: float,
    passed_id: int,
) -> int:
    """Count the live rows of some days that the CRM may count or not.

    These are the rows that a history said have left within the lateness bound, which a lagging list
    still shows, wherever they are now: the list may have shown a place between two moves. They stay
    contested until the tail has read them again, up to the entry `passed_id`. Then the rows that
    `arrived` just before the total was given, by a list that may lag behind the one that showed
    them; and the rows found absent that are requested once more later.
    """
    where = _IN_DAYS.format("t") if resource.created_field else "true"
    found: int = connection.execute(
        sa.text(
            f"SELECT count(*) FROM {crm_name(resource.name)} AS t WHERE t.store_id = :store"
            f" AND t.deleted_at IS NULL AND {where} AND t.id IN ("
            "SELECT d.id FROM sync.departure AS d WHERE d.store_id = :store"
            f" AND d.resource = :resource AND {_RECENT}"
            " UNION SELECT r.id FROM sync.reread AS r WHERE r.store_id = :store"
            " AND r.resource = :resource AND r.absent_at IS NOT NULL UNION SELECT a.id FROM"
            f" {crm_name(resource.name)} AS a WHERE a.store_id = :store"
            " AND a.id = ANY(cast(:arrived AS bigint[])) AND a.listed_at < :found"
            " AND NOT EXISTS (SELECT FROM sync.unlisted AS u WHERE u.store_id = :store"
            " AND u.resource = :resource AND u.id = a.id))"
        ),
        {
            "store": store_id,
            "resource": resource.name,
            "first": days.first,
            "last": days.last,
            "bound": lateness_seconds,
            "passed": passed_id,
            "arrived": sorted(arrived),
            "found": found_before,
        },
    ).scalar_one()
    return found


def recent(
    connection: sa.Connection,
    store_id: int,
    resource: str,
    ids: Iterable[int],
    *,
    lateness_seconds: float,
    passed_id: int,
) -> set[int]:
    """Return those of the records whose departure lagging lists may not show yet (`contested`)."""
    rows = connection.execute(
        sa.text(
            "SELECT d.id FROM sync.departure AS d WHERE d.store_id = :store"
            f" AND d.resource = :resource AND d.id = ANY(:ids) AND {_RECENT}"
            # One that was told created and deleted at once never was a row that could leave.
            f" UNION SELECT t.id FROM {crm_name(resource)} AS t WHERE t.store_id = :store"
            " AND t.id = ANY(:ids) AND t.deleted_at IS NOT NULL"
            " AND t.first_seen_at > now() - make_interval(secs => :bound)"
        ),
        {
            "store": store_id,
            "resource": resource,
            "ids": sorted(ids),
            "passed": passed_id,
            "bound": lateness_seconds,
        },
    )
    return set(rows.scalars())


def speaks_against(
    connection: sa.Connection,
    store_id: int,
    resource: str,
    days: Days,
    *,
    asked_at: dt.datetime,
    counted_at: dt.datetime,
    crm_at: dt.datetime | None,
    lateness_seconds: float,
) -> bool:
    """Tell whether a departure from some days was learnt after a count, and may be from before it.

    `crm_at` is the CRM's clock at the count or after it: later departures do not matter. Where the
    CRM does not tell its time, everything learnt within the lateness bound may be from before.
    """
    return bool(
        connection.execute(
            sa.text(
                "SELECT EXISTS (SELECT FROM sync.departure AS d WHERE d.store_id = :store"
                " AND d.resource = :resource AND d.told_at >= :counted AND CASE"
                " WHEN d.left_at IS NOT NULL AND cast(:crm AS timestamptz) IS NOT NULL"
                " THEN d.left_at <= :crm"
                " ELSE d.told_at <= :asked + make_interval(secs => :bound) END"
                f" AND {_IN_DAYS.format('d')})"
            ),
            {
                "store": store_id,
                "resource": resource,
                "first": days.first,
                "last": days.last,
                "asked": asked_at,
                "counted": counted_at,
                "crm": crm_at,
                "bound": lateness_seconds,
            },
        ).scalar_one()
    )


def known_since(connection: sa.Connection) -> dt.datetime:
    """Return the moment since when no departure is forgotten: an older count cannot be judged.

    Read it after `speaks_against`, so that what was deleted before that is older than this.
    """
    return clock.now(connection) - dt.timedelta(days=KEEP_DAYS)


def forget_old(connection: sa.Connection) -> None:
    """Delete departures older than any count that is still judged by them."""
    connection.exec_driver_sql(
        f"DELETE FROM sync.departure WHERE told_at < now() - interval '{KEEP_DAYS} days'"
    )
