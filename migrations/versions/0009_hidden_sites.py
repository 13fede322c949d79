"""Coverage says what a key that sees fewer sites no longer shows, and never runs ahead of the clock

Rows of a site the key has lost stay as they were, so from then on a table is not complete. A clock
that was ahead and has been set right leaves moments that are yet to come. A history nobody has read
to its end proves nothing of what it tells, whatever others have read.

Revision: 0009, after 0008.
Additive only: nothing an analyst's view may stand on is dropped or retyped.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# least() passes over NULL: what must not be unknown is asked for by itself.
BOUNDED = """CASE WHEN f.clear_at IS NULL OR t.untold THEN NULL
            ELSE least(f.clear_at, r.oldest, t.clear_at, h.hidden_as_of, now()) END"""
BEFORE = "CASE WHEN t.untold THEN NULL ELSE least(f.clear_at, r.oldest, t.clear_at) END"
CLOSED = "CASE WHEN c.complete_as_of IS NOT NULL THEN least(c.complete_as_of, now()) END"
HIDDEN = """
LEFT JOIN LATERAL (
    SELECT s.hidden_as_of WHERE s.chosen_sites IS NULL OR NOT s.chosen_sites <@ s.sites
) AS h ON true
"""


def view(complete: str, closed: str, hidden: str) -> str:
    """crm.coverage as 0008 made it, with other bounds."""
    return f"""
CREATE OR REPLACE VIEW crm.coverage WITH (security_barrier) AS SELECT a.* FROM (
SELECT s.name AS store, c.resource, c.expected, c.mirrored,
    CASE
        WHEN w.rebuilding OR c.unavailable IS NOT NULL THEN NULL
        WHEN f.store_id IS NULL THEN {closed}
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
    SELECT least(min(since), min(asked_at)) AS oldest FROM sync.reread AS r
    WHERE r.store_id = c.store_id AND r.resource = c.resource
) AS r ON true
-- A history that is off or that the API does not give tells nothing, and holds nothing back.
LEFT JOIN LATERAL (
    SELECT min(o.clear_at) AS clear_at, coalesce(bool_or(o.clear_at IS NULL), false) AS untold
    FROM sync.coverage AS d
    LEFT JOIN sync.feed AS o ON o.store_id = d.store_id AND o.resource = d.resource
    WHERE d.store_id = c.store_id AND d.resource = ANY (c.told_by)
        AND d.selected AND d.unavailable IS NULL
) AS t ON true
{hidden}
) AS a
WHERE a.store_id = ANY (ARRAY(SELECT unnest(sync.visible_stores(current_user::name))))
"""


def upgrade() -> None:
    op.add_column(
        "store",
        sa.Column(
            "hidden_sites",
            postgresql.ARRAY(sa.Text()),
            nullable=False,
            server_default=sa.text("'{}'"),
            comment="sites whose rows were mirrored and that the key sees no more; * for others",
        ),
        schema="sync",
    )
    op.add_column(
        "store",
        sa.Column(
            "hidden_as_of",
            sa.DateTime(timezone=True),
            comment="when the key was last known to see them",
        ),
        schema="sync",
    )
    op.execute(view(BOUNDED, CLOSED, HIDDEN))
    # Gaps that a reconcile has bridged since: from now on it is noted when one does.
    op.execute(
        "UPDATE sync.feed AS f SET gap_at = NULL FROM sync.coverage AS c"
        " WHERE c.store_id = f.store_id AND c.feed = f.resource AND c.proven_at > f.gap_at"
        " AND c.resource <> f.resource"
    )


def downgrade() -> None:
    op.execute(view(BEFORE, "c.complete_as_of", ""))
    op.drop_column("store", "hidden_as_of", schema="sync")
    op.drop_column("store", "hidden_sites", schema="sync")
