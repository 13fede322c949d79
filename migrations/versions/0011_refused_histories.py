"""A history that is refused holds back what it told of

It was read, and the API gives it no more: what it would tell is unknown from then on, so that what
it told of is complete only as of when it was last read. Where it was never given, or is off, others
go on without it.

Revision: 0011, after 0010.
Additive only: nothing an analyst's view may stand on is dropped or retyped.
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TOLD = "(d.unavailable IS NULL OR o.clear_at IS NOT NULL)"
BEFORE = "d.unavailable IS NULL"


def view(told: str) -> str:
    """crm.coverage as 0009 made it, with other histories that tell."""
    return f"""
CREATE OR REPLACE VIEW crm.coverage WITH (security_barrier) AS SELECT a.* FROM (
SELECT s.name AS store, c.resource, c.expected, c.mirrored,
    CASE
        WHEN w.rebuilding OR c.unavailable IS NOT NULL THEN NULL
        WHEN f.store_id IS NULL THEN
            CASE WHEN c.complete_as_of IS NOT NULL THEN least(c.complete_as_of, now()) END
        WHEN c.proven_as_of IS NULL THEN NULL
        ELSE CASE WHEN f.clear_at IS NULL OR t.untold THEN NULL
            ELSE least(f.clear_at, r.oldest, t.clear_at, h.hidden_as_of, now()) END
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
-- A history that is off or was never given tells nothing, and holds nothing back.
LEFT JOIN LATERAL (
    SELECT min(o.clear_at) AS clear_at, coalesce(bool_or(o.clear_at IS NULL), false) AS untold
    FROM sync.coverage AS d
    LEFT JOIN sync.feed AS o ON o.store_id = d.store_id AND o.resource = d.resource
    WHERE d.store_id = c.store_id AND d.resource = ANY (c.told_by)
        AND d.selected AND {told}
) AS t ON true
LEFT JOIN LATERAL (
    SELECT s.hidden_as_of WHERE s.chosen_sites IS NULL OR NOT s.chosen_sites <@ s.sites
) AS h ON true
) AS a
WHERE a.store_id = ANY (ARRAY(SELECT unnest(sync.visible_stores(current_user::name))))
"""


def upgrade() -> None:
    op.execute(view(TOLD))


def downgrade() -> None:
    op.execute(view(BEFORE))
