CREATE VIEW crm.order_margin WITH (security_invoker) AS
SELECT o.store_id, o.id AS order_id, o.site, o.created_on, o.status, o.currency, o.total_summ,
    coalesce(i.items_summ, 0) AS items_summ,
    coalesce(i.purchase_summ, 0) AS purchase_summ,
    coalesce(i.unpriced, 0) AS items_without_purchase_price,
    coalesce(o.delivery_net_cost, 0) AS delivery_net_cost,
    coalesce(c.costs, 0) AS costs,
    o.total_summ - coalesce(i.purchase_summ, 0) - coalesce(o.delivery_net_cost, 0)
        - coalesce(c.costs, 0) AS margin
FROM crm.orders AS o
LEFT JOIN (
    SELECT p.store_id, p.order_id,
        sum(coalesce(t.summ, (p.initial_price - coalesce(p.discount_total, 0)) * p.quantity))
            AS items_summ,
        sum(p.purchase_price * p.quantity) AS purchase_summ,
        count(*) FILTER (WHERE p.purchase_price IS NULL) AS unpriced
    FROM crm.order_items AS p
    LEFT JOIN LATERAL (
        SELECT sum((e ->> 'price')::numeric * (e ->> 'quantity')::numeric) AS summ
        FROM jsonb_array_elements(CASE jsonb_typeof(p.prices) WHEN 'array' THEN p.prices END) AS e
        WHERE jsonb_typeof(e -> 'price') = 'number' AND jsonb_typeof(e -> 'quantity') = 'number'
    ) AS t ON true
    WHERE p.is_canceled IS NOT true
    GROUP BY p.store_id, p.order_id
) AS i ON i.store_id = o.store_id AND i.order_id = o.id
LEFT JOIN (
    SELECT k.store_id, k.order_id, sum(k.summ) AS costs
    FROM crm.costs AS k WHERE k.deleted_at IS NULL AND k.order_id IS NOT NULL
    GROUP BY k.store_id, k.order_id
) AS c ON c.store_id = o.store_id AND c.order_id = o.id
WHERE o.deleted_at IS NULL;

COMMENT ON VIEW crm.order_margin IS
    'What is left of each live order after purchase, delivery and costs, in its currency';
COMMENT ON COLUMN crm.order_margin.store_id IS 'crm.store.store_id';
COMMENT ON COLUMN crm.order_margin.order_id IS 'joins crm.orders.id';
COMMENT ON COLUMN crm.order_margin.site IS 'joins crm.sites.code';
COMMENT ON COLUMN crm.order_margin.created_on IS 'creation day in the store''s zone';
COMMENT ON COLUMN crm.order_margin.status IS 'joins crm.statuses.code';
COMMENT ON COLUMN crm.order_margin.currency IS 'ISO 4217 currency of all amounts';
COMMENT ON COLUMN crm.order_margin.total_summ IS 'amount due: items, discount and delivery';
COMMENT ON COLUMN crm.order_margin.items_summ IS 'items not cancelled, at the prices sold';
COMMENT ON COLUMN crm.order_margin.purchase_summ IS 'the same at purchase prices';
COMMENT ON COLUMN crm.order_margin.items_without_purchase_price IS
    'items whose cost is unknown and taken as nothing';
COMMENT ON COLUMN crm.order_margin.delivery_net_cost IS 'what delivery costs the shop';
COMMENT ON COLUMN crm.order_margin.costs IS 'crm.costs booked on the order';
COMMENT ON COLUMN crm.order_margin.margin IS
    'total_summ less purchase_summ, delivery_net_cost and costs';
