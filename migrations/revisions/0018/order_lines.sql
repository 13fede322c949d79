-- What each item earned: its tranches where they are sent, else price less discount. An odd tranche
-- (a text that is no number, no quantity) counts as if none had been sent.
CREATE VIEW crm.order_lines WITH (security_invoker) AS
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
    SELECT CASE WHEN count(n.price * n.quantity) = count(*) THEN sum(n.price * n.quantity) END AS summ
    FROM jsonb_array_elements(CASE jsonb_typeof(p.prices) WHEN 'array' THEN p.prices END) AS e
    CROSS JOIN LATERAL (
        SELECT
            CASE WHEN e ->> 'price' ~ '^-?[0-9]{1,15}(\.[0-9]{1,15})?$'
                THEN (e ->> 'price')::numeric END AS price,
            CASE WHEN e ->> 'quantity' ~ '^-?[0-9]{1,15}(\.[0-9]{1,15})?$'
                THEN (e ->> 'quantity')::numeric END AS quantity
    ) AS n
) AS t ON true;

COMMENT ON VIEW crm.order_lines IS
    'Items of live orders: what each was sold for, what it cost, what is left';
COMMENT ON COLUMN crm.order_lines.store_id IS 'crm.store.store_id';
COMMENT ON COLUMN crm.order_lines.order_id IS 'joins crm.orders.id';
COMMENT ON COLUMN crm.order_lines.item_id IS 'joins crm.order_items.id';
COMMENT ON COLUMN crm.order_lines.order_number IS 'order number shown to people';
COMMENT ON COLUMN crm.order_lines.site IS 'joins crm.sites.code';
COMMENT ON COLUMN crm.order_lines.created_on IS 'day the order was made, in the store''s zone';
COMMENT ON COLUMN crm.order_lines.status IS 'the order''s status; joins crm.statuses.code';
COMMENT ON COLUMN crm.order_lines.status_group IS 'joins crm.status_groups.code';
COMMENT ON COLUMN crm.order_lines.is_canceled IS 'the item is cancelled';
COMMENT ON COLUMN crm.order_lines.is_sale IS
    'neither the item is cancelled nor its order in a status of the group cancel';
COMMENT ON COLUMN crm.order_lines.currency IS
    'ISO 4217 currency of all amounts; NULL when the order names none';
COMMENT ON COLUMN crm.order_lines.offer_id IS 'joins crm.offers.id';
COMMENT ON COLUMN crm.order_lines.product_id IS 'joins crm.products.id';
COMMENT ON COLUMN crm.order_lines.offer IS 'offer''s name, or the name of a position without one';
COMMENT ON COLUMN crm.order_lines.quantity IS 'pieces';
COMMENT ON COLUMN crm.order_lines.summ IS 'what they were sold for, before the order''s discount';
COMMENT ON COLUMN crm.order_lines.purchase_summ IS
    'what they cost; NULL when no purchase price is known';
COMMENT ON COLUMN crm.order_lines.margin IS 'summ less purchase_summ; NULL when that is not known';
