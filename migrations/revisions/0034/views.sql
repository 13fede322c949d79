CREATE OR REPLACE VIEW crm.order_status_spans WITH (security_invoker) AS
SELECT k.store_id, k.order_id, k.ordinal, k.status, k.entered_at, k.left_at,
    k.left_at IS NULL AS is_open,
    greatest(coalesce(k.left_at, now()), k.entered_at) - k.entered_at AS lasted
FROM crm.kept_order_status_spans AS k;

-- Costs are in the account's currency: an order in another one has no margin while it has costs.
CREATE OR REPLACE VIEW crm.order_margin WITH (security_invoker) AS
SELECT k.store_id, k.order_id, k.site, k.created_on, k.status, k.currency, k.total_summ,
    k.items_summ, k.purchase_summ, k.items_without_purchase_price, k.delivery_net_cost, k.costs,
    CASE WHEN k.costs = 0 OR coalesce(k.currency, a.currency) = a.currency
        THEN k.total_summ - k.purchase_summ - k.delivery_net_cost - k.costs END AS margin,
    a.currency AS costs_currency, s."group" AS status_group,
    s."group" IS DISTINCT FROM 'cancel' AS is_sale
FROM crm.kept_order_margin AS k
LEFT JOIN crm.store AS a ON a.store_id = k.store_id
LEFT JOIN crm.statuses AS s ON s.store_id = k.store_id AND s.code = k.status;
