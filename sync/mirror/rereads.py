"""Records waiting to be read again by id: rows of `sync.reread`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa

from sync.mirror.names import crm_name

LONGEST_WAIT_SECONDS = 30
"""A record that changes all the time is read at least this often."""
FAILING_SECONDS = 15.0
FAILING_MOST_SECONDS = 3_600.0
"""A record that cannot be had is asked for again after that; twice as long each time, up to so
long."""


def ask_again(
    connection: sa.Connection,
    store_id: int,
    resource: str,
    ids: Iterable[int],
    *,
    reason: str,
    told_by: str,
    after_seconds: float = 0,
) -> None:
    """Queue records; one that waits already waits for the later of both moments.

    `told_by` is the resource whose lane asks. Where that is a history, a record may be wrong since
    what the history had been read up to before, and coverage is held back to that moment.
    """
    ordered = sorted(set(ids))
    if not ordered:
        return
    connection.execute(
        sa.text(
            "INSERT INTO sync.reread AS r (store_id, resource, id, reason, not_before, since)"
            " SELECT :store, :resource, n.id, :reason, now() + make_interval(secs => :after),"
            " coalesce((SELECT clear_at FROM sync.feed"
            " WHERE store_id = :store AND resource = :told_by), now())"
            " FROM unnest(cast(:ids AS bigint[])) AS n(id)"
            " ON CONFLICT (store_id, resource, id) DO UPDATE"
            " SET not_before = greatest(r.not_before, excluded.not_before),"
            " since = least(r.since, excluded.since)"
        ),
        {
            "store": store_id,
            "resource": resource,
            "ids": ordered,
            "reason": reason,
            "after": after_seconds,
            "told_by": told_by,
        },
    )


def due(
    connection: sa.Connection, store_id: int, resource: str, *, at_most: int = 100
) -> dict[int, dt.datetime]:
    """Ids to read now, with the `not_before` they are to be ticked off by."""
    rows = connection.execute(
        sa.text(
            "SELECT id, not_before FROM sync.reread WHERE store_id = :store"
            " AND resource = :resource AND (not_before <= now()"
            " OR asked_at < now() - make_interval(secs => :longest))"
            " ORDER BY asked_at, id LIMIT :most"
        ),
        {
            "store": store_id,
            "resource": resource,
            "most": at_most,
            "longest": LONGEST_WAIT_SECONDS,
        },
    )
    return {row.id: row.not_before for row in rows}


def tick_off(
    connection: sa.Connection, store_id: int, resource: str, done: dict[int, dt.datetime]
) -> None:
    """Forget what was read; what was asked for again meanwhile stays, as a new wish."""
    binds = {
        "store": store_id,
        "resource": resource,
        "ids": list(done),
        "moments": list(done.values()),
    }
    connection.execute(
        sa.text(
            "DELETE FROM sync.reread AS r USING unnest(cast(:ids AS bigint[]),"
            " cast(:moments AS timestamptz[])) AS n(id, not_before)"
            " WHERE r.store_id = :store AND r.resource = :resource AND r.id = n.id"
            " AND r.not_before = n.not_before AND r.not_before <= now()"
        ),
        binds,
    )
    connection.execute(
        sa.text(
            # Read before its time, and to be read again: what is older than the CRM may need is in.
            "UPDATE sync.reread AS r SET asked_at = now(), since = CASE"
            " WHEN r.not_before = n.not_before"
            " THEN greatest(r.since, now() - make_interval(secs => :longest)) ELSE r.since END"
            " FROM unnest(cast(:ids AS bigint[]), cast(:moments AS timestamptz[]))"
            " AS n(id, not_before)"
            " WHERE r.store_id = :store AND r.resource = :resource AND r.id = n.id"
        ),
        binds | {"longest": LONGEST_WAIT_SECONDS},
    )


def orphans_of_merges(
    connection: sa.Connection,
    store_id: int,
    resource: str,
    column: str,
    *,
    merged: str,
    among: Sequence[int] | None = None,
) -> list[int]:
    """Live rows of `resource` whose `column` points at a record of `merged` that was combined.

    At any such record, and not waiting to be read already; or at one of `among`.

    Of those that were read since and point at it still, only whose turn it is: the time since the
    merge doubles from one read to the next, up to a day. The API may never say otherwise.
    """
    rows = connection.exec_driver_sql(
        f"SELECT t.id FROM {crm_name(merged)} AS m JOIN {crm_name(resource)} AS t"
        f' ON t.store_id = m.store_id AND t."{column}" = m.id AND t.deleted_at IS NULL'
        " WHERE m.store_id = %s AND m.deleted_reason = 'combined'"
        " AND (now() - m.changed_at >= 2 * (t.as_of - m.changed_at)"
        " OR t.as_of < now() - interval '1 day')"
        " AND CASE WHEN %s::bigint[] IS NOT NULL THEN m.id = ANY(%s::bigint[])"
        " ELSE NOT EXISTS (SELECT FROM sync.reread AS w WHERE w.store_id = t.store_id"
        " AND w.resource = %s AND w.id = t.id) END LIMIT 5000",
        (store_id, among, among, resource),
    )
    return [row[0] for row in rows]


def mark_unlisted(
    connection: sa.Connection, store_id: int, resource: str, ids: Iterable[int]
) -> None:
    """Records that answer by id although no list shows them."""
    for record in sorted(set(ids)):
        connection.execute(
            sa.text(
                "INSERT INTO sync.unlisted (store_id, resource, id) VALUES (:s, :r, :i)"
                " ON CONFLICT DO NOTHING"
            ),
            {"s": store_id, "r": resource, "i": record},
        )


def mark_listed(
    connection: sa.Connection, store_id: int, resource: str, ids: Iterable[int]
) -> list[int]:
    """Records a list shows (again), or that are gone; those that no list showed until now."""
    return list(
        connection.execute(
            sa.text(
                "DELETE FROM sync.unlisted WHERE store_id = :s AND resource = :r"
                " AND id = ANY(:ids) RETURNING id"
            ),
            {"s": store_id, "r": resource, "ids": list(ids)},
        ).scalars()
    )


def absent_since(
    connection: sa.Connection, store_id: int, resource: str, ids: Sequence[int]
) -> dict[int, dt.datetime]:
    """Records that a request lacked before, with the send moment of the first that did."""
    rows = connection.execute(
        sa.text(
            "SELECT id, absent_at FROM sync.reread WHERE store_id = :s AND resource = :r"
            " AND id = ANY(:ids) AND absent_at IS NOT NULL"
        ),
        {"s": store_id, "r": resource, "ids": list(ids)},
    )
    return {row.id: row.absent_at for row in rows}


# The moment up to which all is known of a resource.
_SINCE = (
    "coalesce((SELECT min(f.clear_at) FROM sync.coverage AS c JOIN sync.feed AS f"
    " ON f.store_id = c.store_id AND (f.resource = c.feed OR f.resource = ANY (c.told_by))"
    " WHERE c.store_id = :store AND c.resource = :resource), (SELECT c.complete_as_of"
    " FROM sync.coverage AS c WHERE c.store_id = :store AND c.resource = :resource), now())"
)


def found_absent(
    connection: sa.Connection,
    store_id: int,
    resource: str,
    moments: Mapping[int, dt.datetime],
    lateness_seconds: float,
) -> None:
    """Records that did not come without a word from history: asked for once more after the
    lateness bound, counted from the send moment of the first request that lacked them."""
    if not moments:
        return
    connection.execute(
        sa.text(
            "INSERT INTO sync.reread AS r"
            " (store_id, resource, id, reason, not_before, since, absent_at)"
            " SELECT :store, :resource, n.id, 'absent',"
            f" n.moment + make_interval(secs => :lateness), {_SINCE}, n.moment"
            " FROM unnest(cast(:ids AS bigint[]), cast(:moments AS timestamptz[]))"
            " AS n(id, moment) ORDER BY n.id"
            " ON CONFLICT (store_id, resource, id) DO UPDATE SET asked_at = now(),"
            " absent_at = coalesce(r.absent_at, excluded.absent_at),"
            " not_before = greatest(r.not_before, excluded.not_before),"
            " since = least(r.since, excluded.since)"
        ),
        {
            "store": store_id,
            "resource": resource,
            "ids": list(moments),
            "moments": list(moments.values()),
            "lateness": lateness_seconds,
        },
    )


def failed(
    connection: sa.Connection, store_id: int, resource: str, errors: Mapping[int, str]
) -> None:
    """Records that cannot be had, each with the error it gives: asked for less and less often."""
    if not errors:
        return
    connection.execute(
        sa.text(
            "INSERT INTO sync.reread AS r"
            " (store_id, resource, id, reason, not_before, since, failures, failing_since, error)"
            " SELECT :store, :resource, n.id, 'failing', now() + make_interval(secs => :least),"
            f" {_SINCE}, 1, now(), n.error"
            " FROM unnest(cast(:ids AS bigint[]), cast(:errors AS text[])) AS n(id, error)"
            " ORDER BY n.id"
            " ON CONFLICT (store_id, resource, id) DO UPDATE SET asked_at = now(),"
            " failures = r.failures + 1, failing_since = coalesce(r.failing_since, now()),"
            " error = excluded.error, since = least(r.since, excluded.since),"
            " not_before = greatest(r.not_before, now() + make_interval("
            "secs => least(:most, :least * 2 ^ least(r.failures, 20))))"
        ),
        {
            "store": store_id,
            "resource": resource,
            "ids": list(errors),
            "errors": list(errors.values()),
            "least": FAILING_SECONDS,
            "most": FAILING_MOST_SECONDS,
        },
    )


def came(connection: sa.Connection, store_id: int, resource: str, ids: Iterable[int]) -> None:
    """Records that were had after all, or are known to be gone: what was against them is
    forgotten."""
    connection.execute(
        sa.text(
            "UPDATE sync.reread SET absent_at = NULL, failures = 0, failing_since = NULL,"
            " error = NULL WHERE store_id = :s AND resource = :r AND id = ANY(:ids)"
            " AND (absent_at IS NOT NULL OR failing_since IS NOT NULL)"
        ),
        {"s": store_id, "r": resource, "ids": list(ids)},
    )


def forget_failing(
    connection: sa.Connection,
    store_id: int,
    resource: str,
    *,
    among: Iterable[int] | None = None,
    but: Iterable[int] = (),
) -> None:
    """A pass had every record, or all `among` these, `but` some: none of the others fails any
    more."""
    connection.execute(
        sa.text(
            "DELETE FROM sync.reread WHERE store_id = :s AND resource = :r"
            " AND failing_since IS NOT NULL AND NOT id = ANY(:but)"
            " AND (cast(:among AS bigint[]) IS NULL OR id = ANY(:among))"
        ),
        {
            "s": store_id,
            "r": resource,
            "but": list(but),
            "among": None if among is None else list(among),
        },
    )
