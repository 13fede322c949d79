"""What passes over lists without a feed have to know: how much is there, what an operator allowed,
and whether the resource is asked for at all."""

from __future__ import annotations

import sqlalchemy as sa

from sync.declare import Resource
from sync.mirror.checkpoint import Crawl
from sync.mirror.names import crm_name
from sync.mirror.stores import Store

FIRST_WAIT_SECONDS = 15.0
LONGEST_WAIT_SECONDS = 3_600.0
"""A list that does not hold still is read again after so long."""


def count_live(connection: sa.Connection, resource: Resource, store_id: int) -> int:
    """Live rows of a resource."""
    found: int = connection.exec_driver_sql(
        f"SELECT count(*) FROM {crm_name(resource.name)}"
        " WHERE store_id = %s AND deleted_at IS NULL",
        (store_id,),
    ).scalar_one()
    return found


def is_approved(connection: sa.Connection, store_id: int, resource: str) -> bool:
    """Whether an operator lets the next pass tombstone what it finds absent."""
    return bool(
        connection.execute(
            sa.text("SELECT approved FROM sync.coverage WHERE store_id = :s AND resource = :r"),
            {"s": store_id, "r": resource},
        ).scalar()
    )


def wait_for_approval(
    connection: sa.Connection, store: Store, resource: str, *, absent: int, of: int, words: str
) -> None:
    """Say what waits, why, and how to allow it; and what else that may do."""
    lost = store.lost_sites
    doubt = f" (some may be of sites the key has lost, {lost}, and would go too)" if lost else ""
    connection.execute(
        sa.text("UPDATE sync.coverage SET approval = :text WHERE store_id = :s AND resource = :r"),
        {
            "s": store.id,
            "r": resource,
            "text": f"{absent} of {of} rows are no longer in the list{doubt}; let them be"
            f" tombstoned ({words}): celery -A sync mirror approve {store.name} {resource}",
        },
    )


def postpone(connection: sa.Connection, crawl: Crawl) -> float:
    """Let a pass that came to nothing wait, twice as long each time; the seconds it waits."""
    rounds: int = connection.execute(
        sa.text("SELECT rounds FROM sync.crawl WHERE id = :id FOR UPDATE"), {"id": crawl.id}
    ).scalar_one()
    seconds = min(FIRST_WAIT_SECONDS * 2.0 ** min(rounds, 20), LONGEST_WAIT_SECONDS)
    connection.execute(
        sa.text(
            "UPDATE sync.crawl SET rounds = rounds + 1,"
            " not_before = clock_timestamp() + make_interval(secs => :seconds),"
            " fruitless_since = coalesce(fruitless_since, clock_timestamp()) WHERE id = :id"
        ),
        {"id": crawl.id, "seconds": seconds},
    )
    return seconds


def is_asked_for(connection: sa.Connection, store_id: int, resource: str) -> bool:
    """Whether the store mirrors the resource and the account gives it."""
    return bool(
        connection.execute(
            sa.text(
                "SELECT selected AND unavailable IS NULL FROM sync.coverage"
                " WHERE store_id = :s AND resource = :r"
            ),
            {"s": store_id, "r": resource},
        ).scalar()
    )
