"""Coverage of each resource of a store: what is proven, and the counts that prove it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from sync.crawl import Days
from sync.database.identifiers import crm_name
from sync.declare import Resource
from sync.deletion import HALF_COUNTS_FROM, is_too_many
from sync.records.loaded import Loaded, Source
from sync.state import doubts
from sync.state.declared import DECLARED
from sync.telemetry import counted

MIXED = "mixed"
"""The version of a resource whose rows were made by several declarations: by workers of two
releases side by side, or by a new release before its rebuild. It equals no release's version, so
each release has the rows rebuilt."""


def _update(
    connection: sa.Connection,
    store_id: int,
    resource: str,
    change: str,
    *,
    where: str = "true",
    **binds: object,
) -> None:
    """Change the row of a resource: `change` is SQL after SET, with its binds."""
    connection.execute(
        sa.text(
            f"UPDATE sync.coverage AS c SET {change}"
            f" WHERE store_id = :store AND resource = :resource AND {where}"
        ),
        {"store": store_id, "resource": resource, **binds},
    )


def count_live(
    connection: sa.Connection,
    resource: Resource,
    store_id: int,
    days: Days,
    *,
    found_before: dt.datetime,
    shown: Collection[int] = (),
    sites: Sequence[str] | None,
) -> tuple[int, int]:
    """Count a window's live rows: those found before a moment or `shown` then, and all others.

    Rows are counted by their local creation day as sent, which is what the API's filter compares.
    Records that no list shows (`sync.unlisted`) are left out, because the API does not count them
    either, unless this answer does. When they are more than half of many rows, the list is not
    believed, and they count.
    """
    where = "t.store_id = %(store)s AND t.deleted_at IS NULL"
    binds: dict[str, object] = {"store": store_id, "before": found_before, "shown": list(shown)}
    found = "t.listed_at" if resource.is_followed else "t.as_of"
    before = f"({found} < %(before)s OR t.id = ANY(%(shown)s::bigint[]))"
    if resource.created_field:
        if days.first is not None:
            where += " AND t.created_on >= %(first)s"
            binds["first"] = days.first
        if days.last is not None:
            where += " AND t.created_on <= %(last)s"
            binds["last"] = days.last
    if sites is not None and resource.has_site:
        where += " AND t.site = ANY(%(sites)s)"
        binds["sites"] = list(sites)
    row = connection.exec_driver_sql(
        f"SELECT count(*) FILTER (WHERE {before}), count(*) FILTER (WHERE NOT ({before}))"
        f" FROM {crm_name(resource.name)} AS t WHERE {where}",
        binds,
    ).one()
    if not resource.is_followed:
        return row[0], row[1]
    hidden = connection.exec_driver_sql(
        f"SELECT count(*) FILTER (WHERE {before}), count(*) FILTER (WHERE NOT ({before}))"
        f" FROM sync.unlisted AS u JOIN {crm_name(resource.name)} AS t"
        " ON t.store_id = u.store_id AND t.id = u.id"
        f" WHERE u.resource = '{resource.name}' AND {where}"
        " AND u.id <> ALL(%(shown)s::bigint[])",
        binds,
    ).one()
    if is_too_many(hidden[0] + hidden[1], of=row[0] + row[1]):
        return row[0], row[1]
    return row[0] - hidden[0], row[1] - hidden[1]


def add_loaded(
    connection: sa.Connection,
    resource: Resource,
    store_id: int,
    loaded: Loaded,
    *,
    source: Source,
) -> None:
    """Add the counts of rows just written to coverage, in the transaction of the rows.

    `expected`, the API's own total, moves with the records that a list showed or a history reported
    since. It does not move with what a walk finds, which was there before, nor with what was
    concluded here (`Loaded.concluded`), so that the two numbers can disagree. Rows made by another
    declaration than the rest set the version to MIXED, so that all are rebuilt.
    """
    delta = loaded.live_delta
    expected = delta + loaded.concluded if source is Source.NEWS else 0
    written = loaded.written + loaded.deleted
    counted(rows=loaded.seen, changed=written)
    if not (delta or expected or loaded.refused or written):
        return
    connection.execute(
        sa.text(
            "UPDATE sync.coverage SET mirrored = mirrored + :delta,"
            " expected = expected + :expected, refused_writes = refused_writes + :refused,"
            " rows_written = rows_written + :written,"
            " version = CASE WHEN :written = 0 OR version = :version THEN version"
            f" ELSE '{MIXED}' END"
            " WHERE store_id = :store AND resource = :resource"
        ),
        {
            "store": store_id,
            "resource": resource.name,
            "delta": delta,
            "expected": expected,
            "refused": len(loaded.refused),
            "written": written,
            "version": resource.version,
        },
    )


def lock(connection: sa.Connection, store_id: int, resource: str) -> None:
    """Let nobody else lock or change the row of a resource until the transaction ends.

    The next statement sees what those wrote whom this one waited for. A count inside the UPDATE
    that waits is of the moment before the wait, and would miss them.
    """
    connection.execute(
        sa.text(
            "SELECT FROM sync.coverage WHERE store_id = :store AND resource = :resource"
            " FOR NO KEY UPDATE"
        ),
        {"store": store_id, "resource": resource},
    )


def expect_unknown(connection: sa.Connection, store_id: int, resource: str) -> None:
    """Forget the total: a load begins, and its first page will tell it."""
    _update(connection, store_id, resource, "expected = NULL")


def expect_more(connection: sa.Connection, store_id: int, resource: str, *, total: int) -> None:
    """Add a total that the API gave for a part of a list, before it is proven."""
    _update(
        connection,
        store_id,
        resource,
        "expected = coalesce(expected, 0) + :total, unavailable = NULL",
        total=total,
    )


_REJECTS = "(SELECT count(*) FROM sync.reject WHERE store_id = :store AND resource = :resource)"


def _count_all(resource: Resource) -> str:
    return (
        f"(SELECT count(*) FROM {crm_name(resource.name)}"
        " WHERE store_id = :store AND deleted_at IS NULL)"
    )


def _unlisted(resource: Resource) -> str:
    if not resource.is_followed:
        return "0"
    return (
        f"(SELECT count(*) FROM sync.unlisted AS u JOIN {crm_name(resource.name)} AS t"
        " ON t.store_id = u.store_id AND t.id = u.id AND t.deleted_at IS NULL"
        f" WHERE u.store_id = :store AND u.resource = '{resource.name}')"
    )


def mark_proven(
    connection: sa.Connection,
    resource: Resource,
    store_id: int,
    *,
    as_of: dt.datetime,
    by_ids: bool = False,
) -> None:
    """Mark the whole resource proven and sealed as of `as_of`, and correct the running counts.

    Zone and version of the rows stay as they are: only a rebuild has read all rows.
    """
    set_counts(connection, resource, store_id)
    _update(
        connection,
        store_id,
        resource.name,
        "proven_as_of = :as_of, proven_at = now(), unavailable = NULL,"
        " ids_checked_at = CASE WHEN :by_ids THEN now() ELSE ids_checked_at END",
        as_of=as_of,
        by_ids=by_ids,
    )


def set_counts(connection: sa.Connection, resource: Resource, store_id: int) -> None:
    """Count the rows, and set `expected` by the difference between the API's totals and the rows.

    The totals were given earlier, in the brackets in which their windows were counted. The
    difference found there stays true while records come and go: it is zero, in doubt, or accepted.
    Records that no list shows are not in the totals, as in `count_live`.
    """
    lock(connection, store_id, resource.name)
    connection.execute(
        sa.text(
            f"UPDATE sync.coverage SET mirrored = n.rows,"
            # Unlisted rows count when they are more than half: then the list is not believed.
            f" expected = n.rows + n.difference - CASE WHEN n.rows >= {HALF_COUNTS_FROM}"
            f" AND n.unlisted * 2 > n.rows THEN 0 ELSE n.unlisted END, rejects = {_REJECTS} FROM"
            f" (SELECT {_count_all(resource)} AS rows, {_unlisted(resource)} AS unlisted,"
            f" {doubts.sum_of_differences('true')} AS difference) AS n"
            " WHERE store_id = :store AND resource = :resource"
        ),
        {"store": store_id, "resource": resource.name},
    )


def mark_pass_complete(
    connection: sa.Connection,
    resource: Resource,
    store_id: int,
    *,
    complete_as_of: dt.datetime,
) -> None:
    """Mark a resource without a feed complete as of the first request of its pass."""
    lock(connection, store_id, resource.name)
    _update(
        connection,
        store_id,
        resource.name,
        f"complete_as_of = :as_of, proven_at = now(), mirrored = {_count_all(resource)},"
        f" expected = {_count_all(resource)}, rejects = {_REJECTS}, unavailable = NULL,"
        " approval = NULL, approved = false, ids_checked_at = now()",
        as_of=complete_as_of,
    )


def set_filter(connection: sa.Connection, store_id: int, resource: str, *, works: bool) -> None:
    """Note whether the creation day filters narrow the list.

    A change forgets the turns compared: without filters, months cannot be compared one by one.
    """
    _update(
        connection,
        store_id,
        resource,
        "date_filter = :works, ids_checked = NULL",
        where="coalesce(date_filter, true) IS DISTINCT FROM :works",
        works=works,
    )


def set_unavailable(
    connection: sa.Connection, store_id: int, resource: str, *, reason: str
) -> None:
    """Note why the API does not give this resource to this key or account; nothing is deleted."""
    _update(connection, store_id, resource, "unavailable = :reason", reason=reason[:1_000])


def begin_rebuild(connection: sa.Connection, resource: Resource, store_id: int) -> None:
    """Set the version of this declaration before a rebuild, so that other writers are noticed.

    A worker that writes by another declaration turns it into MIXED. Set after the rebuild, it would
    hide such rows. Meanwhile the resource is not complete.
    """
    _set_version(connection, resource, store_id, to=resource.version)


def carry_on_rebuild(connection: sa.Connection, resource: Resource, store_id: int) -> None:
    """Replace another version by MIXED: a part of the rows are made by this declaration now."""
    _set_version(connection, resource, store_id, to=MIXED)


def end_rebuild(connection: sa.Connection, resource: Resource, store_id: int, *, zone: str) -> None:
    """Note the zone in which all rows are now read, and count the rejects anew."""
    _update(connection, store_id, resource.name, f"zone = :zone, rejects = {_REJECTS}", zone=zone)


def _set_version(connection: sa.Connection, resource: Resource, store_id: int, *, to: str) -> None:
    _update(
        connection,
        store_id,
        resource.name,
        "version = :to",
        where="version IS DISTINCT FROM :version",
        to=to,
        version=resource.version,
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """Facts about a resource of a store.

    `unavailable`: why the API does not give it. `is_approved`: the next pass may delete what it
    finds absent. `filters_work`: the creation day filters narrow the list, None for not known.
    `proven_as_of`: as of when the whole is proven and sealed. `complete_as_of` is the first request
    of the last pass over a list without a feed; `polled_as_of` that of the last poll of changes.
    """

    is_selected: bool = False
    unavailable: str | None = None
    is_approved: bool = False
    filters_work: bool | None = None
    proven_as_of: dt.datetime | None = None
    complete_as_of: dt.datetime | None = None
    polled_as_of: dt.datetime | None = None


def standing(connection: sa.Connection, store_id: int, resource: str) -> Standing:
    """Return the facts about a resource; of one that is not registered, none."""
    row = connection.execute(
        sa.text(
            "SELECT selected, unavailable, approved, date_filter, proven_as_of, complete_as_of,"
            " polled_as_of FROM sync.coverage WHERE store_id = :store AND resource = :resource"
        ),
        {"store": store_id, "resource": resource},
    ).one_or_none()
    return Standing() if row is None else Standing(*row)


def set_polled_as_of(
    connection: sa.Connection, store_id: int, resource: str, *, as_of: dt.datetime
) -> None:
    """Note that a poll was read to its end."""
    _update(
        connection, store_id, resource, "polled_as_of = greatest(polled_as_of, :as_of)", as_of=as_of
    )


def complete_as_of(connection: sa.Connection, store_id: int, resource: str) -> dt.datetime | None:
    """Return as of when analysts see the resource complete; None while it is not."""
    found: dt.datetime | None = connection.execute(
        sa.text("SELECT complete_as_of FROM crm.coverage WHERE store_id = :s AND resource = :r"),
        {"s": store_id, "r": resource},
    ).scalar()
    return found


def next_turn(connection: sa.Connection, store_id: int, resource: str, *, turns: int) -> int | None:
    """Return the turn whose ids were compared longest ago; None when all were within 29 days."""
    found: int | None = connection.execute(
        sa.text(
            "SELECT t FROM sync.coverage AS c, generate_series(0, :turns - 1) AS t"
            " WHERE c.store_id = :store AND c.resource = :resource"
            " AND coalesce(cast(c.ids_checked ->> cast(t AS text) AS timestamptz), '-infinity')"
            " < now() - interval '29 days'"
            " ORDER BY cast(c.ids_checked ->> cast(t AS text) AS timestamptz) NULLS FIRST, t"
            " LIMIT 1"
        ),
        {"store": store_id, "resource": resource, "turns": turns},
    ).scalar()
    return found


def turn_done(
    connection: sa.Connection, store_id: int, resource: str, *, turn: int, turns: int
) -> None:
    """Note that a turn was compared.

    `ids_checked_at` is the oldest comparison of all turns, NULL until each turn was compared.
    """
    _update(
        connection,
        store_id,
        resource,
        "ids_checked = coalesce(ids_checked, '{}'::jsonb)"
        " || jsonb_build_object(cast(:turn AS text), now())",
        turn=str(turn),
    )
    _update(
        connection,
        store_id,
        resource,
        "ids_checked_at = (SELECT CASE WHEN count(*) >= :turns THEN min(cast(v AS timestamptz)) END"
        " FROM jsonb_each_text(c.ids_checked) AS e(k, v))",
        turns=turns,
    )


def undeclared(connection: sa.Connection, ids: Sequence[int], rows: str) -> set[int]:
    """Return those of the stores whose rows are not as declared; `rows` are the declarations."""
    found = connection.execute(
        sa.text(
            f"SELECT s.id FROM sync.store AS s CROSS JOIN {DECLARED} LEFT JOIN sync.coverage AS c"
            " ON c.store_id = s.id AND c.resource = d.resource AND c.store_id = ANY(:ids)"
            " WHERE s.id = ANY(:ids) AND (c.store_id IS NULL OR (c.feed, c.told_by,"
            " c.every_seconds) IS DISTINCT FROM (d.feed, d.told_by, d.every_seconds))"
        ),
        {"ids": list(ids), "declared": rows},
    )
    return set(found.scalars())


def declare(connection: sa.Connection, ids: Sequence[int], rows: str) -> list[tuple[int, str]]:
    """Bring the rows of some stores to what is declared; return the new (store, resource) that
    are mirrored."""
    binds = {"ids": list(ids), "declared": rows}
    connection.execute(
        sa.text(
            f"""UPDATE sync.coverage AS c
            SET feed = d.feed, told_by = d.told_by, every_seconds = d.every_seconds
            FROM {DECLARED} WHERE c.store_id = ANY(:ids) AND c.resource = d.resource
            AND (c.feed, c.told_by, c.every_seconds)
                IS DISTINCT FROM (d.feed, d.told_by, d.every_seconds)"""
        ),
        binds,
    )
    added = connection.execute(
        sa.text(
            f"""INSERT INTO sync.coverage
                (store_id, resource, feed, told_by, every_seconds, selected, zone, version)
            SELECT s.id, d.resource, d.feed, d.told_by, d.every_seconds, d.selected, s.zone,
                d.version
            FROM {DECLARED} JOIN sync.store AS s ON s.id = ANY(:ids)
            WHERE NOT EXISTS (SELECT FROM sync.coverage AS c
                WHERE c.store_id = s.id AND c.resource = d.resource)
            ON CONFLICT DO NOTHING RETURNING store_id, resource, selected"""
        ),
        binds,
    )
    return [(row.store_id, row.resource) for row in added if row.selected]


def select(
    connection: sa.Connection, store_id: int, resources: Sequence[str], *, is_on: bool
) -> None:
    """Set whether a store mirrors some resources."""
    connection.execute(
        sa.text(
            "UPDATE sync.coverage SET selected = :on WHERE store_id = :s AND resource = ANY(:r)"
        ),
        {"on": is_on, "s": store_id, "r": list(resources)},
    )


def withdraw(connection: sa.Connection, store_id: int, resource: str) -> bool:
    """Withdraw the proof and the claim of a mirrored resource; tell whether it had one.

    A gap was found, the resource is loaded anew, or the key sees more than before.
    """
    had_one: bool | None = connection.execute(
        sa.text(
            "UPDATE sync.coverage AS c SET proven_as_of = NULL, complete_as_of = NULL"
            " FROM (SELECT store_id, resource, num_nonnulls(proven_as_of, complete_as_of) > 0"
            " AS is_claimed FROM sync.coverage WHERE store_id = :store AND resource = :resource"
            " AND selected FOR UPDATE) AS b"
            " WHERE c.store_id = b.store_id AND c.resource = b.resource RETURNING b.is_claimed"
        ),
        {"store": store_id, "resource": resource},
    ).scalar()
    return bool(had_one)


def withdraw_all(connection: sa.Connection, store_id: int) -> None:
    """Withdraw all claims of a store, and what waits for approval in it."""
    connection.execute(
        sa.text(
            "UPDATE sync.coverage SET proven_as_of = NULL, complete_as_of = NULL, approval = NULL,"
            " approved = false WHERE store_id = :store"
        ),
        {"store": store_id},
    )


def ask_approval(connection: sa.Connection, store_id: int, resource: str, *, text: str) -> None:
    """Store what a person has to approve."""
    connection.execute(
        sa.text("UPDATE sync.coverage SET approval = :text WHERE store_id = :s AND resource = :r"),
        {"s": store_id, "r": resource, "text": text},
    )


def approve(connection: sa.Connection, store_id: int, resource: str) -> str | None:
    """Approve what waits; return its text, None when nothing waits."""
    waiting: str | None = connection.execute(
        sa.text(
            "UPDATE sync.coverage AS c SET approved = true, approval = NULL"
            " FROM (SELECT store_id, resource, approval FROM sync.coverage WHERE store_id = :s"
            " AND resource = :r AND approval IS NOT NULL FOR UPDATE) AS b"
            " WHERE c.store_id = b.store_id AND c.resource = b.resource RETURNING b.approval"
        ),
        {"s": store_id, "r": resource},
    ).scalar()
    return waiting


def set_available(connection: sa.Connection, store_id: int, resource: str) -> None:
    """Forget that a resource was unavailable: the account gives it, or it is requested again."""
    _update(connection, store_id, resource, "unavailable = NULL", where="unavailable IS NOT NULL")


def carry_rejects(
    connection: sa.Connection, store_id: int, resource: str, *, difference: int
) -> None:
    """Add to the number of rejects; a proof of the whole list counts them anew."""
    _update(
        connection,
        store_id,
        resource,
        "rejects = greatest(rejects + :difference, 0)",
        difference=difference,
    )


def count_drift(connection: sa.Connection, store_id: int, resource: str) -> None:
    """Count a drift of a resource's list."""
    _update(connection, store_id, resource, "drifts = drifts + 1")
