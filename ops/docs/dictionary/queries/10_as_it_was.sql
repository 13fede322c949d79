-- Orders as they were at a moment, where `celery -A sync mirror versions NAME on` keeps contents.
-- What was changed since, before contents were kept, is there too, with is_known = false
WITH moment AS NOT MATERIALIZED (SELECT timestamptz '2026-01-01' AS at),
version AS NOT MATERIALIZED (
    SELECT v.id, v.status, v.total_summ FROM crm.order_versions AS v, moment
    WHERE v.store_id = 1 AND v.valid_from <= at AND at < v.valid_to
)
SELECT id, true AS is_known, status, total_summ FROM version
UNION ALL
SELECT o.id, n.is_known, CASE WHEN n.is_known THEN o.status END,
    CASE WHEN n.is_known THEN o.total_summ END
FROM crm.orders AS o CROSS JOIN moment
CROSS JOIN LATERAL (SELECT o.changed_at <= at AND o.deleted_at IS NULL AS is_known) AS n
WHERE o.store_id = 1 AND NOT EXISTS (SELECT FROM version AS v WHERE v.id = o.id)
    AND (n.is_known OR (o.created_at <= at AND coalesce(o.deleted_at, 'infinity') > at));
