-- What each item earned: its tranches where they are sent, else price less discount. An odd tranche
-- (a text that is no number, no quantity) counts as if none had been sent. A short number needs no
-- pattern to be one.
CREATE OR REPLACE VIEW crm.order_lines WITH (security_invoker) AS
SELECT p.store_id, p.order_id, p.id AS item_id, o.number AS order_number, o.site, o.created_on,
    o.status, s."group" AS status_group, p.is_canceled IS true AS is_canceled,
    s."group" IS DISTINCT FROM 'cancel' AND p.is_canceled IS NOT true AS is_sale,
    nullif(o.currency, '') AS currency,
    p.offer_id, f.product_id, coalesce(p.offer_name, p.product_name) AS offer,
    p.quantity,
    coalesce(t.summ, (p.initial_price - coalesce(p.discount_total, 0)) * p.quantity) AS summ,
    p.purchase_price * p.quantity AS purchase_summ,
    coalesce(t.summ, (p.initial_price - coalesce(p.discount_total, 0)) * p.quantity)
        - p.purchase_price * p.quantity AS margin
FROM crm.order_items AS p
JOIN crm.orders AS o ON o.store_id = p.store_id AND o.id = p.order_id AND o.deleted_at IS NULL
LEFT JOIN crm.statuses AS s ON s.store_id = o.store_id AND s.code = o.status
LEFT JOIN crm.offers AS f ON f.store_id = p.store_id AND f.id = p.offer_id
LEFT JOIN LATERAL (
    SELECT CASE WHEN count(n.summ) = count(*) THEN sum(n.summ) END AS summ
    FROM (
        SELECT CASE WHEN jsonb_typeof(e -> 'price') = 'number' AND length(e ->> 'price') < 16
                    OR e ->> 'price' ~ '^-?[0-9]{1,15}(\.[0-9]{1,15})?$'
                THEN (e ->> 'price')::numeric END
            * CASE WHEN jsonb_typeof(e -> 'quantity') = 'number' AND length(e ->> 'quantity') < 16
                    OR e ->> 'quantity' ~ '^-?[0-9]{1,15}(\.[0-9]{1,15})?$'
                THEN (e ->> 'quantity')::numeric END AS summ
        FROM jsonb_array_elements(CASE jsonb_typeof(p.prices) WHEN 'array' THEN p.prices END) AS e
        OFFSET 0  -- worked out once for both aggregates
    ) AS n
) AS t ON true;
