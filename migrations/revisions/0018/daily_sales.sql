CREATE OR REPLACE VIEW crm.daily_sales WITH (security_invoker) AS
SELECT o.store_id, o.created_on AS day, o.site, s."group" AS status_group,
    nullif(o.currency, '') AS currency,
    count(*) AS orders,
    sum(o.total_summ) AS total_summ,
    sum(o.summ) AS summ,
    sum(o.purchase_summ) AS purchase_summ,
    sum(o.delivery_cost) AS delivery_cost,
    sum(o.prepay_sum) AS prepay_sum
FROM crm.orders AS o
LEFT JOIN crm.statuses AS s ON s.store_id = o.store_id AND s.code = o.status
WHERE o.deleted_at IS NULL
GROUP BY o.store_id, o.created_on, o.site, s."group", nullif(o.currency, '');

COMMENT ON COLUMN crm.daily_sales.currency IS
    'ISO 4217, NULL when orders name none; amounts of several currencies are never added up';
