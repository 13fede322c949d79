-- The CRM books the purchase cost of an order's items and its delivery's cost as costs by itself;
-- they are not counted a second time. Costs are in the account's currency: an order in another one
-- has no margin while it has costs.
CREATE OR REPLACE VIEW crm.order_margin WITH (security_invoker) AS
SELECT m.store_id, m.order_id, m.site, m.created_on, m.status, m.currency, m.total_summ,
    m.items_summ, m.purchase_summ, m.items_without_purchase_price, m.delivery_net_cost, m.costs,
    CASE WHEN m.costs = 0 OR coalesce(m.currency, m.costs_currency) = m.costs_currency
        THEN m.total_summ - m.purchase_summ - m.delivery_net_cost - m.costs END AS margin,
    m.costs_currency, m.status_group, m.status_group IS DISTINCT FROM 'cancel' AS is_sale
FROM (
    SELECT o.store_id, o.id AS order_id, o.site, o.created_on, o.status,
        nullif(o.currency, '') AS currency, o.total_summ,
        coalesce(i.items_summ, 0) AS items_summ,
        coalesce(i.purchase_summ, c.purchase, 0) AS purchase_summ,
        coalesce(i.unpriced, 0) AS items_without_purchase_price,
        coalesce(o.delivery_net_cost, c.delivery, 0) AS delivery_net_cost,
        coalesce(c.costs, 0) AS costs,
        (SELECT a.currency FROM crm.store AS a WHERE a.store_id = o.store_id) AS costs_currency,
        s."group" AS status_group
    FROM crm.orders AS o
    LEFT JOIN crm.statuses AS s ON s.store_id = o.store_id AND s.code = o.status
    LEFT JOIN LATERAL (
        SELECT sum(l.summ) AS items_summ, sum(l.purchase_summ) AS purchase_summ,
            count(*) FILTER (WHERE l.purchase_summ IS NULL) AS unpriced
        FROM crm.order_lines AS l
        WHERE l.store_id = o.store_id AND l.order_id = o.id AND NOT l.is_canceled
    ) AS i ON true
    LEFT JOIN LATERAL (
        SELECT sum(k.summ) FILTER (WHERE k.cost_item IS DISTINCT FROM 'products-purchase-price'
                AND k.cost_item IS DISTINCT FROM 'delivery-cost') AS costs,
            sum(k.summ) FILTER (WHERE k.cost_item = 'products-purchase-price') AS purchase,
            sum(k.summ) FILTER (WHERE k.cost_item = 'delivery-cost') AS delivery
        FROM crm.costs AS k
        WHERE k.store_id = o.store_id AND k.order_id = o.id AND k.deleted_at IS NULL
    ) AS c ON true
    WHERE o.deleted_at IS NULL
) AS m;

COMMENT ON VIEW crm.order_margin IS
    'What is left of each live order after purchase, delivery and costs, in its currency';
COMMENT ON COLUMN crm.order_margin.currency IS
    'ISO 4217 currency of all amounts but costs; NULL when the order names none';
COMMENT ON COLUMN crm.order_margin.purchase_summ IS
    'the same at purchase prices; without any, as the CRM booked it';
COMMENT ON COLUMN crm.order_margin.delivery_net_cost IS
    'what delivery costs the shop; where it is not told, as the CRM booked it';
COMMENT ON COLUMN crm.order_margin.costs IS
    'crm.costs booked on the order, in costs_currency, without what the CRM books by itself for'
    ' purchase and delivery';
COMMENT ON COLUMN crm.order_margin.margin IS
    'total_summ less purchase_summ, delivery_net_cost and costs; NULL when the costs are in another'
    ' currency than the order';
COMMENT ON COLUMN crm.order_margin.costs_currency IS 'the account''s currency';
COMMENT ON COLUMN crm.order_margin.status_group IS 'joins crm.status_groups.code';
COMMENT ON COLUMN crm.order_margin.is_sale IS 'the order is not in a status of the group cancel';
