"""Records waiting to be read again by id: rows of `sync.reread`, here called rereads.

A reread says since when its record may be wrong (`since`), and holds coverage there. The record is
read for the last time at `not_before`, when every list shows the change. It may be read before, at
`early_at`, so that a change that lists show sooner is here sooner.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from sync.database.identifiers import crm_name
from sync.state import feeds

CONTESTED = "contested"
"""The reason of a record that a history says is gone while a list shows it. The record is read
repeatedly until its last time."""
SAMPLED = "sampled"
"""The reason of a record that differed in a sample, and of which no entry has told yet. Any other
reason for a reread, but a nudge, explains the difference and replaces this one."""
NUDGED = "nudged"
"""The reason of a record that a nudge named. It explains nothing, and replaces no other reason."""
HOLDS_NOTHING: Literal["infinity"] = "infinity"
"""The `since` of a reread that does not hold coverage."""
CONTESTED_SECONDS = 10.0
FAILING_SECONDS = 15.0
MOST_FAILING_SECONDS = 3_600.0
"""The longest interval between requests of a record that cannot be read. The first is
FAILING_SECONDS; each is twice as long as the one before."""
# The moment up to which a resource is known, apart from doubts and other rereads. A history that
# was never read to its end may tell of any change since the store was added.
_CLAIM = (
    "coalesce((SELECT min(coalesce(f.clear_at, s.created_at)) FROM sync.coverage AS c"
    " JOIN sync.store AS s ON s.id = c.store_id JOIN sync.coverage AS d ON d.store_id = c.store_id"
    " AND (d.resource = c.feed OR d.resource = ANY (c.told_by))"
    " LEFT JOIN sync.feed AS f ON f.store_id = d.store_id AND f.resource = d.resource"
    " WHERE c.store_id = :store AND c.resource = :resource"
    " AND (f.clear_at IS NOT NULL OR d.selected AND d.unavailable IS NULL)), (SELECT"
    " c.complete_as_of FROM sync.coverage AS c WHERE c.store_id = :store"
    " AND c.resource = :resource), now())"
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A record that is due to be read. `is_last`: it need not be read again after this."""

    not_before: dt.datetime
    reason: str
    is_last: bool


def ask_again(
    connection: sa.Connection,
    store_id: int,
    resource: str,
    ids: Iterable[int],
    *,
    reason: str,
    after_bound: bool = False,
    after_seconds: float = 0,
    early_seconds: float | None = None,
    since: dt.datetime | Literal["infinity"] | None = None,
) -> None:
    """Queue records to be read in `after_seconds`, and once before, in `early_seconds`.

    `after_bound`: not before the lateness bound is over, when every list shows what has changed.
    The records may be wrong since `since`; without it, since the moment the resource is complete as
    of. A record that waits already gets the later time, and holds coverage at the older moment.
    """
    ordered = sorted(set(ids))
    if not ordered:
        return
    connection.execute(
        sa.text(
            "INSERT INTO sync.reread AS r (store_id, resource, id, reason, not_before, early_at,"
            " since) SELECT :store, :resource, n.id, :reason,"
            " now() + make_interval(secs => greatest(cast(:after AS float8),"
            f" CASE WHEN :bound THEN {feeds.BOUND} END)), now() + make_interval(secs => :early),"
            f" coalesce(cast(:since AS timestamptz), {_CLAIM})"
            " FROM unnest(cast(:ids AS bigint[])) AS n(id)"
            " ON CONFLICT (store_id, resource, id) DO UPDATE"
            " SET not_before = greatest(r.not_before, excluded.not_before),"
            " early_at = least(r.early_at, excluded.early_at),"
            " since = least(r.since, excluded.since), reason = CASE WHEN r.reason = :contested"
            " OR excluded.reason = :nudged THEN r.reason ELSE excluded.reason END"
        ),
        {
            "store": store_id,
            "resource": resource,
            "ids": ordered,
            "reason": reason,
            "bound": after_bound,
            "after": after_seconds,
            "early": early_seconds,
            "since": since,
            "contested": CONTESTED,
            "nudged": NUDGED,
        },
    )


def due(
    connection: sa.Connection, store_id: int, resource: str, *, at_most: int = 100
) -> dict[int, Waiting]:
    """Return the records to read now; one that failed when requested alone is requested alone
    again."""
    rows = connection.execute(
        sa.text(
            "SELECT id, not_before, reason, not_before <= now() AS is_last, failures"
            " FROM sync.reread WHERE store_id = :store AND resource = :resource"
            " AND (not_before <= now() OR early_at <= now())"
            " ORDER BY failures, asked_at, id LIMIT :most"
        ),
        {"store": store_id, "resource": resource, "most": at_most},
    ).all()
    healthy = [row for row in rows if not row.failures] or rows[:1]
    return {row.id: Waiting(row.not_before, row.reason, row.is_last) for row in healthy}


def tick_off(
    connection: sa.Connection,
    store_id: int,
    resource: str,
    done: Mapping[int, Waiting],
    *,
    read_at: dt.datetime,
) -> None:
    """Delete the rereads whose last read was a request sent at `read_at`.

    A record that is to be read again may be wrong only about what lists did not show then: its
    `since` moves to the lateness bound before. A record queued again meanwhile stays.
    """
    binds = {
        "store": store_id,
        "resource": resource,
        "ids": list(done),
        "moments": [each.not_before for each in done.values()],
        "read": read_at,
    }
    matches = (
        " FROM unnest(cast(:ids AS bigint[]), cast(:moments AS timestamptz[]))"
        " AS n(id, not_before) WHERE r.store_id = :store AND r.resource = :resource"
        " AND r.id = n.id"
    )
    connection.execute(
        sa.text(
            "DELETE FROM sync.reread AS r USING"
            + matches.removeprefix(" FROM")
            + " AND r.not_before = n.not_before AND r.not_before <= :read"
        ),
        binds,
    )
    connection.execute(
        sa.text(
            "UPDATE sync.reread AS r SET early_at = CASE WHEN r.reason = :contested"
            " THEN now() + make_interval(secs => :soon)"
            " WHEN r.early_at > :read THEN r.early_at END,"
            " since = greatest(r.since, cast(:read AS timestamptz)"
            f" - make_interval(secs => {feeds.BOUND})), failures = 0, failing_since = NULL,"
            " error = NULL" + matches
        ),
        binds | {"contested": CONTESTED, "soon": CONTESTED_SECONDS},
    )


def read_meanwhile(
    connection: sa.Connection,
    store_id: int,
    resource: str,
    ids: Sequence[int],
    *,
    read_at: dt.datetime,
) -> None:
    """Move `since` of waiting records that a request sent at `read_at` read for another reason.

    They are read once more when they are due, but hold coverage only for what lists need not have
    shown then. So a record that changes all the time does not hold it for ever.
    """
    connection.execute(
        sa.text(
            "UPDATE sync.reread SET since = n.since"
            f" FROM (SELECT cast(:read AS timestamptz) - make_interval(secs => {feeds.BOUND})"
            " AS since) AS n WHERE store_id = :store AND resource = :resource"
            " AND id = ANY(:ids) AND reread.since < n.since"
        ),
        {
            "store": store_id,
            "resource": resource,
            "ids": sorted(ids),
            "read": read_at,
        },
    )


def found_absent(
    connection: sa.Connection,
    store_id: int,
    resource: str,
    moments: Mapping[int, dt.datetime],
) -> None:
    """Queue records that an answer lacked without a word from history, for one more request after
    the lateness bound, counted from the send moment of the first request that lacked them."""
    if not moments:
        return
    connection.execute(
        sa.text(
            "INSERT INTO sync.reread AS r"
            " (store_id, resource, id, reason, not_before, since, absent_at)"
            " SELECT :store, :resource, n.id, 'absent',"
            f" n.moment + make_interval(secs => {feeds.BOUND}), {_CLAIM}, n.moment"
            " FROM unnest(cast(:ids AS bigint[]), cast(:moments AS timestamptz[]))"
            " AS n(id, moment) ORDER BY n.id"
            " ON CONFLICT (store_id, resource, id) DO UPDATE SET asked_at = now(), early_at = NULL,"
            " absent_at = coalesce(r.absent_at, excluded.absent_at),"
            " not_before = greatest(r.not_before, excluded.not_before),"
            " since = least(r.since, excluded.since)"
        ),
        {
            "store": store_id,
            "resource": resource,
            "ids": list(moments),
            "moments": list(moments.values()),
        },
    )


def failed(
    connection: sa.Connection, store_id: int, resource: str, errors: Mapping[int, str]
) -> None:
    """Queue records that cannot be read, each with its error, for requests less and less often.

    A record that a person accepted (`accept_failing`) is queued too, and holds nothing back until
    it has come once.
    """
    if not errors:
        return
    connection.execute(
        sa.text(
            "INSERT INTO sync.reread AS r"
            " (store_id, resource, id, reason, not_before, since, failures, failing_since, error)"
            " SELECT :store, :resource, n.id, 'failing', now() + make_interval(secs => :least),"
            f" {_CLAIM}, 1, now(), n.error"
            " FROM unnest(cast(:ids AS bigint[]), cast(:errors AS text[])) AS n(id, error)"
            " ORDER BY n.id"
            " ON CONFLICT (store_id, resource, id) DO UPDATE SET asked_at = now(), early_at = NULL,"
            " failures = r.failures + 1, failing_since = CASE WHEN isfinite(r.since)"
            " OR r.failures = 0 THEN coalesce(r.failing_since, now()) END, error = excluded.error,"
            " since = CASE WHEN isfinite(r.since) OR r.failures = 0"
            " THEN least(r.since, excluded.since) ELSE r.since END,"
            " not_before = greatest(r.not_before, now() + make_interval("
            "secs => least(:most, :least * 2 ^ least(r.failures, 20))))"
        ),
        {
            "store": store_id,
            "resource": resource,
            "ids": list(errors),
            "errors": list(errors.values()),
            "least": FAILING_SECONDS,
            "most": MOST_FAILING_SECONDS,
        },
    )


def are_unread(
    connection: sa.Connection, store_id: int, resource: str, ids: Iterable[int]
) -> dict[int, bool]:
    """Return those of the records that wait to be read, each with whether it was never asked for
    in vain."""
    rows = connection.execute(
        sa.text(
            "SELECT id, failures = 0 AND absent_at IS NULL AS is_unread FROM sync.reread"
            " WHERE store_id = :s AND resource = :r AND id = ANY(:ids)"
        ),
        {"s": store_id, "r": resource, "ids": sorted(ids)},
    )
    return {row.id: row.is_unread for row in rows}


def failing(connection: sa.Connection, store_id: int, resource: str) -> dict[int, str]:
    """Return the records that cannot be read and that nobody has accepted, with their errors."""
    rows = connection.execute(
        sa.text(
            "SELECT id, error FROM sync.reread WHERE store_id = :s AND resource = :r"
            " AND failing_since IS NOT NULL ORDER BY id"
        ),
        {"s": store_id, "r": resource},
    )
    return {row.id: row.error or "" for row in rows}


def accept_failing(
    connection: sa.Connection, store_id: int, resource: str, ids: Iterable[int]
) -> None:
    """Let records that cannot be read no longer hold coverage."""
    connection.execute(
        sa.text(
            "UPDATE sync.reread SET since = 'infinity', failing_since = NULL"
            " WHERE store_id = :s AND resource = :r AND id = ANY(:ids)"
        ),
        {"s": store_id, "r": resource, "ids": list(ids)},
    )


def came(connection: sa.Connection, store_id: int, resource: str, ids: Iterable[int]) -> None:
    """Forget absence and failures of records that came after all or are known to be gone."""
    connection.execute(
        sa.text(
            "UPDATE sync.reread SET absent_at = NULL, failures = 0, failing_since = NULL,"
            " error = NULL WHERE store_id = :s AND resource = :r AND id = ANY(:ids)"
            " AND (absent_at IS NOT NULL OR failures > 0)"
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
    """Delete failing rereads after a pass that read every record, or all `among` some, save
    `but`."""
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


def ask_for_orphans(
    connection: sa.Connection,
    store_id: int,
    resource: str,
    column: str,
    *,
    merged: str,
    keys: Sequence[int] | None = None,
    into_others: Sequence[int] | None = None,
) -> None:
    """Queue live rows that point, by a column, at a record that was combined into another.

    Either those of the rows `keys`: the page that brought them may have been fetched before the
    merge, or the CRM may not have moved them yet. The time since the merge doubles from one read to
    the next, up to a day. After some minutes the rows no longer hold coverage, because the API may
    never say otherwise. Or all that point at the records `into_others`, which have just been
    combined: they are read at once too.
    """
    claim, bound = (
        text.replace(":store", "%(store)s").replace(":resource", "%(resource)s")
        for text in (_CLAIM, feeds.BOUND)
    )
    connection.exec_driver_sql(
        "INSERT INTO sync.reread AS r (store_id, resource, id, reason, not_before, early_at, since)"
        " SELECT DISTINCT ON (t.id) %(store)s, %(resource)s, t.id, 'combined', now()"
        f" + make_interval(secs => greatest({bound}, least(%(most)s, extract(epoch FROM now()"
        " - m.changed_at)))), now() + make_interval(secs => %(early)s::float8),"
        " CASE WHEN now() - m.changed_at < make_interval(secs => 10"
        f" * {bound}) THEN {claim} ELSE 'infinity' END"
        f" FROM {crm_name(merged)} AS m JOIN {crm_name(resource)} AS t"
        f' ON t.store_id = m.store_id AND t."{column}" = m.id AND t.deleted_at IS NULL'
        " WHERE m.store_id = %(store)s AND m.deleted_reason = 'combined'"
        f" AND {'m' if keys is None else 't'}.id = ANY(%(ids)s) ORDER BY t.id"
        " ON CONFLICT (store_id, resource, id) DO UPDATE"
        " SET not_before = greatest(r.not_before, excluded.not_before),"
        " since = least(r.since, excluded.since)",
        {
            "store": store_id,
            "resource": resource,
            "ids": into_others if keys is None else keys,
            "early": 0 if keys is None else None,
            "most": 0 if keys is None else 86_400,
        },
    )


def absent_since(
    connection: sa.Connection, store_id: int, resource: str, ids: Sequence[int]
) -> dict[int, dt.datetime]:
    """Return records that a request lacked before, with the send moment of the first that did."""
    rows = connection.execute(
        sa.text(
            "SELECT id, absent_at FROM sync.reread WHERE store_id = :s AND resource = :r"
            " AND id = ANY(:ids) AND absent_at IS NOT NULL"
        ),
        {"s": store_id, "r": resource, "ids": list(ids)},
    )
    return {row.id: row.absent_at for row in rows}


def mark_unlisted(
    connection: sa.Connection, store_id: int, resource: str, ids: Collection[int]
) -> None:
    """Note records that answer by id although no list shows them."""
    if not ids:
        return
    connection.execute(
        sa.text(
            "INSERT INTO sync.unlisted (store_id, resource, id)"
            " SELECT :s, :r, n.id FROM unnest(cast(:ids AS bigint[])) AS n(id)"
            " ON CONFLICT DO NOTHING"
        ),
        {"s": store_id, "r": resource, "ids": sorted(set(ids))},
    )


def mark_listed(
    connection: sa.Connection, store_id: int, resource: str, ids: Iterable[int]
) -> list[int]:
    """Unmark records that a list shows, or that are gone; return those that were unlisted."""
    return list(
        connection.execute(
            sa.text(
                "DELETE FROM sync.unlisted WHERE store_id = :s AND resource = :r"
                " AND id = ANY(:ids) RETURNING id"
            ),
            {"s": store_id, "r": resource, "ids": list(ids)},
        ).scalars()
    )
