"""crm.store and crm.coverage: what analysts may ask about the mirror itself

Revision: 0002, after 0001.
Additive only: nothing an analyst's view may stand on is dropped or retyped.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STORE = """
CREATE VIEW crm.store AS
SELECT id AS store_id, name, zone, currency, enabled FROM sync.store
"""

# A resource with a feed, proven once and followed without a gap, is complete as of the moment up
# to which both cursors of the feed have read (sync.feed.clear_at), unless a record still waits to
# be read again. Without a feed: as of the first request of the last pass that closed.
COVERAGE = """
CREATE VIEW crm.coverage AS
SELECT s.name AS store, c.resource, c.expected, c.mirrored,
    CASE
        WHEN w.rebuilding OR c.unavailable IS NOT NULL THEN NULL
        WHEN f.store_id IS NULL THEN c.complete_as_of
        WHEN c.proven_as_of IS NULL THEN NULL
        ELSE least(f.clear_at, r.oldest)
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
    SELECT min(asked_at) AS oldest FROM sync.reread AS r
    WHERE r.store_id = c.store_id AND r.resource = c.resource
) AS r ON true
"""

COMMENTS = (
    "COMMENT ON VIEW crm.store IS 'The mirrored stores, their zone and currency'",
    "COMMENT ON VIEW crm.coverage IS 'What is proven complete, as of when; when in doubt older'",
    "COMMENT ON COLUMN crm.coverage.store IS 'the store''s name'",
    "COMMENT ON COLUMN crm.coverage.expected IS 'records in the CRM as far as is known'",
    "COMMENT ON COLUMN crm.coverage.mirrored IS 'live rows in crm'",
    "COMMENT ON COLUMN crm.coverage.complete_as_of IS "
    "'every change the CRM made until then is in the mirror; NULL until first proven'",
    "COMMENT ON COLUMN crm.coverage.state IS "
    "'pending, loading, following, fresh, attention, unavailable or disabled'",
)


def upgrade() -> None:
    op.execute(STORE)
    op.execute(COVERAGE)
    for comment in COMMENTS:
        op.execute(comment)


def downgrade() -> None:
    op.execute("DROP VIEW crm.coverage")
    op.execute("DROP VIEW crm.store")
