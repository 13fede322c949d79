"""Lanes: due, claimed, leased to one worker for a while with a fencing token, parked.

A lease lives while its holder's heartbeat (heartbeat.py) is fresh, and at most LEASE_SECONDS from
when it was taken. Nothing renews it. Postgres's clock alone decides.

Every write transaction first calls `hold`, which locks the lane's row if the token is still ours
and the lease lives. A worker that takes a lease over raises the token, and waits for that lock
first. So a transaction that has the lock ends before the new holder begins, and the former holder's
next transaction finds nothing to lock and fails. A process that is stopped inside a transaction
loses it, and its locks, to time limits (contract.py). It cannot commit late even without them:
`commit` asks once more whether the lease lives, in the same message as COMMIT.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import psycopg.errors
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from sync import failpoints
from sync.database import contract
from sync.database.quoting import literal
from sync.errors import LeaseLost
from sync.state.declared import DECLARED
from sync.state.heartbeat import FRESH_SECONDS
from sync.telemetry import plain

Lane = Literal["feed", "walk"]
SLICE_SECONDS = 110.0
"""The length of a slice, about two minutes: a longer task would keep other lanes waiting."""
OVER_SECONDS = 20.0
"""The time that an answer may take which comes after its slice is over; then it is cut."""
STOP_SECONDS = 10.0
"""The time that answers may take which are being read when the process is told to end."""
GRACE_SECONDS = 300.0
"""The time that work begun before a slice's end may take: a request of a busy budget waits 90 s for
its slot, and the first parent's list of a slice is read to its end, 500 pages at most."""
LEASE_SECONDS = SLICE_SECONDS + GRACE_SECONDS
"""A hanging thread of a process that still beats loses its lease after so long."""
CLAIM_SECONDS = failpoints.scaled(30)
"""The time that a sent task may wait in its queue, and hold a place, before it is sent again. The
task that comes first does the work and ends the claim; those after it find no claim."""


SILENCE_SECONDS = 60.0
"""The longest pause between two requests to a store that does not answer (failures.py)."""


@dataclass(frozen=True, slots=True)
class Odd:
    """An answer that is believed only when it comes again: its kind, how often, since how long."""

    kind: str
    times: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that a worker holds.

    `attempts` counts this one: 1 after progress, more after failures. `is_failing` is true when the
    last slice failed with an error. `odd` is the odd answer that came last, None once a slice has
    ended well. `is_heard`: the store is known to answer (claims.py). `taken_at`, by Postgres's
    clock, is None for a lease that nothing was asked under.
    """

    store_id: int
    resource: str
    lane: Lane
    token: int
    attempts: int
    holder: str = ""
    is_failing: bool = False
    odd: Odd | None = None
    is_heard: bool = True
    taken_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A lane that is due, and for which a task is to be sent.

    `by` a message the lease is given only while the lane is claimed, so that a second message for
    one claim does nothing, however late it comes.
    """

    store_id: int
    resource: str
    lane: Lane
    by: Literal["message", "itself"] = "itself"


_WHERE = "store_id = :store_id AND resource = :resource AND lane = :lane"

LIVES = f"""(l.lease_until > clock_timestamp() AND NOT EXISTS (SELECT FROM sync.worker AS w
    WHERE w.id = l.holder AND w.beat_at < clock_timestamp() - interval '{FRESH_SECONDS:g} s'))"""
"""SQL that is true when the lease of the lane `l` lives.

A holder without a heartbeat (of the release before, which renews `lease_until`) lives until then.
"""

# Due again once the holder may be dead: from then on dispatch checks its heartbeat.
_ACQUIRE = sa.text(
    f"""
    UPDATE sync.lane AS l
    SET token = token + 1, holder = :holder, attempts = attempts + 1, claimed_until = NULL,
        lease_until = clock_timestamp() + make_interval(secs => {LEASE_SECONDS}),
        due_at = clock_timestamp() + make_interval(secs => {FRESH_SECONDS})
    WHERE {_WHERE} AND enabled AND parked_at IS NULL AND {LIVES} IS NOT TRUE
      AND (claimed_until IS NOT NULL OR cast(:by AS text) <> 'message')
    RETURNING token, attempts, failing_since IS NOT NULL AS is_failing,
        answering = 'yes' AS is_heard, clock_timestamp() AS taken_at,
        odd_answer, odd_times,
        cast(extract(epoch FROM clock_timestamp() - odd_since) AS float8) AS odd_seconds
    """
)

_HOLD = sa.text(
    f"""
    SELECT FROM sync.lane AS l JOIN sync.store AS s ON s.id = l.store_id
    WHERE l.store_id = :store_id AND l.resource = :resource AND l.lane = :lane
      AND l.token = :token AND s.zone = :zone AND {LIVES}
    FOR UPDATE OF l
    """
)

_RELEASE = sa.text(
    f"""
    UPDATE sync.lane
    SET lease_until = NULL, holder = NULL, attempts = 0, error = NULL,
        due_at = clock_timestamp() + make_interval(secs => :after),
        failing_since = NULL, worked_at = clock_timestamp(),
        odd_answer = NULL, odd_times = 0, odd_since = NULL
    WHERE {_WHERE} AND token = :token
    """
)

_FAIL = sa.text(
    f"""
    UPDATE sync.lane
    SET lease_until = NULL, holder = NULL, error = :error,
        due_at = clock_timestamp() + make_interval(secs => :after),
        failing_since = coalesce(failing_since, clock_timestamp()),
        parked_at = CASE WHEN :parked THEN clock_timestamp() END, failures = failures + 1,
        odd_answer = CASE WHEN :parked THEN NULL ELSE coalesce(cast(:odd AS text), odd_answer) END,
        odd_times = CASE WHEN :parked THEN 0 WHEN cast(:odd AS text) IS NULL THEN odd_times
            WHEN :odd = odd_answer THEN odd_times + 1 ELSE 1 END,
        odd_since = CASE WHEN :parked THEN NULL
            WHEN cast(:odd AS text) IS NULL OR :odd = odd_answer THEN odd_since
            ELSE clock_timestamp() END
    WHERE {_WHERE} AND token = :token
    """
)


def set_claimed(connection: sa.Connection, claims: Sequence[Claim]) -> None:
    """Mark lanes as claimed; each is due again when nobody began it in time."""
    if not claims:
        return
    connection.execute(
        sa.text(
            "UPDATE sync.lane AS l SET due_at = clock_timestamp() + c.time,"
            " claimed_until = clock_timestamp() + c.time"
            " FROM (SELECT *, make_interval(secs => :seconds) AS time"
            " FROM unnest(cast(:stores AS bigint[]), cast(:resources AS text[])) AS n(s, r)) AS c"
            " WHERE l.store_id = c.s AND l.resource = c.r AND l.lane = :lane"
        ),
        {
            "stores": [each.store_id for each in claims],
            "resources": [each.resource for each in claims],
            "lane": claims[0].lane,
            "seconds": CLAIM_SECONDS,
        },
    )


def unclaim(connection: sa.Connection, claim: Claim, *, seconds: float) -> None:
    """Give a claim back: the lane is due again in `seconds`, unless somebody holds its lease."""
    connection.execute(
        sa.text(
            "UPDATE sync.lane AS l SET claimed_until = NULL,"
            " due_at = clock_timestamp() + make_interval(secs => :seconds)"
            f" WHERE {_WHERE} AND {LIVES} IS NOT TRUE"
        ),
        _lane(claim) | {"seconds": seconds},
    )


def acquire(connection: sa.Connection, claim: Claim, *, holder: str) -> Lease | None:
    """Take the lease; None when it is held, or the lane is off or parked.

    `holder` is the id of the process's heartbeat. The attempt is counted here, before any work, so
    that a crash is counted too.
    """
    binds = _lane(claim) | {"holder": holder, "by": claim.by}
    row = connection.execute(_ACQUIRE, binds).one_or_none()
    if row is None:
        return None
    odd = None
    if row.odd_answer is not None:
        odd = Odd(row.odd_answer, row.odd_times, row.odd_seconds)
    return Lease(
        claim.store_id,
        claim.resource,
        claim.lane,
        row.token,
        row.attempts,
        holder,
        row.is_failing,
        odd,
        row.is_heard,
        row.taken_at,
    )


def is_at_rest(connection: sa.Connection, claim: Claim) -> bool:
    """Tell whether a lane is parked or off, so that nobody will work on it."""
    return bool(
        connection.execute(
            sa.text(f"SELECT NOT enabled OR parked_at IS NOT NULL FROM sync.lane WHERE {_WHERE}"),
            _lane(claim),
        ).scalar()
    )


def hold(connection: sa.Connection, lease: Lease, *, zone: str) -> None:
    """Lock the lane for this transaction; LeaseLost when the lease is no longer ours.

    `zone` is the zone the rows were made in. Rows of a zone that has changed since would be hours
    off, and are not written.
    """
    if connection.execute(_HOLD, _key(lease) | {"zone": zone}).one_or_none() is None:
        raise _lost(lease)


def lock(connection: sa.Connection, lease: Lease) -> None:
    """Lock the lease's row to give it back; LeaseLost when somebody has taken it over."""
    found = connection.execute(
        sa.text(f"SELECT 1 FROM sync.lane WHERE {_WHERE} AND token = :token FOR UPDATE"),
        _key(lease),
    ).scalar()
    if found is None:
        raise LeaseLost(f"the lease of {lease.resource}/{lease.lane} was taken over")


def commit(connection: sa.Connection, lease: Lease) -> None:
    """Commit a transaction that holds the lease; LeaseLost when the lease does not live any more.

    The attempts are reset before, so that the next failure counts as the first. It is one message:
    a process that is stopped before it and goes on later finds its lease expired, and one that is
    stopped after it has committed.
    """
    lane = _is_held(lease)
    statements = (
        "UPDATE sync.lane SET attempts = 1, failing_since = NULL, error = NULL"
        f" WHERE {lane} AND (attempts > 1 OR error IS NOT NULL);"
        # No row, no number to divide by: an error, after which COMMIT is not executed.
        f" SELECT 1 / count(*) FROM sync.lane AS l WHERE {lane} AND {LIVES}; COMMIT"
    )
    try:
        contract.run(connection, statements.encode())
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.errors.DivisionByZero):
            raise _lost(lease) from None
        raise


def _is_held(lease: Lease) -> str:
    """Return the condition on a lane that a lease is of, without binds."""
    return (
        f"store_id = {lease.store_id:d} AND resource = {literal(lease.resource)}"
        f" AND lane = {literal(lease.lane)} AND token = {lease.token:d}"
    )


def _lost(lease: Lease) -> LeaseLost:
    return LeaseLost(
        f"the lease of {lease.resource}/{lease.lane} was taken over or has expired,"
        " or the store's zone changed"
    )


def release(connection: sa.Connection, lease: Lease, *, after_seconds: float) -> None:
    """Give the lease back after successful work; the lane is due again after so many seconds.

    The due time is by Postgres's clock. It is not by a host's clock, nor by `as_of`, which stands
    still for an hour when a clock was put back by one.
    """
    connection.execute(_RELEASE, _key(lease) | {"after": after_seconds})


def fail(
    connection: sa.Connection,
    lease: Lease,
    *,
    error: str,
    after_seconds: float,
    parked: bool,
    odd: str | None = None,
) -> bool:
    """Give the lease back after a failure; a parked lane waits for `retry`. False: it was lost.

    `odd` is the kind of an answer that is believed only when it comes again. It is counted with the
    lane, through other failures and through commits, until a slice ends well.

    The error is stored whatever it quotes: a failure that cannot be written down would be repeated
    for ever, unseen.
    """
    told = {"after": after_seconds, "error": plain(error), "parked": parked, "odd": odd}
    return connection.execute(_FAIL, _key(lease) | told).rowcount > 0


_FREE = """
    (SELECT resource, lane FROM sync.lane WHERE store_id = :store FOR UPDATE SKIP LOCKED) AS free
    WHERE l.store_id = :store AND l.resource = free.resource AND l.lane = free.lane
"""


def silence(
    connection: sa.Connection, store_id: int, *, after_seconds: float, elapsed_seconds: float
) -> None:
    """Note that a slice of so many seconds was not answered: one lane of a kind asks from now on.

    All lanes wait as long as the one that failed, so that every store is asked in its turn. Nothing
    changes when another slice ended well meanwhile.
    """
    connection.execute(
        sa.text(
            "UPDATE sync.lane AS l SET answering = 'no', due_at = CASE WHEN l.holder IS NOT NULL"
            " THEN l.due_at ELSE greatest(l.due_at, now() + make_interval(secs => :after)) END"
            f" FROM {_FREE} AND NOT EXISTS (SELECT FROM sync.lane AS o WHERE o.store_id = :store"
            " AND o.worked_at > clock_timestamp() - make_interval(secs => :elapsed))"
        ),
        {"store": store_id, "after": after_seconds, "elapsed": elapsed_seconds},
    )


def answered(connection: sa.Connection, store_id: int) -> None:
    """Note that a store has answered; what waited for that is due now.

    A lane that is locked, since it is being written to, is noted with its own next answer.
    """
    connection.execute(
        sa.text(
            "UPDATE sync.lane AS l SET answering = 'yes', due_at = CASE"
            " WHEN l.holder IS NULL AND l.claimed_until IS NULL AND l.error IS NULL"
            " AND l.due_at < now() + make_interval(secs => :soon) THEN least(l.due_at, now())"
            f" ELSE l.due_at END FROM {_FREE} AND l.answering <> 'yes'"
        ),
        {"store": store_id, "soon": SILENCE_SECONDS},
    )


def _lane(of: Claim | Lease) -> dict[str, object]:
    return {"store_id": of.store_id, "resource": of.resource, "lane": of.lane}


def _key(lease: Lease) -> dict[str, object]:
    return _lane(lease) | {"token": lease.token}


def lacking(connection: sa.Connection, ids: Sequence[int], rows: str) -> set[int]:
    """Return those of the stores that lack a declared lane; `rows` are the declarations."""
    found = connection.execute(
        sa.text(
            f"SELECT s.id FROM sync.store AS s CROSS JOIN {DECLARED}"
            " CROSS JOIN unnest(d.lanes) AS n LEFT JOIN sync.lane AS l ON l.store_id = s.id"
            " AND l.resource = d.resource AND l.lane = n AND l.store_id = ANY(:ids)"
            " WHERE s.id = ANY(:ids) AND l.store_id IS NULL"
        ),
        {"ids": list(ids), "declared": rows},
    )
    return set(found.scalars())


def add(connection: sa.Connection, ids: Sequence[int], rows: str) -> None:
    """Insert the declared lanes that some stores lack, due at once."""
    connection.execute(
        sa.text(
            f"""INSERT INTO sync.lane (store_id, resource, lane, enabled, due_at)
            SELECT c.store_id, d.resource, n, c.selected,
                now() - make_interval(secs => d.head_start)
            FROM {DECLARED} CROSS JOIN unnest(d.lanes) AS n
            JOIN sync.coverage AS c ON c.store_id = ANY(:ids) AND c.resource = d.resource
            WHERE NOT EXISTS (SELECT FROM sync.lane AS l
                WHERE l.store_id = c.store_id AND l.resource = d.resource AND l.lane = n)
            ON CONFLICT DO NOTHING"""
        ),
        {"ids": list(ids), "declared": rows},
    )


def lock_all(connection: sa.Connection, ids: Sequence[int]) -> None:
    """Lock all lanes of some stores, in the order that all transactions lock them in."""
    connection.execute(
        sa.text(
            "SELECT FROM sync.lane WHERE store_id = ANY(:ids)"
            " ORDER BY store_id, resource, lane FOR UPDATE"
        ),
        {"ids": list(ids)},
    )


def hasten_feeds(connection: sa.Connection, store_id: int, feeds: Sequence[str]) -> int:
    """Make feeds due now that are followed well; return how many are not at work already.

    They are locked first: one that is given back at this moment is free then, or sees why it is to
    be due at once.
    """
    connection.execute(
        sa.text(
            "SELECT FROM sync.lane WHERE store_id = :store AND lane = 'feed'"
            " AND resource = ANY(:feeds) ORDER BY resource FOR UPDATE"
        ),
        {"store": store_id, "feeds": list(feeds)},
    )
    return connection.execute(
        sa.text(
            "UPDATE sync.lane AS l SET due_at = least(due_at, clock_timestamp())"
            " FROM sync.coverage AS c"
            " WHERE l.store_id = :store AND l.lane = 'feed' AND l.resource = ANY(:feeds)"
            " AND c.store_id = l.store_id AND c.resource = l.resource AND c.unavailable IS NULL"
            " AND l.enabled AND l.answering = 'yes' AND l.parked_at IS NULL AND l.error IS NULL"
            " AND l.holder IS NULL AND l.claimed_until IS NULL"
        ),
        {"store": store_id, "feeds": list(feeds)},
    ).rowcount


_OTHERWISE = """
    FROM sync.store AS s, sync.coverage AS c WHERE s.id = l.store_id AND c.store_id = l.store_id
    AND c.resource = l.resource AND l.enabled <> (s.enabled AND c.selected)
"""


def set_otherwise(connection: sa.Connection, ids: Sequence[int]) -> set[int]:
    """Return those of the stores in which `set_lanes` would turn a lane on or off."""
    found = connection.execute(
        sa.text(
            "SELECT DISTINCT l.store_id FROM sync.lane AS l"
            f" WHERE l.store_id = ANY(:ids) AND EXISTS (SELECT {_OTHERWISE})"
        ),
        {"ids": list(ids)},
    )
    return set(found.scalars())


def hasten(connection: sa.Connection, *of: tuple[int, str]) -> None:
    """Make the walk lanes of some (store, resource) due now."""
    connection.execute(
        sa.text(
            "UPDATE sync.lane AS l SET due_at = least(l.due_at, now())"
            " FROM unnest(cast(:stores AS bigint[]), cast(:resources AS text[])) AS n(s, r)"
            " WHERE l.store_id = n.s AND l.resource = n.r AND l.lane = 'walk'"
        ),
        {"stores": [store for store, _ in of], "resources": [name for _, name in of]},
    )


def hasten_unavailable(
    connection: sa.Connection, store_id: int, resource: str | None = None
) -> None:
    """Make the lanes due now of what the account did not give, and all of a refused store."""
    connection.execute(
        sa.text(
            "UPDATE sync.lane AS l SET due_at = least(l.due_at, now()) FROM sync.coverage AS c,"
            " sync.store AS s WHERE c.store_id = l.store_id AND c.resource = l.resource"
            " AND s.id = l.store_id AND l.store_id = :s AND l.resource = coalesce(:r,"
            " l.resource) AND (c.unavailable IS NOT NULL OR s.error IS NOT NULL)"
        ),
        {"s": store_id, "r": resource},
    )


def put_off_all(connection: sa.Connection, store_id: int, *, again_after: dt.timedelta) -> None:
    """Make every lane of a store due only after a while, a tenth sooner or later each.

    `credentials` is not due later than the others: it is what finds the account well again.
    """
    connection.execute(
        sa.text(
            "UPDATE sync.lane SET due_at = greatest(CASE WHEN resource <> 'credentials'"
            " THEN due_at END, now() + cast(:after AS interval) * (0.9 + 0.2 * random()))"
            " WHERE store_id = :store"
        ),
        {"store": store_id, "after": again_after},
    )


def hasten_all(connection: sa.Connection, store_id: int) -> None:
    """Make every lane of a store due now that is neither leased nor parked, without its error."""
    connection.execute(
        sa.text(
            "UPDATE sync.lane SET due_at = least(due_at, now()), failing_since = NULL, error = NULL"
            " WHERE store_id = :store AND lease_until IS NULL AND parked_at IS NULL"
        ),
        {"store": store_id},
    )


def set_lanes(connection: sa.Connection, *ids: int) -> None:
    """Turn each lane of some stores on when its store and its resource are on, otherwise off."""
    connection.execute(
        sa.text(
            "UPDATE sync.lane AS l SET enabled = s.enabled AND c.selected,"
            " due_at = CASE WHEN l.enabled THEN l.due_at ELSE now() END"
            f" {_OTHERWISE} AND l.store_id = ANY(:ids)"
        ),
        {"ids": list(ids)},
    )


def hold_free(connection: sa.Connection, ids: Sequence[int]) -> list[int]:
    """Lock the lanes of some stores without waiting; return the stores that got all their lanes."""
    found = connection.execute(
        sa.text(
            """
            WITH free AS (SELECT store_id FROM sync.lane WHERE store_id = ANY(:ids)
                ORDER BY store_id, resource, lane FOR UPDATE SKIP LOCKED)
            SELECT i FROM unnest(cast(:ids AS bigint[])) AS i
            WHERE (SELECT count(*) FROM free WHERE store_id = i)
                = (SELECT count(*) FROM sync.lane WHERE store_id = i)
            ORDER BY i
            """
        ),
        {"ids": list(ids)},
    )
    return list(found.scalars())


def fence_all_but_credentials(connection: sa.Connection, store_id: int) -> None:
    """Revoke the store's leases: their holders go by the old sites, and must write no proof.

    The lease of `credentials` stays, because its lane reports the change.
    """
    connection.execute(
        sa.text(
            "UPDATE sync.lane SET token = token + 1, lease_until = NULL, holder = NULL,"
            " claimed_until = NULL, due_at = least(due_at, now())"
            " WHERE store_id = :store AND resource <> 'credentials'"
            " AND lease_until IS NOT NULL"
        ),
        {"store": store_id},
    )


def fence(connection: sa.Connection, store_id: int, resource: str | None = None) -> None:
    """Revoke a resource's walk lease, or all leases of the store: their holders write no more."""
    connection.execute(
        sa.text(
            "UPDATE sync.lane SET token = token + 1, lease_until = NULL, holder = NULL,"
            " claimed_until = NULL WHERE store_id = :store"
            " AND (cast(:resource AS text) IS NULL OR (resource = :resource AND lane = 'walk'))"
        ),
        {"store": store_id, "resource": resource},
    )


def release_parked(connection: sa.Connection, store_id: int, resource: str | None = None) -> int:
    """Release parked and failing lanes, so that they are worked on at once; return how many."""
    return connection.execute(
        sa.text(
            "UPDATE sync.lane SET parked_at = NULL, attempts = 0, failing_since = NULL,"
            " error = NULL, due_at = least(due_at, now())"
            " WHERE store_id = :store AND resource = coalesce(:resource, resource)"
            " AND (parked_at IS NOT NULL OR error IS NOT NULL OR failing_since IS NOT NULL)"
        ),
        {"store": store_id, "resource": resource},
    ).rowcount
