-- What was deleted this week, and what was combined into what
SELECT id, number, deleted_at, deleted_reason, combined_to
FROM crm.orders
WHERE store_id = 1 AND deleted_at > now() - interval '7 days'
ORDER BY deleted_at DESC;
