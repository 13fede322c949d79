-- Orders that have been in their status for more than three days and are not finished
SELECT o.number, o.site, o.status, o.status_updated_at, now() - o.status_updated_at AS lasted
FROM crm.orders AS o
JOIN crm.statuses AS t ON t.store_id = o.store_id AND t.code = o.status
WHERE o.store_id = 1 AND o.deleted_at IS NULL
    AND o.status_updated_at < now() - interval '3 days'
    AND t."group" NOT IN ('complete', 'cancel')
ORDER BY o.status_updated_at;
