"""The size in which a list's pages come, where the usual one fails; a row of `sync.page_size` each.

A size that failed is tried again after a minute, then after four, sixteen … minutes, at most a day.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

FIRST_SECONDS = 60
MOST_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class PageSize:
    """The size that a list is asked in; `is_larger_due`: a larger one may work by now."""

    size: int
    is_larger_due: bool


def page_size(connection: sa.Connection, store_id: int, resource: str) -> PageSize | None:
    """Return the size that a list is asked in; None for its usual one."""
    row = connection.execute(
        sa.text(
            "SELECT size, larger_at <= clock_timestamp() AS due FROM sync.page_size"
            " WHERE store_id = :s AND resource = :r"
        ),
        {"s": store_id, "r": resource},
    ).one_or_none()
    return None if row is None else PageSize(row.size, row.due)


def keep_smaller(
    connection: sa.Connection, store_id: int, resource: str, *, size: int, reason: str
) -> None:
    """Ask in `size` records from now on, because a larger page failed.

    Pages that were under way meanwhile fail alike; they count as one failure.
    """
    connection.execute(
        sa.text(
            "INSERT INTO sync.page_size AS p (store_id, resource, size, failures, larger_at,"
            f" reason) VALUES (:s, :r, :size, 1, now() + make_interval(secs => {FIRST_SECONDS}),"
            " :reason) ON CONFLICT (store_id, resource) DO UPDATE SET"
            " size = least(p.size, excluded.size), failures = p.failures + 1,"
            f" larger_at = now() + make_interval(secs => least({FIRST_SECONDS}"
            f" * power(4, least(p.failures, 8)), {MOST_SECONDS})), reason = excluded.reason,"
            " changed_at = now()"
            " WHERE excluded.size < p.size OR p.larger_at <= clock_timestamp()"
        ),
        {"s": store_id, "r": resource, "size": size, "reason": reason},
    )


def keep_larger(connection: sa.Connection, store_id: int, resource: str, *, size: int) -> None:
    """Ask in `size` records from now on, because a page of that size came."""
    connection.execute(
        sa.text(
            "UPDATE sync.page_size SET size = :size, changed_at = now()"
            " WHERE store_id = :s AND resource = :r AND size < :size"
        ),
        {"s": store_id, "r": resource, "size": size},
    )


def forget(connection: sa.Connection, store_id: int, resource: str) -> None:
    """Ask in the usual size again."""
    connection.execute(
        sa.text("DELETE FROM sync.page_size WHERE store_id = :s AND resource = :r"),
        {"s": store_id, "r": resource},
    )
