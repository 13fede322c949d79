"""Pages a second that crawls read of late, sampled every twenty seconds: what ETAs are made from.

A row for each resource with a crawl at work, and one with an empty resource for all first loads of
a store together: they share the request budget, so only their sum is steady.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import sqlalchemy as sa

from sync.forecast import Pace, paced

_NOW = sa.text(
    """
    WITH work AS (
        SELECT store_id, resource, kind, state, pages_done FROM sync.crawl
        WHERE store_id IN (SELECT store_id FROM sync.crawl WHERE state = 'running')
    ), now AS (
        SELECT store_id, resource, sum(pages_done) AS pages FROM work
        WHERE state = 'running' GROUP BY 1, 2
        UNION ALL
        SELECT store_id, '', sum(pages_done) FROM work WHERE kind = 'load' GROUP BY 1
        HAVING bool_or(state = 'running')
    )
    SELECT n.store_id, n.resource, n.pages, p.pages AS before, p.per_second, p.seconds,
        extract(epoch FROM clock_timestamp() - p.at) AS elapsed
    FROM now AS n LEFT JOIN sync.pace AS p
        ON p.store_id = n.store_id AND p.resource = n.resource
    ORDER BY 1, 2  -- two workers that sample at once lock the rows in one order
    """
)


def sample(connection: sa.Connection) -> None:
    """Note how far all running crawls are, and how fast they went since the last sample."""
    found = [(row.store_id, row.resource, _after(row)) for row in connection.execute(_NOW)]
    connection.execute(
        sa.text(
            "INSERT INTO sync.pace AS p (store_id, resource, at, pages, per_second, seconds)"
            " SELECT n.store, n.resource, clock_timestamp(), n.pages, n.rate, n.seconds"
            " FROM unnest(cast(:stores AS bigint[]), cast(:resources AS text[]),"
            " cast(:pages AS bigint[]), cast(:rates AS float8[]), cast(:seconds AS float8[]))"
            " AS n(store, resource, pages, rate, seconds)"
            " ON CONFLICT (store_id, resource) DO UPDATE SET at = excluded.at,"
            " pages = excluded.pages, per_second = excluded.per_second, seconds = excluded.seconds"
        ),
        {
            "stores": [store for store, _, _ in found],
            "resources": [resource for _, resource, _ in found],
            "pages": [pace.pages for _, _, pace in found],
            "rates": [pace.per_second for _, _, pace in found],
            "seconds": [pace.seconds for _, _, pace in found],
        },
    )
    connection.exec_driver_sql("DELETE FROM sync.pace WHERE at < now() - interval '1 day'")


def _after(row: sa.Row[tuple[object, ...]]) -> Pace:
    before = None
    if row.before is not None:
        before = Pace(int(row.before), row.per_second, row.seconds)
    elapsed = 0.0 if row.elapsed is None else float(row.elapsed)
    return paced(before, pages=int(row.pages), elapsed_seconds=elapsed)


_LOADS = sa.text(
    """
    WITH open AS (
        SELECT w.store_id, min(w.asked_at) AS began FROM sync.crawl AS w
        JOIN sync.coverage AS c ON c.store_id = w.store_id AND c.resource = w.resource
        JOIN sync.lane AS l ON l.store_id = w.store_id AND l.resource = w.resource
            AND l.lane = 'walk'
        WHERE w.store_id = ANY(:ids) AND w.kind = 'load' AND w.state IN ('pending', 'running')
            AND c.selected AND c.unavailable IS NULL AND l.enabled AND l.parked_at IS NULL
        GROUP BY 1
    )
    SELECT w.store_id, w.resource, w.state, w.phase, w.pages_planned, w.pages_done,
        w.pages_expected
    FROM open AS o JOIN sync.crawl AS w ON w.store_id = o.store_id AND w.kind = 'load'
        AND w.asked_at >= o.began AND w.state IN ('pending', 'running', 'done')
    JOIN sync.coverage AS c ON c.store_id = w.store_id AND c.resource = w.resource
    WHERE c.selected AND c.unavailable IS NULL
    """
)


def of_loads(
    connection: sa.Connection, ids: list[int]
) -> Iterator[tuple[int, sa.Row[tuple[object, ...]]]]:
    """Yield the crawls of first loads that are not over, with those of them that are done."""
    for row in connection.execute(_LOADS, {"ids": ids}):
        yield row.store_id, row


def per_second(connection: sa.Connection, ids: list[int]) -> Mapping[tuple[int, str], float]:
    """Return the pages a second by store and resource ("": all loads of the store)."""
    rows = connection.execute(
        sa.text(
            "SELECT store_id, resource, per_second FROM sync.pace WHERE store_id = ANY(:ids)"
            " AND per_second IS NOT NULL AND at > clock_timestamp() - interval '10 minutes'"
        ),
        {"ids": ids},
    )
    return {(row.store_id, row.resource): row.per_second for row in rows}
