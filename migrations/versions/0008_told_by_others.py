"""Coverage bounded by every history that tells of a resource, and by what waits to be read again

A merge of customers changes their orders without an entry of the orders, and an order changes its
customer's totals without an entry of the customer. So a resource is complete only as far as those
other histories have been read, and a record that waits holds it back to what its teller had read.

Revision: 0008, after 0007.
Additive only: nothing an analyst's view may stand on is dropped or retyped.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

BOUNDED = "CASE WHEN t.untold THEN NULL ELSE least(f.clear_at, r.oldest, t.clear_at) END"
UNBOUNDED = "least(f.clear_at, r.oldest)"
OLDEST = "least(min(since), min(asked_at))"
# A history that is off or that the API does not give tells nothing, and holds nothing back.
TOLD = """
LEFT JOIN LATERAL (
    SELECT min(o.clear_at) AS clear_at, coalesce(bool_or(o.clear_at IS NULL), false) AS untold
    FROM sync.coverage AS d
    LEFT JOIN sync.feed AS o ON o.store_id = d.store_id AND o.resource = d.resource
    WHERE d.store_id = c.store_id AND d.resource = ANY (c.told_by)
        AND d.selected AND d.unavailable IS NULL
) AS t ON true
"""


def view(complete: str, oldest: str, told: str) -> str:
    """crm.coverage as 0002 made it, filtered as 0005 does, with other bounds."""
    return f"""
CREATE OR REPLACE VIEW crm.coverage WITH (security_barrier) AS SELECT a.* FROM (
SELECT s.name AS store, c.resource, c.expected, c.mirrored,
    CASE
        WHEN w.rebuilding OR c.unavailable IS NOT NULL THEN NULL
        WHEN f.store_id IS NULL THEN c.complete_as_of
        WHEN c.proven_as_of IS NULL THEN NULL
        ELSE {complete}
    END AS complete_as_of,
    CASE
        WHEN NOT s.enabled OR NOT c.selected THEN 'disabled'
        WHEN c.unavailable IS NOT NULL THEN 'unavailable'
        WHEN s.error IS NOT NULL OR c.approval IS NOT NULL OR l.stuck THEN 'attention'
        WHEN w.rebuilding THEN 'loading'
        WHEN c.proven_as_of IS NOT NULL AND f.store_id IS NOT NULL THEN 'following'
        WHEN c.complete_as_of IS NOT NULL AND f.store_id IS NULL THEN
            CASE WHEN c.complete_as_of
                    > now() - make_interval(secs => 1.5 * c.every_seconds + 120)
                THEN 'fresh' ELSE 'attention' END
        WHEN w.started THEN 'loading'
        ELSE 'pending'
    END AS state,
    s.id AS store_id
FROM sync.coverage AS c
JOIN sync.store AS s ON s.id = c.store_id
LEFT JOIN sync.feed AS f ON f.store_id = c.store_id AND f.resource = c.feed
LEFT JOIN LATERAL (
    SELECT bool_or(parked_at IS NOT NULL
                   OR failing_since < now() - interval '15 minutes') AS stuck
    FROM sync.lane AS l WHERE l.store_id = c.store_id AND l.resource = c.resource
) AS l ON true
LEFT JOIN LATERAL (
    SELECT coalesce(bool_or(kind = 'rebuild'), false) AS rebuilding,
        coalesce(bool_or(started_at IS NOT NULL), false) AS started
    FROM sync.crawl AS w WHERE w.store_id = c.store_id AND w.resource = c.resource
        AND w.state IN ('pending', 'running')
) AS w ON true
LEFT JOIN LATERAL (
    SELECT {oldest} AS oldest FROM sync.reread AS r
    WHERE r.store_id = c.store_id AND r.resource = c.resource
) AS r ON true
{told}
) AS a
WHERE a.store_id = ANY (ARRAY(SELECT unnest(sync.visible_stores(current_user::name))))
"""


def upgrade() -> None:
    op.add_column(
        "coverage",
        sa.Column(
            "told_by",
            postgresql.ARRAY(sa.Text()),
            nullable=False,
            server_default=sa.text("'{}'"),
            comment="other histories that tell of its changes",
        ),
        schema="sync",
    )
    op.add_column(
        "reread",
        sa.Column(
            "since",
            sa.DateTime(timezone=True),
            comment="up to when the history that asked for it had been read before",
        ),
        schema="sync",
    )
    op.execute(view(BOUNDED, OLDEST, TOLD))


def downgrade() -> None:
    op.execute(view(UNBOUNDED, "min(asked_at)", ""))
    op.drop_column("reread", "since", schema="sync")
    op.drop_column("coverage", "told_by", schema="sync")
