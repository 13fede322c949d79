"""How far each feed has been followed: its head, its tail, its bookmark, its cadence."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from sync import faults
from sync.schema.crawls import FEED

TAIL_SECONDS = faults.scaled(60)
"""What a history may publish late: it is read to its end only up to that long ago."""
LATENESS_SECONDS = faults.scaled(60)
"""The lateness bound of a store of which nothing else is known."""


@dataclass(slots=True)
class Feed:
    """A row of `sync.feed`: the two cursors of a history and what they stand for.

    `crm_at` is the CRM's own clock in the answer that was sent at `head_at`, None where it told
    none.
    `every_seconds` is how often it is looked at, None for SYNC_FEED_SECONDS.
    """

    bookmark: int
    head_id: int
    tail_id: int
    head_at: dt.datetime | None
    clear_at: dt.datetime | None
    every_seconds: float | None = None
    crm_at: dt.datetime | None = None


def feed(connection: sa.Connection, store_id: int, history: str) -> Feed | None:
    """The cursors of a history; None before its bookmark is set."""
    row = connection.execute(
        sa.select(FEED).where(FEED.c.store_id == store_id, FEED.c.resource == history)
    ).one_or_none()
    if row is None:
        return None
    return Feed(
        row.bookmark,
        row.head_id,
        row.tail_id,
        row.head_at,
        row.clear_at,
        row.every_seconds,
        row.crm_at,
    )


def lateness_seconds(connection: sa.Connection, store_id: int) -> float:
    """The store's lateness bound B: for how long its histories may tell something new of a moment.

    The largest that any of its histories taught, and no less than what is set for the store.
    """
    found: float = connection.execute(
        sa.text(
            "SELECT greatest(coalesce(s.least_lateness_seconds, :usual), (SELECT"
            " max(f.lateness_seconds) FROM sync.feed AS f WHERE f.store_id = s.id))"
            " FROM sync.store AS s WHERE s.id = :store"
        ),
        {"store": store_id, "usual": LATENESS_SECONDS},
    ).scalar_one()
    return found


def hold(connection: sa.Connection, store_id: int, history: str) -> dt.datetime:
    """Lock a feed until the transaction ends; Postgres's clock at the moment after.

    Whoever learns of departures and whoever counts rows hold it, so that each count is wholly
    before or wholly after what a page told.
    """
    connection.execute(
        sa.text("SELECT FROM sync.feed WHERE store_id = :s AND resource = :h FOR UPDATE"),
        {"s": store_id, "h": history},
    )
    moment: dt.datetime = connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
    return moment


def feed_rates(connection: sa.Connection) -> list[tuple[int, str, float, float | None]]:
    """Every feed that is followed: store, history, changes a second, present interval."""
    rows = connection.execute(
        sa.text(
            "SELECT f.store_id, f.resource, f.changes_per_second, f.every_seconds"
            " FROM sync.feed AS f JOIN sync.lane AS l ON l.store_id = f.store_id"
            " AND l.resource = f.resource AND l.lane = 'feed' AND l.enabled"
            " AND l.parked_at IS NULL"
        )
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]


def set_cadence(connection: sa.Connection, changed: Sequence[tuple[int, str, float]]) -> None:
    """Set the intervals of feeds: (store, history, seconds)."""
    if not changed:
        return
    connection.exec_driver_sql(
        "UPDATE sync.feed AS f SET every_seconds = n.seconds"
        " FROM unnest(%s::bigint[], %s::text[], %s::float8[]) AS n(store_id, resource, seconds)"
        " WHERE f.store_id = n.store_id AND f.resource = n.resource",
        (
            [store for store, _, _ in changed],
            [history for _, history, _ in changed],
            [seconds for _, _, seconds in changed],
        ),
    )


def set_bookmark(
    connection: sa.Connection, store_id: int, history: str, entry_id: int, *, tail_id: int
) -> None:
    """Store the bookmark of a first load; the first one set stands, for it is the oldest."""
    connection.execute(
        sa.text(
            "INSERT INTO sync.feed (store_id, resource, bookmark, head_id, tail_id)"
            " VALUES (:store, :history, :id, :id, :tail) ON CONFLICT DO NOTHING"
        ),
        {"store": store_id, "history": history, "id": entry_id, "tail": tail_id},
    )


def advance_head(
    connection: sa.Connection,
    store_id: int,
    history: str,
    *,
    head_id: int,
    entries: int,
    ended_at: dt.datetime | None,
) -> None:
    """Commit entries up to `head_id`; `ended_at` is set when the answer had nothing after it."""
    connection.execute(
        sa.text(
            "UPDATE sync.feed SET head_id = greatest(head_id, :head), entries = entries + :entries,"
            " head_at = greatest(head_at, :ended),"
            # An average that forgets: what was seen an hour ago counts a third of what is new.
            " changes_per_second = changes_per_second * exp(-least(20, greatest(0,"
            " extract(epoch FROM cast(:ended AS timestamptz) - head_at)) / 3600.0))"
            " + cast(:entries AS float8) / 3600"
            " WHERE store_id = :store AND resource = :history"
        ),
        {
            "store": store_id,
            "history": history,
            "head": head_id,
            "entries": entries,
            "ended": ended_at,
        },
    )
    if ended_at is not None:
        # Read to its end, so it is given: nothing else asks again whether a history is.
        connection.execute(
            sa.text(
                "UPDATE sync.coverage SET unavailable = NULL WHERE store_id = :store"
                " AND resource = :history AND unavailable IS NOT NULL"
            ),
            {"store": store_id, "history": history},
        )


def advance_tail(
    connection: sa.Connection, store_id: int, history: str, *, tail_id: int, late: int
) -> None:
    """Commit the second reading up to `tail_id`."""
    connection.execute(
        sa.text(
            "UPDATE sync.feed SET tail_id = greatest(tail_id, :tail),"
            " late_entries = late_entries + :late, entries = entries + :late"
            " WHERE store_id = :store AND resource = :history"
        ),
        {"store": store_id, "history": history, "tail": tail_id, "late": late},
    )


def set_clear(connection: sa.Connection, store_id: int, history: str, *, at: dt.datetime) -> None:
    """Everything the history published before `at` is in the mirror; never backwards.

    Except where a clock was ahead and has been set right: `as_of` goes on from where it was, but
    what is yet to come nobody has read.
    """
    connection.execute(
        sa.text(
            "UPDATE sync.feed SET clear_at = least(greatest(clear_at, :at),"
            " clock_timestamp() - make_interval(secs => :tail))"
            " WHERE store_id = :store AND resource = :history"
        ),
        {"store": store_id, "history": history, "at": at, "tail": TAIL_SECONDS},
    )
