"""Doubts about resources, with their reason and since when: the rows of `sync.doubt`.

Coverage never goes past an open doubt. A deep comparison that began after the doubt was raised
lifts it, window by window. A person may accept one that cannot be resolved. Nothing else ends one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from sync.crawl import WHOLE, Days

Kind = Literal["gap", "restart", "unread", "count", "access", "zone", "operator"]
_OVERLAPS = (
    "coalesce(first_day, '-infinity') <= coalesce(cast(:last AS date), 'infinity')"
    " AND coalesce(last_day, 'infinity') >= coalesce(cast(:first AS date), '-infinity')"
)
_WITHIN = (
    "coalesce(first_day, '-infinity') >= coalesce(cast(:first AS date), '-infinity')"
    " AND coalesce(last_day, 'infinity') <= coalesce(cast(:last AS date), 'infinity')"
)


def sum_of_differences(among: str) -> str:
    """Return SQL for the sum of the differences of some doubts (`among`, about alias `d`).

    Of differences about the same days only one counts, because both may be the same records: the
    one of wider days, or else the later one.
    """
    return (
        "(WITH found AS (SELECT d.id, d.difference, daterange(d.first_day, d.last_day, '[]') AS"
        " days FROM sync.doubt AS d WHERE d.store_id = :store AND d.resource = :resource"
        f" AND d.kind = 'count' AND d.difference IS NOT NULL AND {among})"
        " SELECT coalesce(sum(difference), 0) FROM found AS d WHERE NOT EXISTS"
        " (SELECT FROM found AS o WHERE o.days && d.days"
        " AND (o.days @> d.days, o.id) > (d.days @> o.days, d.id)))"
    )


@dataclass(frozen=True, slots=True)
class Doubt:
    """A row of `sync.doubt`, accepted by a person or not."""

    id: int
    days: Days
    kind: str
    detail: str
    since: dt.datetime
    raised_at: dt.datetime
    difference: int | None
    is_accepted: bool


def raise_doubt(
    connection: sa.Connection,
    store_id: int,
    resource: str,
    *,
    kind: Kind,
    detail: str,
    days: Days = WHOLE,
    since: dt.datetime | None = None,
    difference: int | None = None,
) -> None:
    """Note that some days of a resource may be wrong since a moment.

    The default of `since` is the last proof of the resource; where there is none, the beginning of
    its first load, because a row read since then may be wrong already; or now. A doubt of the same
    kind about the same days is raised anew: it keeps the older `since`, and earlier comparisons no
    longer lift it. A doubt accepted with the same difference is left as it is. One
    without a first day begins where the store does (`store add --since`): no comparison reaches
    further back.
    """
    connection.execute(
        sa.text(
            "WITH wanted AS (SELECT coalesce(cast(:since AS timestamptz), (SELECT proven_as_of"
            " FROM sync.coverage WHERE store_id = :store AND resource = :resource),"
            " (SELECT min(started_at) FROM sync.crawl WHERE store_id = :store"
            " AND resource = :resource AND kind = 'load'), now()) AS since,"
            " coalesce(cast(:first AS date), (SELECT since FROM sync.store"
            " WHERE id = :store)) AS first), same AS (SELECT id FROM sync.doubt, wanted AS w"
            " WHERE store_id = :store AND resource = :resource"
            " AND kind = :kind AND first_day IS NOT DISTINCT FROM w.first"
            " AND last_day IS NOT DISTINCT FROM cast(:last AS date)"
            " AND (accepted_at IS NULL OR difference IS NOT DISTINCT FROM cast(:difference AS"
            " bigint))), again AS (UPDATE sync.doubt AS d SET raised_at = now(),"
            " since = least(d.since, w.since), detail = :detail,"
            " difference = cast(:difference AS bigint)"
            " FROM same, wanted AS w WHERE d.id = same.id AND d.accepted_at IS NULL)"
            " INSERT INTO sync.doubt (store_id, resource, first_day, last_day, kind, detail, since,"
            " difference) SELECT :store, :resource, w.first, cast(:last AS date),"
            " :kind, :detail, w.since, cast(:difference AS bigint) FROM wanted AS w"
            " WHERE NOT EXISTS (SELECT FROM same)"
        ),
        _of(store_id, resource, days)
        | {"kind": kind, "detail": detail[:500], "since": since, "difference": difference},
    )


def open_doubts(connection: sa.Connection, store_id: int, resource: str) -> list[Doubt]:
    """Return the doubts about a resource that nobody has accepted, the oldest first."""
    return _read(connection, store_id, resource, "accepted_at IS NULL")


def accepted(connection: sa.Connection, store_id: int, resource: str) -> list[Doubt]:
    """Return the doubts about a resource that a person has accepted."""
    return _read(connection, store_id, resource, "accepted_at IS NOT NULL")


def _read(connection: sa.Connection, store_id: int, resource: str, which: str) -> list[Doubt]:
    rows = connection.execute(
        sa.text(
            "SELECT id, first_day, last_day, kind, detail, since, raised_at, difference,"
            " accepted_at IS NOT NULL AS is_accepted FROM sync.doubt"
            f" WHERE store_id = :store AND resource = :resource AND {which} ORDER BY id"
        ),
        {"store": store_id, "resource": resource},
    )
    return [
        Doubt(
            row.id,
            Days(row.first_day, row.last_day),
            row.kind,
            row.detail,
            row.since,
            row.raised_at,
            row.difference,
            row.is_accepted,
        )
        for row in rows
    ]


def divide(
    connection: sa.Connection, store_id: int, resource: str, windows: Sequence[Days]
) -> None:
    """Cut open doubts along the windows of a crawl, so that each can be lifted with its window.

    The windows cover a run of days without a gap; a doubt that reaches beyond it stays whole. The
    parts have no difference, because nobody knows how it is spread over them.
    """
    if len(windows) < 2:
        return
    for doubt in open_doubts(connection, store_id, resource):
        parts = [part for days in windows if (part := doubt.days.within(days)) is not None]
        firsts, lasts = {part.first for part in parts}, {part.last for part in parts}
        if len(parts) < 2 or doubt.days.first not in firsts or doubt.days.last not in lasts:
            continue  # the doubt reaches beyond the days of the crawl
        connection.execute(
            sa.text(
                "INSERT INTO sync.doubt (store_id, resource, first_day, last_day, kind, detail,"
                " since, raised_at, difference) SELECT store_id, resource, n.first, n.last, kind,"
                " detail, since, raised_at, NULL FROM sync.doubt, unnest("
                " cast(:firsts AS date[]), cast(:lasts AS date[])) AS n(first, last)"
                " WHERE id = :id"
            ),
            {
                "id": doubt.id,
                "firsts": [part.first for part in parts],
                "lasts": [part.last for part in parts],
            },
        )
        connection.execute(sa.text("DELETE FROM sync.doubt WHERE id = :id"), {"id": doubt.id})


def lift(
    connection: sa.Connection,
    store_id: int,
    resource: str,
    days: Days,
    *,
    compared_from: dt.datetime,
    lateness_seconds: float,
) -> int:
    """Delete the doubts about some days that were raised before a deep comparison of them began.

    It began later by the lateness bound, because a lagging list shows records as they were before
    what raised the doubt; a difference of counts is settled by the count itself. Accepted doubts
    are deleted too, because the days were found correct. An accepted difference of counts stays,
    because the window was proven with it. Returns how many.
    """
    return connection.execute(
        sa.text(
            "DELETE FROM sync.doubt WHERE store_id = :store AND resource = :resource"
            f" AND {_WITHIN} AND (accepted_at IS NULL OR kind <> 'count') AND raised_at"
            " < :compared - make_interval(secs => CASE kind WHEN 'count' THEN 0 ELSE :bound END)"
        ),
        _of(store_id, resource, days) | {"compared": compared_from, "bound": lateness_seconds},
    ).rowcount


def accept(
    connection: sa.Connection, store_id: int, resource: str, ids: Iterable[int], *, by: str,
    because: str,
) -> int:  # fmt: skip
    """Accept doubts: coverage goes on without them, and analysts see them. Return how many.

    An earlier accepted doubt of the same kind about the same days is replaced.
    """
    binds = {"store": store_id, "resource": resource, "ids": list(ids), "by": by}
    connection.execute(
        sa.text(
            "DELETE FROM sync.doubt AS o USING sync.doubt AS n WHERE n.id = ANY(:ids)"
            " AND n.store_id = :store AND n.resource = :resource AND n.accepted_at IS NULL"
            " AND o.store_id = n.store_id AND o.resource = n.resource AND o.kind = n.kind"
            " AND o.first_day IS NOT DISTINCT FROM n.first_day"
            " AND o.last_day IS NOT DISTINCT FROM n.last_day AND o.accepted_at IS NOT NULL"
        ),
        binds,
    )
    return connection.execute(
        sa.text(
            "UPDATE sync.doubt SET accepted_at = now(), accepted_by = :by,"
            " accepted_because = :because WHERE store_id = :store AND resource = :resource"
            " AND id = ANY(:ids) AND accepted_at IS NULL"
        ),
        binds | {"because": because},
    ).rowcount


def accept_records(
    connection: sa.Connection,
    store_id: int,
    resource: str,
    errors: Mapping[int, str],
    *,
    by: str,
    because: str,
) -> int:
    """Accept records that cannot be read, each with its error; return how many."""
    return connection.execute(
        sa.text(
            "INSERT INTO sync.doubt (store_id, resource, record, kind, detail, since, accepted_at,"
            " accepted_by, accepted_because) SELECT :store, :resource, n.id, 'operator',"
            " 'record ' || n.id || ' cannot be had: ' || n.error, now(), now(), :by, :because"
            " FROM unnest(cast(:ids AS bigint[]), cast(:errors AS text[])) AS n(id, error)"
        ),
        {
            "store": store_id,
            "resource": resource,
            "ids": list(errors),
            "errors": list(errors.values()),
            "by": by,
            "because": because,
        },
    ).rowcount


def forget_records(
    connection: sa.Connection, store_id: int, resource: str, ids: Iterable[int]
) -> None:
    """Delete accepted doubts about records that came after all, or are gone."""
    connection.execute(
        sa.text(
            "DELETE FROM sync.doubt WHERE store_id = :store AND resource = :resource"
            " AND record = ANY(:ids)"
        ),
        {"store": store_id, "resource": resource, "ids": list(ids)},
    )


def forget_accepted(connection: sa.Connection, store_id: int, resource: str, days: Days) -> None:
    """Delete the accepted differences of some days, because the total agrees without them."""
    connection.execute(
        sa.text(
            "DELETE FROM sync.doubt WHERE store_id = :store AND resource = :resource"
            f" AND kind = 'count' AND accepted_at IS NOT NULL AND {_WITHIN}"
        ),
        _of(store_id, resource, days),
    )


def accepted_difference(connection: sa.Connection, store_id: int, resource: str, days: Days) -> int:
    """Return by how many the API's total of some days may exceed the rows here, as was accepted.

    Differences of days that lie within the given ones are added up (`sum_of_differences`); a
    difference of wider days says nothing of their parts.
    """
    found: int = connection.execute(
        sa.text(f"SELECT {sum_of_differences(f'accepted_at IS NOT NULL AND {_WITHIN}')}"),
        _of(store_id, resource, days),
    ).scalar_one()
    return int(found)


def accepted_days(connection: sa.Connection, store_id: int, resource: str) -> list[Days]:
    """Return the days of the differences of counts that a person accepted."""
    return [
        doubt.days
        for doubt in accepted(connection, store_id, resource)
        if doubt.kind == "count" and doubt.difference
    ]


def is_left_about(connection: sa.Connection, store_id: int, resource: str, days: Days) -> bool:
    """Tell whether a doubt within some days is open that only a later comparison can lift.

    A difference of counts is settled by the crawl that found it.
    """
    return bool(
        connection.execute(
            sa.text(
                "SELECT EXISTS (SELECT FROM sync.doubt WHERE store_id = :store AND kind <> 'count'"
                f" AND resource = :resource AND accepted_at IS NULL AND {_WITHIN})"
            ),
            _of(store_id, resource, days),
        ).scalar_one()
    )


def is_open_about(
    connection: sa.Connection,
    store_id: int,
    resource: str,
    days: Days,
    *,
    raised_after: dt.datetime | None = None,
) -> bool:
    """Tell whether a doubt about some days is open that was raised at a moment or later."""
    return bool(
        connection.execute(
            sa.text(
                "SELECT EXISTS (SELECT FROM sync.doubt WHERE store_id = :store"
                f" AND resource = :resource AND accepted_at IS NULL AND {_OVERLAPS}"
                " AND raised_at >= coalesce(cast(:after AS timestamptz), '-infinity'))"
            ),
            _of(store_id, resource, days) | {"after": raised_after},
        ).scalar_one()
    )


def _of(store_id: int, resource: str, days: Days) -> dict[str, object]:
    return {"store": store_id, "resource": resource, "first": days.first, "last": days.last}
