CREATE VIEW crm.buyer_sales WITH (security_invoker) AS
SELECT o.store_id, CASE WHEN o.customer_id IS NOT NULL
        THEN coalesce(o.customer_type, 'customer') END AS buyer_type,
    o.customer_id AS buyer_id, nullif(o.currency, '') AS currency,
    count(*) FILTER (WHERE s."group" IS DISTINCT FROM 'cancel') AS sales,
    count(*) FILTER (WHERE s."group" = 'cancel') AS canceled_orders,
    coalesce(sum(o.total_summ) FILTER (WHERE s."group" IS DISTINCT FROM 'cancel'), 0) AS total_summ,
    min(o.created_on) FILTER (WHERE s."group" IS DISTINCT FROM 'cancel') AS first_sale_on,
    max(o.created_on) FILTER (WHERE s."group" IS DISTINCT FROM 'cancel') AS last_sale_on
FROM crm.orders AS o
LEFT JOIN crm.statuses AS s ON s.store_id = o.store_id AND s.code = o.status
WHERE o.deleted_at IS NULL
GROUP BY 1, 2, 3, 4;

COMMENT ON VIEW crm.buyer_sales IS
    'Live orders by whose they are: a person, a company or nobody; its rows add up to all revenue';
COMMENT ON COLUMN crm.buyer_sales.store_id IS 'crm.store.store_id';
COMMENT ON COLUMN crm.buyer_sales.buyer_type IS
    'customer or customer_corporate; NULL for orders without a customer';
COMMENT ON COLUMN crm.buyer_sales.buyer_id IS
    'joins crm.customers.id or crm.corporate_customers.id';
COMMENT ON COLUMN crm.buyer_sales.currency IS
    'ISO 4217, NULL when orders name none; one row for each';
COMMENT ON COLUMN crm.buyer_sales.sales IS 'orders not in a status of the group cancel';
COMMENT ON COLUMN crm.buyer_sales.canceled_orders IS 'the others';
COMMENT ON COLUMN crm.buyer_sales.total_summ IS 'amounts due of the sales';
COMMENT ON COLUMN crm.buyer_sales.first_sale_on IS 'day of the first, in the store''s zone';
COMMENT ON COLUMN crm.buyer_sales.last_sale_on IS 'day of the last';
