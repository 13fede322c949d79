"""Claims of due lanes: a free place of the workers goes to the store that holds the fewest.

The workers have places, a number for each kind of lanes (heartbeat.py). A lane holds one from its
claim until its lease ends. Free places are given one by one, each to a lane of the store that holds
the fewest then, among equals to the one due longest. So a store alone takes all places; one that
comes later is served first as slices end, until both have as many.

Of a store that was just added it is not known that it answers, and one of which no request of a
slice was answered is *silent*, until one is. Both are asked by one lane of a kind. All silent
stores together hold as many places as one other store would, and never more than half, so that a
store that answers finds a place at once, however many do not.

Who claims locks a row of `sync.dispatch`, so that nobody counts what another is about to change.
"""

from __future__ import annotations

import sqlalchemy as sa

from sync.state import lanes
from sync.state.lanes import LIVES, Claim, Lane

LOOKED_AT = 1_000
"""The most due lanes, longest due first, of which a claim chooses: those of some twenty stores that
have everything to read. It takes milliseconds whatever else is due."""

_DUE = f"""
    lane = :lane AND enabled AND parked_at IS NULL
    AND due_at <= now()  -- stable, so the index decides
    AND {LIVES} IS NOT TRUE
"""

_SENT = "(holder IS NOT NULL OR claimed_until IS NOT NULL)"


def _first_of_each(answering: str) -> str:
    """Return the SQL of a due lane of each store that holds no place, longest due first.

    Where a claim has expired it is that lane again: its first message may still come.
    """
    return f"""
        SELECT DISTINCT ON (store_id) store_id, resource, due_at
        FROM (SELECT store_id, resource, due_at FROM sync.lane AS l
            WHERE {_DUE} AND answering = '{answering}' AND ({_SENT} OR store_id <> ALL(ARRAY(
                SELECT store_id FROM sent WHERE answering = '{answering}')))
              AND store_id <> ALL(ARRAY(
                SELECT store_id FROM held WHERE answering = '{answering}'))
            ORDER BY due_at LIMIT :looked_at) AS due
        ORDER BY store_id, due_at
    """


_PICK = sa.text(
    f"""
    WITH sent AS MATERIALIZED (
        SELECT store_id, answering, claimed_until > clock_timestamp() OR {LIVES} AS is_held
        FROM sync.lane AS l
        WHERE lane = :lane AND {_SENT} AND enabled AND parked_at IS NULL
    ), held AS (
        SELECT store_id, answering, count(*) AS places FROM sent WHERE is_held
        GROUP BY store_id, answering
    ), answers AS (
        SELECT store_id, resource, due_at FROM sync.lane AS l
        WHERE {_DUE} AND answering = 'yes' ORDER BY due_at LIMIT :looked_at
    ), waiting AS (
        SELECT store_id, resource, due_at, false AS is_silent, coalesce(places, 0)
            + row_number() OVER (PARTITION BY store_id ORDER BY due_at) AS would_hold
        FROM answers LEFT JOIN (SELECT * FROM held WHERE answering = 'yes') AS h USING (store_id)
        UNION ALL
        SELECT *, false, 1 FROM ({_first_of_each("unknown")}) AS u
        UNION ALL
        SELECT *, true, (SELECT coalesce(sum(places), 0) FROM held WHERE answering = 'no')
            + row_number() OVER (ORDER BY due_at)
        FROM ({_first_of_each("no")}) AS n
    ), chosen AS (
        SELECT store_id, resource, would_hold FROM waiting
        WHERE NOT is_silent OR would_hold <= greatest(:places / 2, 1)
        ORDER BY would_hold, due_at
        LIMIT greatest(:places - (SELECT coalesce(sum(places), 0) FROM held), 0)
    )
    SELECT store_id, resource, lane FROM sync.lane AS l JOIN chosen USING (store_id, resource)
    WHERE {_DUE}
    ORDER BY would_hold, due_at
    FOR UPDATE OF l SKIP LOCKED
    """
)


def claim_due(connection: sa.Connection, *, lane: Lane, places: int) -> list[Claim]:
    """Claim due lanes for the free ones of `places`; none while somebody else claims some.

    A claim expires with its task message: a lane that nobody began by then is due again.
    """
    is_turn = connection.execute(
        sa.text("SELECT FROM sync.dispatch WHERE lane = :lane FOR UPDATE SKIP LOCKED"),
        {"lane": lane},
    ).one_or_none()
    if is_turn is None:
        return []
    binds = {"lane": lane, "places": places, "looked_at": max(LOOKED_AT, places)}
    found = [Claim(*row) for row in connection.execute(_PICK, binds)]
    lanes.set_claimed(connection, found)
    return found
