"""The position of each feed: its head, its tail, its bookmark, its interval."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from sync import failpoints
from sync.database.identifiers import crm_name
from sync.state import coverage

LATENESS_SECONDS = failpoints.scaled(60)
"""The lateness bound of a store of which nothing else is known."""
HOUR_SECONDS = failpoints.scaled(3_600)
DAY_SECONDS = failpoints.scaled(86_400)
MOST_LATENESS_SECONDS = DAY_SECONDS
"""The upper limit of every bound: at most a day's entries are read a third time."""


LEAST = (
    f"(SELECT coalesce(least_lateness_seconds, {LATENESS_SECONDS}) FROM sync.store"
    " WHERE id = :store)"
)
"""SQL: the lateness bound of a store as long as no entry came later; it binds `store`."""
BOUND = f"greatest({LEAST}, (SELECT max(lateness_seconds) FROM sync.feed WHERE store_id = :store))"
"""SQL: the lateness bound B of a store, how long its histories may tell something new.

It is the largest that any of its histories taught, and no less than what the store is set to.
"""


@dataclass(frozen=True, slots=True)
class Feed:
    """A row of `sync.feed` as it was at `now`: the cursors of a history, and what is due of it.

    `crm_at` is the CRM's own clock in the answer sent at `head_at`, None where the answer had none.
    `every_seconds` is the interval between two reads, None for SYNC_FEED_SECONDS. The third reading
    goes from `backward_id` to `backward_until_id`, None where there is none. `bound_seconds` is the
    lateness bound of the store.
    """

    bookmark: int
    head_id: int
    tail_id: int
    head_at: dt.datetime | None
    clear_at: dt.datetime | None
    every_seconds: float | None
    crm_at: dt.datetime | None
    backward_id: int | None
    backward_until_id: int | None
    is_hour_due: bool
    is_day_due: bool
    is_sample_due: bool
    bound_seconds: float
    now: dt.datetime


_FEED = sa.text(
    "SELECT f.bookmark, f.head_id, f.tail_id, f.head_at, f.clear_at, f.every_seconds, f.crm_at,"
    " f.backward_id, f.backward_until_id,"
    f" coalesce(f.hour_read_at, '-infinity') < n.now - make_interval(secs => {HOUR_SECONDS}),"
    f" coalesce(f.day_read_at, '-infinity') < n.now - make_interval(secs => {DAY_SECONDS}),"
    " coalesce(f.sampled_at, '-infinity') < n.now"
    f" - make_interval(secs => greatest(n.bound, {LATENESS_SECONDS})), n.bound, n.now"
    f" FROM (SELECT clock_timestamp() AS now, cast({BOUND} AS float8) AS bound) AS n,"
    " sync.feed AS f"
    " WHERE f.store_id = :store AND f.resource = :history"
)


def feed(connection: sa.Connection, store_id: int, history: str) -> Feed | None:
    """Return a history's feed; None before its bookmark is set."""
    row = connection.execute(_FEED, {"store": store_id, "history": history}).one_or_none()
    return None if row is None else Feed(*row)


def lateness_seconds(connection: sa.Connection, store_id: int) -> float:
    """Return the lateness bound B of a store."""
    found: float = connection.execute(sa.text(f"SELECT {BOUND}"), {"store": store_id}).scalar_one()
    return found


def hold(connection: sa.Connection, store_id: int, history: str, *, of: str) -> Feed | None:
    """Lock the feed of a resource until the transaction ends; return it as it was after that.

    Every transaction that learns of departures or counts rows holds the feed, so that each count is
    wholly before or wholly after a page's entries. The coverage of the resource is locked first, as
    whoever writes its rows may hold that already.
    """
    coverage.lock(connection, store_id, of)
    connection.execute(
        sa.text("SELECT FROM sync.feed WHERE store_id = :s AND resource = :h FOR UPDATE"),
        {"s": store_id, "h": history},
    )
    return feed(connection, store_id, history)


def feed_rates(connection: sa.Connection) -> list[tuple[int, str, float, float | None]]:
    """Return every feed that is followed: store, history, changes a second, present interval."""
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


def set_bookmark(connection: sa.Connection, store_id: int, history: str, entry_id: int) -> None:
    """Store the bookmark of a first load; one that is set already stays, for it is the oldest."""
    connection.execute(
        sa.text(
            "INSERT INTO sync.feed (store_id, resource, bookmark, head_id, tail_id, hour_read_at,"
            " day_read_at, sampled_at) VALUES (:store, :history, :id, :id, :id, clock_timestamp(),"
            " clock_timestamp(), clock_timestamp()) ON CONFLICT DO NOTHING"
        ),
        {"store": store_id, "history": history, "id": entry_id},
    )


def advance_head(
    connection: sa.Connection,
    store_id: int,
    history: str,
    *,
    head_id: int,
    entries: int,
    ended_at: dt.datetime | None,
    crm_at: dt.datetime | None,
) -> None:
    """Commit entries up to `head_id`; `ended_at` is set when the answer had nothing after it.

    Known entries came again, so the chain is not broken. A history that was read to its end is
    available; no other request checks that again, so `unavailable` is reset here.
    """
    connection.execute(
        sa.text(
            "UPDATE sync.feed SET head_id = greatest(head_id, :head), entries = entries + :entries,"
            " broken_since = NULL, head_at = greatest(head_at, :ended),"
            " crm_at = CASE WHEN cast(:ended AS timestamptz) IS NULL THEN crm_at ELSE :crm END,"
            # A decaying average: entries of an hour ago weigh a third of new ones.
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
            "crm": crm_at,
        },
    )
    if ended_at is not None:
        coverage.set_available(connection, store_id, history)


def advance_tail(connection: sa.Connection, store_id: int, history: str, *, tail_id: int) -> None:
    """Commit the tail, the second reading, up to `tail_id`."""
    connection.execute(
        sa.text(
            "UPDATE sync.feed SET tail_id = greatest(tail_id, :tail)"
            " WHERE store_id = :store AND resource = :history"
        ),
        {"store": store_id, "history": history, "tail": tail_id},
    )


def break_chain(connection: sa.Connection, store_id: int, history: str) -> float:
    """Note that known entries did not come again; return for how many seconds they have not."""
    found: float = connection.execute(
        sa.text(
            "UPDATE sync.feed SET broken_since = coalesce(broken_since, clock_timestamp())"
            " WHERE store_id = :store AND resource = :history RETURNING"
            " cast(extract(epoch FROM clock_timestamp() - broken_since) AS float8)"
        ),
        {"store": store_id, "history": history},
    ).scalar_one()
    return found


def restart(connection: sa.Connection, store_id: int, history: str, *, bookmark: int) -> None:
    """Follow a history from a new bookmark, because the entries it was followed by are gone.

    `broken_since` stays until known entries have come again.
    """
    connection.execute(
        sa.text(
            "UPDATE sync.feed SET bookmark = :id, head_id = :id, tail_id = :id,"
            " backward_id = NULL, backward_until_id = NULL"
            " WHERE store_id = :store AND resource = :history"
        ),
        {"store": store_id, "history": history, "id": bookmark},
    )


def next_seen(
    connection: sa.Connection, history: str, store_id: int, ids: Sequence[int]
) -> dict[int, dt.datetime]:
    """Return when the entry after each of these ids was first seen here, if there is one."""
    rows = connection.exec_driver_sql(
        "SELECT n.id, t.first_seen_at FROM unnest(%s::bigint[]) AS n(id) CROSS JOIN LATERAL ("
        f"SELECT first_seen_at FROM {crm_name(history)} WHERE store_id = %s AND id > n.id"
        " AND deleted_at IS NULL ORDER BY id LIMIT 1) AS t",
        (list(ids), store_id),
    )
    return {row[0]: row[1] for row in rows}


def learn_lateness(
    connection: sa.Connection, store_id: int, history: str, *, seconds: float, late: int
) -> None:
    """Note entries that came late; `seconds` is the worst lateness among them.

    The bound becomes twice that, at most a day. Nothing is learnt from a history that is not proven
    whole: a key that sees more than before finds old entries new.
    """
    connection.execute(
        sa.text(
            "UPDATE sync.feed SET late_entries = late_entries + :late,"
            f" late_at = CASE WHEN 2 * :seconds > {LEAST} / 2 THEN clock_timestamp() ELSE late_at"
            f" END, lateness_seconds = CASE WHEN 2 * :seconds > {LEAST} THEN"
            " greatest(lateness_seconds, least(2 * cast(:seconds AS float8), :most))"
            " ELSE lateness_seconds END WHERE store_id = :store AND resource = :history AND EXISTS"
            " (SELECT FROM sync.coverage AS c WHERE c.store_id = :store AND c.resource = :history"
            " AND c.proven_as_of IS NOT NULL)"
        ),
        {
            "store": store_id,
            "history": history,
            "seconds": seconds,
            "late": late,
            "most": MOST_LATENESS_SECONDS,
        },
    )


def set_clear(
    connection: sa.Connection, store_id: int, history: str, *, looked_at: dt.datetime
) -> None:
    """Set `clear_at`: all the CRM did before it and this history tells is in the mirror.

    It is the lateness bound before the oldest of these moments: the head's last end, the begin of
    this look by the clock itself (`looked_at`: send moments never go back, so after a clock was set
    back they lie ahead of it for a while), and the first sight of the oldest entry that the tail
    has not passed. It may go back when the bound rises. A bound that nothing confirmed for a day is
    halved.
    """
    binds = {"store": store_id, "history": history, "looked": looked_at}
    connection.execute(
        sa.text(
            f"UPDATE sync.feed SET lateness_seconds = CASE WHEN lateness_seconds / 2 > {LEAST}"
            " THEN lateness_seconds / 2 END, late_at = clock_timestamp()"
            " WHERE store_id = :store AND resource = :history AND lateness_seconds IS NOT NULL"
            f" AND late_at < clock_timestamp() - make_interval(secs => {DAY_SECONDS})"
        ),
        binds,
    )
    connection.execute(
        sa.text(
            "UPDATE sync.feed AS f SET clear_at = least(f.head_at, :looked, CASE WHEN"
            " f.tail_id < f.head_id THEN (SELECT min(least(h.as_of, h.first_seen_at))"
            f" FROM {crm_name(history)} AS h WHERE h.store_id = :store AND h.id > f.tail_id"
            " AND h.id <= f.head_id AND h.deleted_at IS NULL) END)"
            f" - make_interval(secs => {BOUND})"
            " WHERE f.store_id = :store AND f.resource = :history AND f.head_at IS NOT NULL"
        ),
        binds,
    )


def begin_backward(
    connection: sa.Connection, store_id: int, history: str, *, days: bool, until_id: int
) -> int:
    """Begin a third reading at the oldest entry of the last two hours, or of the last two days.

    It goes back two intervals, so that each entry is read once more when it is old enough. Returns
    the id after which it begins.
    """
    seconds = 2 * (DAY_SECONDS if days else HOUR_SECONDS)
    begun: int = connection.execute(
        sa.text(
            "UPDATE sync.feed AS f SET hour_read_at = clock_timestamp(), day_read_at ="
            " CASE WHEN :days THEN clock_timestamp() ELSE f.day_read_at END,"
            " backward_id = coalesce(o.id, f.bookmark), backward_until_id = :until FROM (SELECT"
            f" max(h.id) AS id FROM {crm_name(history)} AS h WHERE h.store_id = :store"
            " AND h.id <= :until AND h.first_seen_at < clock_timestamp()"
            " - make_interval(secs => :seconds)) AS o"
            " WHERE f.store_id = :store AND f.resource = :history RETURNING f.backward_id"
        ),
        {
            "store": store_id,
            "history": history,
            "days": days,
            "until": until_id,
            "seconds": seconds,
        },
    ).scalar_one()
    return begun


def advance_backward(
    connection: sa.Connection, store_id: int, history: str, *, to_id: int | None
) -> None:
    """Commit a third reading up to an id; None ends it."""
    connection.execute(
        sa.text(
            "UPDATE sync.feed SET backward_id = :id, backward_until_id = CASE WHEN"
            " cast(:id AS bigint) IS NOT NULL THEN backward_until_id END"
            " WHERE store_id = :store AND resource = :history"
        ),
        {"store": store_id, "history": history, "id": to_id},
    )


def to_sample(
    connection: sa.Connection,
    store_id: int,
    history: str,
    target: str,
    *,
    followed: Feed,
    subject: str,
) -> list[int]:
    """Choose at most a hundred live records that the tail has passed in the last two hours.

    A record is read again when its last entry has been known for twice as long as at the last read:
    after 2 B, 4 B, 8 B and so on, so that a lag of any length shows. Of too many, as many are
    chosen from each of these ages. Records that wait to be read for another reason are left out.
    """
    begin_id = _begin_of(connection, store_id, history, followed, seconds=2 * HOUR_SECONDS)
    rows = connection.execute(
        sa.text(
            "SELECT id FROM (SELECT t.id, extract(epoch FROM clock_timestamp() - h.told_at) AS age,"
            " extract(epoch FROM t.as_of - h.told_at) AS age_when_read"
            f" FROM (SELECT {subject} AS id, max(first_seen_at) AS told_at FROM {crm_name(history)}"
            " WHERE store_id = :store AND id > :begin AND deleted_at IS NULL GROUP BY 1"
            f" HAVING max({crm_name(history)}.id) <= :tail) AS h JOIN {crm_name(target)} AS t"
            " ON t.store_id = :store AND t.id = h.id AND t.deleted_at IS NULL) AS t"
            " WHERE age_when_read >= :bound AND age >= 2 * age_when_read"
            " AND NOT EXISTS (SELECT FROM sync.reread AS r WHERE r.store_id = :store"
            " AND r.resource = :target AND r.id = t.id)"
            # A random choice with the weight 1 / age: the smallest of exponential times.
            " ORDER BY -ln(1 - random()) * age LIMIT 100"
        ),
        {
            "store": store_id,
            "target": target,
            "begin": begin_id,
            "tail": followed.tail_id,
            "bound": followed.bound_seconds,
        },
    )
    return list(rows.scalars())


def _begin_of(
    connection: sa.Connection, store_id: int, history: str, followed: Feed, *, seconds: float
) -> int:
    """Return the newest followed entry first seen before the last `seconds`, else the bookmark.

    The search goes back from the newest entry, so that it costs no more than the entries since.
    """
    found: int | None = connection.execute(
        sa.text(
            f"SELECT id FROM {crm_name(history)} WHERE store_id = :store AND id > :bookmark"
            " AND id <= :head AND first_seen_at < clock_timestamp() - make_interval(secs => :secs)"
            " ORDER BY id DESC LIMIT 1"
        ),
        {
            "store": store_id,
            "bookmark": followed.bookmark,
            "head": followed.head_id,
            "secs": seconds,
        },
    ).scalar()
    return followed.bookmark if found is None else found


def note_sample(connection: sa.Connection, store_id: int, history: str, *, records: int) -> None:
    """Note that `records` passed records were read again; earlier results decay over some 200."""
    connection.execute(
        sa.text(
            "UPDATE sync.feed SET sampled_at = clock_timestamp(),"
            " sampled_records = sampled_records * (1 - :n / 200.0) + :n,"
            " untold_records = untold_records * (1 - :n / 200.0)"
            " WHERE store_id = :store AND resource = :history"
        ),
        {"store": store_id, "history": history, "n": records},
    )


def note_untold(
    connection: sa.Connection, store_id: int, history: str, *, records: int
) -> tuple[float, float]:
    """Add sampled records whose change no entry told; return the decayed sums: of these, of all."""
    row = connection.execute(
        sa.text(
            "UPDATE sync.feed SET untold_records = untold_records + :n"
            " WHERE store_id = :store AND resource = :history"
            " RETURNING untold_records, sampled_records"
        ),
        {"store": store_id, "history": history, "n": records},
    ).one()
    return row[0], row[1]


def raise_lateness(connection: sa.Connection, store_id: int, history: str) -> None:
    """Double the bound, because lists lag longer; forget what was sampled under the old bound."""
    bound = lateness_seconds(connection, store_id)
    learn_lateness(connection, store_id, history, seconds=bound, late=0)
    connection.execute(
        sa.text(
            "UPDATE sync.feed SET sampled_records = 0, untold_records = 0"
            " WHERE store_id = :store AND resource = :history"
        ),
        {"store": store_id, "history": history},
    )


def told_since(
    connection: sa.Connection, store_id: int, history: str, *, subject: str, seconds: float
) -> tuple[list[int], dt.datetime | None]:
    """Return the records a history told of within so many seconds, and when it first did."""
    followed = feed(connection, store_id, history)
    if followed is None:
        return [], None
    row = connection.execute(
        sa.text(
            f"SELECT coalesce(array_agg(DISTINCT {subject}) FILTER (WHERE {subject} IS NOT NULL),"
            f" '{{}}'), min(first_seen_at) FROM {crm_name(history)}"
            " WHERE store_id = :store AND id > :begin"
        ),
        {
            "store": store_id,
            "begin": _begin_of(connection, store_id, history, followed, seconds=seconds),
        },
    ).one()
    return row[0], row[1]
