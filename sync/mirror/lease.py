"""Leases: the right to work on one (store, resource, lane) for a while, with a fencing token.

Every write transaction first calls `hold`, which locks the lease's row where the token is still
ours and not expired, and renews it. Postgres's clock alone decides. Whoever takes a lease over
raises the token, so that the former holder's next transaction finds nothing to lock and fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from sync import faults
from sync.errors import LeaseLost
from sync.mirror.engine import TRANSACTION_SECONDS
from sync.telemetry import plain

Lane = Literal["feed", "walk"]
LEASE_SECONDS = faults.scaled(75)
"""Longer than a transaction may last, so that a lease held at its start still is at its end."""
CLAIM_SECONDS = faults.scaled(60)
"""How long a sent task may wait in the queue before it is sent again."""

assert TRANSACTION_SECONDS + faults.scaled(10) < LEASE_SECONDS


@dataclass(frozen=True, slots=True)
class Lease:
    """What a worker holds. `attempts` counts this one: 1 after progress, more after failures."""

    store_id: int
    resource: str
    lane: Lane
    token: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Claim:
    """Work that is due and for which a task is to be sent."""

    store_id: int
    resource: str
    lane: Lane


_WHERE = "store_id = :store_id AND resource = :resource AND lane = :lane"

_CLAIM = sa.text(
    """
    WITH due AS (
        SELECT store_id, resource, lane FROM sync.lane
        WHERE enabled AND parked_at IS NULL AND due_at <= now()  -- stable, so the index decides
          AND (lease_until IS NULL OR lease_until < clock_timestamp())
          AND lane = :lane
        ORDER BY due_at
        LIMIT :at_most
        FOR UPDATE SKIP LOCKED
    )
    UPDATE sync.lane AS l
    SET due_at = clock_timestamp() + make_interval(secs => :seconds),
        claimed_until = clock_timestamp() + make_interval(secs => :seconds)
    FROM due
    WHERE l.store_id = due.store_id AND l.resource = due.resource AND l.lane = due.lane
    RETURNING l.store_id, l.resource, l.lane
    """
)

_ACQUIRE = sa.text(
    f"""
    UPDATE sync.lane
    SET token = token + 1, holder = :holder, attempts = attempts + 1, claimed_until = NULL,
        lease_until = clock_timestamp() + make_interval(secs => :seconds),
        due_at = greatest(due_at, clock_timestamp() + make_interval(secs => :seconds))
    WHERE {_WHERE} AND enabled AND parked_at IS NULL
      AND (lease_until IS NULL OR lease_until < clock_timestamp())
    RETURNING token, attempts
    """
)

_HOLD = sa.text(
    """
    UPDATE sync.lane AS l SET lease_until = clock_timestamp() + make_interval(secs => :seconds)
    FROM sync.store AS s
    WHERE s.id = l.store_id AND s.zone = :zone AND l.store_id = :store_id
      AND l.resource = :resource AND l.lane = :lane
      AND l.token = :token AND l.lease_until > clock_timestamp()
    """
)

_RELEASE = sa.text(
    f"""
    UPDATE sync.lane
    SET lease_until = NULL, holder = NULL, attempts = 0, error = NULL,
        due_at = clock_timestamp() + make_interval(secs => :after),
        failing_since = NULL, worked_at = clock_timestamp()
    WHERE {_WHERE} AND token = :token
    """
)

_FAIL = sa.text(
    f"""
    UPDATE sync.lane
    SET lease_until = NULL, holder = NULL, error = :error,
        due_at = clock_timestamp() + make_interval(secs => :after),
        failing_since = coalesce(failing_since, clock_timestamp()),
        parked_at = CASE WHEN :parked THEN clock_timestamp() END, failures = failures + 1
    WHERE {_WHERE} AND token = :token
    """
)


def claim_due(connection: sa.Connection, *, lane: Lane, at_most: int) -> list[Claim]:
    """Claim up to `at_most` lanes that are due, the longest due first.

    A claim expires with its message: what is not begun by then is due again.
    """
    rows = connection.execute(_CLAIM, {"lane": lane, "at_most": at_most, "seconds": CLAIM_SECONDS})
    return [Claim(*row) for row in rows]


def unclaim(connection: sa.Connection, claim: Claim, *, seconds: float) -> None:
    """Give a claim back: the lane is due again in `seconds`, unless somebody holds its lease."""
    connection.execute(
        sa.text(
            "UPDATE sync.lane SET claimed_until = NULL,"
            " due_at = clock_timestamp() + make_interval(secs => :seconds)"
            f" WHERE {_WHERE} AND (lease_until IS NULL OR lease_until < clock_timestamp())"
        ),
        {
            "store_id": claim.store_id,
            "resource": claim.resource,
            "lane": claim.lane,
            "seconds": seconds,
        },
    )


def acquire(
    connection: sa.Connection, claim: Claim, *, holder: str, seconds: float = LEASE_SECONDS
) -> Lease | None:
    """Take the lease, or None when somebody holds it, or the lane is off or parked.

    The attempt is counted here, before any work: a crash cannot go uncounted.
    """
    row = connection.execute(
        _ACQUIRE,
        {
            "store_id": claim.store_id,
            "resource": claim.resource,
            "lane": claim.lane,
            "holder": holder,
            "seconds": seconds,
        },
    ).one_or_none()
    if row is None:
        return None
    return Lease(claim.store_id, claim.resource, claim.lane, row.token, row.attempts)


def is_at_rest(connection: sa.Connection, claim: Claim) -> bool:
    """Whether a lane is parked or off, so that nobody will work on it."""
    return bool(
        connection.execute(
            sa.text(f"SELECT NOT enabled OR parked_at IS NOT NULL FROM sync.lane WHERE {_WHERE}"),
            {"store_id": claim.store_id, "resource": claim.resource, "lane": claim.lane},
        ).scalar()
    )


def hold(
    connection: sa.Connection, lease: Lease, *, zone: str, seconds: float = LEASE_SECONDS
) -> None:
    """Lock and renew the lease for this transaction; LeaseLost when it is no longer ours.

    `zone` is the zone the rows were made in: rows of a zone that has changed since are not
    written, they would be hours off.
    """
    result = connection.execute(_HOLD, _key(lease) | {"seconds": seconds, "zone": zone})
    if result.rowcount != 1:
        raise LeaseLost(
            f"the lease of {lease.resource}/{lease.lane} was taken over or expired,"
            " or the store's zone changed"
        )


def lock(connection: sa.Connection, lease: Lease) -> None:
    """Lock the lease's row to give it back; LeaseLost when somebody has taken it over."""
    found = connection.execute(
        sa.text(f"SELECT 1 FROM sync.lane WHERE {_WHERE} AND token = :token FOR UPDATE"),
        _key(lease),
    ).scalar()
    if found is None:
        raise LeaseLost(f"the lease of {lease.resource}/{lease.lane} was taken over")


def progressed(connection: sa.Connection, lease: Lease) -> None:
    """Zero the attempts: something was committed, so the next failure is a first one."""
    connection.execute(
        sa.text(
            f"UPDATE sync.lane SET attempts = 1, failing_since = NULL, error = NULL"
            f" WHERE {_WHERE} AND token = :token AND (attempts > 1 OR error IS NOT NULL)"
        ),
        _key(lease),
    )


def release(connection: sa.Connection, lease: Lease, *, after_seconds: float) -> None:
    """Give the lease back after work that went well; the lane is due again after so long.

    By Postgres's clock, like all else: neither a host's, nor `as_of`, which stands still for an
    hour when a clock was put back by one.
    """
    connection.execute(_RELEASE, _key(lease) | {"after": after_seconds})


def fail(
    connection: sa.Connection, lease: Lease, *, error: str, after_seconds: float, parked: bool
) -> None:
    """Give the lease back after a failure; a parked lane waits for `retry`.

    Whatever the error quotes, it is kept: a failure that cannot be written down would be repeated
    for ever, unseen.
    """
    connection.execute(
        _FAIL, _key(lease) | {"after": after_seconds, "error": plain(error), "parked": parked}
    )


def _key(lease: Lease) -> dict[str, object]:
    return {
        "store_id": lease.store_id,
        "resource": lease.resource,
        "lane": lease.lane,
        "token": lease.token,
    }
