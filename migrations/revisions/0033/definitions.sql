-- What the tables kept up with orders hold: their definition, by which they are filled, refreshed
-- and proven.

-- Entries are in the order of their ids: of the two readings of a doubled hour, or of moments that
-- were moved, a later entry never comes before an earlier one. What an order was before its first
-- change is told by that change; without any, by the order. A history's value names a dictionary
-- entry by an object with its code, or by the code.
CREATE VIEW sync.order_status_spans AS
SELECT s.store_id, s.order_id, s.ordinal, s.status, s.entered_at,
    greatest(s.left_at, CASE WHEN s.left_at IS NOT NULL THEN s.entered_at END) AS left_at
FROM (
    SELECT e.store_id, e.order_id,
        CASE WHEN k.is_first THEN 1 ELSE e.n + (e.before IS NOT NULL AND o.created_at < e.first_at
            AND o.created_at IS NOT NULL)::int END::bigint AS ordinal,
        CASE WHEN k.is_first THEN e.before ELSE e.status END AS status,
        CASE WHEN k.is_first THEN o.created_at ELSE e.entered_at END AS entered_at,
        CASE WHEN k.is_first THEN e.entered_at ELSE coalesce(e.next_at, o.deleted_at) END AS left_at
    FROM (
        SELECT t.store_id, t.order_id, t.n, t.status, t.entered_at,
            first_value(t.before) OVER span AS before,
            first_value(t.entered_at) OVER span AS first_at,
            lead(t.entered_at) OVER span AS next_at
        FROM (
            SELECT h.store_id, h.order_id, row_number() OVER entries AS n,
                max(h.created_at) OVER entries AS entered_at,
                CASE jsonb_typeof(h.new_value) WHEN 'object' THEN h.new_value ->> 'code'
                    WHEN 'null' THEN NULL ELSE h.new_value #>> '{}' END AS status,
                CASE jsonb_typeof(h.old_value) WHEN 'object' THEN h.old_value ->> 'code'
                    WHEN 'null' THEN NULL ELSE h.old_value #>> '{}' END AS before
            FROM crm.order_history AS h
            WHERE h.field = 'status' AND h.deleted_at IS NULL AND h.order_id IS NOT NULL
            WINDOW entries AS (PARTITION BY h.store_id, h.order_id ORDER BY h.id)
        ) AS t
        WINDOW span AS (PARTITION BY t.store_id, t.order_id ORDER BY t.n)
    ) AS e
    LEFT JOIN crm.orders AS o ON o.store_id = e.store_id AND o.id = e.order_id
    CROSS JOIN (VALUES (true), (false)) AS k(is_first)
    WHERE NOT k.is_first OR (e.n = 1 AND e.before IS NOT NULL AND o.created_at < e.entered_at)
    UNION ALL
    SELECT b.store_id, b.id, 1, b.status, b.created_at, b.deleted_at
    FROM crm.orders AS b
    WHERE b.created_at IS NOT NULL AND NOT EXISTS (
        SELECT FROM crm.order_history AS g
        WHERE g.store_id = b.store_id AND g.order_id = b.id AND g.field = 'status'
            AND g.deleted_at IS NULL
    )
) AS s;

-- The CRM books the purchase cost of an order's items and its delivery's cost as costs by itself;
-- they are not counted a second time. Items are summed as crm.order_lines does, without its second
-- look at the order. Live orders are told by an expression that no partial index is made for: before
-- there are statistics such an index, of all orders of the store, seems as good as the key.
CREATE VIEW sync.order_margin AS
SELECT o.store_id, o.id AS order_id, o.site, o.created_on, o.status,
    nullif(o.currency, '') AS currency, o.total_summ,
    coalesce(i.items_summ, 0) AS items_summ,
    coalesce(i.purchase_summ, c.purchase, 0) AS purchase_summ,
    coalesce(i.unpriced, 0) AS items_without_purchase_price,
    coalesce(o.delivery_net_cost, c.delivery, 0) AS delivery_net_cost,
    coalesce(c.costs, 0) AS costs
FROM crm.orders AS o
CROSS JOIN LATERAL (
    SELECT sum(coalesce(t.summ, (p.initial_price - coalesce(p.discount_total, 0)) * p.quantity))
            AS items_summ,
        sum(p.purchase_price * p.quantity) AS purchase_summ,
        count(*) FILTER (WHERE p.purchase_price * p.quantity IS NULL) AS unpriced
    FROM crm.order_items AS p
    LEFT JOIN LATERAL (
        SELECT CASE WHEN count(n.summ) = count(*) THEN sum(n.summ) END AS summ
        FROM (
            SELECT CASE WHEN jsonb_typeof(e -> 'price') = 'number' AND length(e ->> 'price') < 16
                        OR e ->> 'price' ~ '^-?[0-9]{1,15}(\.[0-9]{1,15})?$'
                    THEN (e ->> 'price')::numeric END
                * CASE WHEN jsonb_typeof(e -> 'quantity') = 'number'
                            AND length(e ->> 'quantity') < 16
                        OR e ->> 'quantity' ~ '^-?[0-9]{1,15}(\.[0-9]{1,15})?$'
                    THEN (e ->> 'quantity')::numeric END AS summ
            FROM jsonb_array_elements(
                CASE jsonb_typeof(p.prices) WHEN 'array' THEN p.prices END
            ) AS e
            OFFSET 0  -- worked out once for both aggregates
        ) AS n
    ) AS t ON true
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
