-- Orders as they were at a moment, where `celery -A sync mirror versions NAME on` keeps contents
SELECT id, status, total_summ
FROM crm.order_versions
WHERE store_id = 1 AND valid_from <= timestamptz '2026-01-01' AND timestamptz '2026-01-01' < valid_to
UNION ALL
SELECT id, status, total_summ
FROM crm.orders
WHERE store_id = 1 AND changed_at <= timestamptz '2026-01-01' AND deleted_at IS NULL;
