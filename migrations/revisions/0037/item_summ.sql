-- What an item was sold for: its tranches where they are sent, else price less discount. An odd
-- tranche (a text that is no number, no quantity) counts as if none had been sent. A short number
-- needs no pattern to be one. Postgres puts the query in the place of its call: the name costs nothing.
CREATE FUNCTION sync.item_summ(
    prices jsonb, initial_price numeric, discount_total numeric, quantity numeric
) RETURNS TABLE (summ numeric) LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(
        CASE WHEN count(n.summ) = count(*) THEN sum(n.summ) END,
        (initial_price - coalesce(discount_total, 0)) * quantity
    )
    FROM (
        SELECT CASE WHEN jsonb_typeof(e -> 'price') = 'number' AND length(e ->> 'price') < 16
                    OR e ->> 'price' ~ '^-?[0-9]{1,15}(\.[0-9]{1,15})?$'
                THEN (e ->> 'price')::numeric END
            * CASE WHEN jsonb_typeof(e -> 'quantity') = 'number' AND length(e ->> 'quantity') < 16
                    OR e ->> 'quantity' ~ '^-?[0-9]{1,15}(\.[0-9]{1,15})?$'
                THEN (e ->> 'quantity')::numeric END AS summ
        FROM jsonb_array_elements(CASE jsonb_typeof(prices) WHEN 'array' THEN prices END) AS e
        OFFSET 0  -- worked out once for both aggregates
    ) AS n
$$;

CREATE OR REPLACE VIEW crm.order_lines WITH (security_invoker) AS
SELECT p.store_id, p.order_id, p.id AS item_id, o.number AS order_number, o.site, o.created_on,
    o.status, s."group" AS status_group, p.is_canceled IS true AS is_canceled,
    s."group" IS DISTINCT FROM 'cancel' AND p.is_canceled IS NOT true AS is_sale,
    nullif(o.currency, '') AS currency,
    p.offer_id, f.product_id, coalesce(p.offer_name, p.product_name) AS offer,
    p.quantity,
    t.summ,
    p.purchase_price * p.quantity AS purchase_summ,
    t.summ - p.purchase_price * p.quantity AS margin
FROM crm.order_items AS p
JOIN crm.orders AS o ON o.store_id = p.store_id AND o.id = p.order_id AND o.deleted_at IS NULL
LEFT JOIN crm.statuses AS s ON s.store_id = o.store_id AND s.code = o.status
LEFT JOIN crm.offers AS f ON f.store_id = p.store_id AND f.id = p.offer_id
CROSS JOIN LATERAL sync.item_summ(
    p.prices, p.initial_price, p.discount_total, p.quantity
) AS t;

-- The CRM books the purchase cost of an order's items and its delivery's cost as costs by itself;
-- they are not counted a second time. Live orders are told by an expression that no partial index is
-- made for: before there are statistics such an index, of all orders of the store, seems as good as
-- the key.
CREATE OR REPLACE VIEW sync.order_margin AS
SELECT o.store_id, o.id AS order_id, o.site, o.created_on, o.status,
    nullif(o.currency, '') AS currency, o.total_summ,
    coalesce(i.items_summ, 0) AS items_summ,
    coalesce(i.purchase_summ, c.purchase, 0) AS purchase_summ,
    coalesce(i.unpriced, 0) AS items_without_purchase_price,
    coalesce(o.delivery_net_cost, c.delivery, 0) AS delivery_net_cost,
    coalesce(c.costs, 0) AS costs
FROM crm.orders AS o
CROSS JOIN LATERAL (
    SELECT sum(t.summ) AS items_summ,
        sum(p.purchase_price * p.quantity) AS purchase_summ,
        count(*) FILTER (WHERE p.purchase_price * p.quantity IS NULL) AS unpriced
    FROM crm.order_items AS p
    CROSS JOIN LATERAL sync.item_summ(
        p.prices, p.initial_price, p.discount_total, p.quantity
    ) AS t
    WHERE p.store_id = o.store_id AND p.order_id = o.id AND p.is_canceled IS NOT true
) AS i
CROSS JOIN LATERAL (
    SELECT sum(k.summ) FILTER (WHERE k.cost_item IS DISTINCT FROM 'products-purchase-price'
            AND k.cost_item IS DISTINCT FROM 'delivery-cost') AS costs,
        sum(k.summ) FILTER (WHERE k.cost_item = 'products-purchase-price') AS purchase,
        sum(k.summ) FILTER (WHERE k.cost_item = 'delivery-cost') AS delivery
    FROM crm.costs AS k
    WHERE k.store_id = o.store_id AND k.order_id = o.id AND k.deleted_at IS NULL
) AS c
WHERE coalesce(o.deleted_at, 'infinity') = 'infinity';
