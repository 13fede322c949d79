-- Orders that have been in their status for more than three days and are not finished
SELECT o.number, o.site, s.status, s.entered_at, s.lasted
FROM crm.order_status_spans AS s
JOIN crm.orders AS o ON o.store_id = s.store_id AND o.id = s.order_id
JOIN crm.statuses AS t ON t.store_id = s.store_id AND t.code = s.status
WHERE s.store_id = 1 AND s.is_open AND s.lasted > interval '3 days'
    AND t."group" NOT IN ('complete', 'cancel') AND o.deleted_at IS NULL
ORDER BY s.lasted DESC;
