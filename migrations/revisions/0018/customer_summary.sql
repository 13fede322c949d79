CREATE OR REPLACE VIEW crm.customer_summary WITH (security_invoker) AS
SELECT c.store_id, c.id AS customer_id, c.site, c.created_at AS registered_at,
    coalesce(o.orders, 0) AS orders,
    coalesce(o.canceled_orders, 0) AS canceled_orders,
    o.first_order_at, o.last_order_at,
    CASE WHEN o.currencies = 1 THEN o.currency END AS currency,
    CASE WHEN o.currencies = 1 THEN o.total_summ WHEN o.orders IS NULL THEN 0 END AS total_summ,
    CASE WHEN o.currencies = 1 THEN o.total_summ / nullif(o.orders - o.canceled_orders, 0)
        END AS average_summ,
    c.vip, c.bad,
    o.first_order_on, o.last_order_on
FROM crm.customers AS c
LEFT JOIN (
    SELECT i.store_id, i.customer_id, count(*) AS orders,
        count(*) FILTER (WHERE s."group" = 'cancel') AS canceled_orders,
        min(i.created_at) AS first_order_at, max(i.created_at) AS last_order_at,
        min(i.created_on) AS first_order_on, max(i.created_on) AS last_order_on,
        count(DISTINCT coalesce(i.currency, '')) AS currencies,
        nullif(min(i.currency), '') AS currency,
        coalesce(sum(i.total_summ) FILTER (WHERE s."group" IS DISTINCT FROM 'cancel'), 0)
            AS total_summ
    FROM crm.orders AS i
    LEFT JOIN crm.statuses AS s ON s.store_id = i.store_id AND s.code = i.status
    WHERE i.deleted_at IS NULL AND i.customer_id IS NOT NULL
        AND i.customer_type IS DISTINCT FROM 'customer_corporate'
    GROUP BY i.store_id, i.customer_id
) AS o ON o.store_id = c.store_id AND o.customer_id = c.id
WHERE c.deleted_at IS NULL;

COMMENT ON VIEW crm.customer_summary IS
    'Live customers and their live orders; orders of companies and of nobody: crm.buyer_sales';
COMMENT ON COLUMN crm.customer_summary.orders IS
    'their orders, cancelled ones too; the CRM''s own crm.customers.orders_count leaves those out';
COMMENT ON COLUMN crm.customer_summary.currency IS
    'of the orders; NULL when there are several, or they name none';
COMMENT ON COLUMN crm.customer_summary.first_order_on IS 'its day in the store''s zone';
COMMENT ON COLUMN crm.customer_summary.last_order_on IS 'its day in the store''s zone';
