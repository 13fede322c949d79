CREATE VIEW crm.daily_sales WITH (security_invoker) AS
SELECT o.store_id, o.created_on AS day, o.site, s."group" AS status_group, o.currency,
    count(*) AS orders,
    sum(o.total_summ) AS total_summ,
    sum(o.summ) AS summ,
    sum(o.purchase_summ) AS purchase_summ,
    sum(o.delivery_cost) AS delivery_cost,
    sum(o.prepay_sum) AS prepay_sum
FROM crm.orders AS o
LEFT JOIN crm.statuses AS s ON s.store_id = o.store_id AND s.code = o.status
WHERE o.deleted_at IS NULL
GROUP BY o.store_id, o.created_on, o.site, s."group", o.currency;

COMMENT ON VIEW crm.daily_sales IS
    'Live orders by creation day in the store''s zone, site, status group and currency';
COMMENT ON COLUMN crm.daily_sales.store_id IS 'crm.store.store_id';
COMMENT ON COLUMN crm.daily_sales.day IS 'creation day in the store''s zone';
COMMENT ON COLUMN crm.daily_sales.site IS 'joins crm.sites.code';
COMMENT ON COLUMN crm.daily_sales.status_group IS 'joins crm.status_groups.code';
COMMENT ON COLUMN crm.daily_sales.currency IS
    'ISO 4217; amounts of several currencies are never added up';
COMMENT ON COLUMN crm.daily_sales.orders IS 'how many';
COMMENT ON COLUMN crm.daily_sales.total_summ IS 'amounts due: items, discounts and delivery';
COMMENT ON COLUMN crm.daily_sales.summ IS 'items before the orders'' discounts';
COMMENT ON COLUMN crm.daily_sales.purchase_summ IS 'purchase cost of the items, by the CRM';
COMMENT ON COLUMN crm.daily_sales.delivery_cost IS 'what customers pay for delivery';
COMMENT ON COLUMN crm.daily_sales.prepay_sum IS 'what was paid already';
