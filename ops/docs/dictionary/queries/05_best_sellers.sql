-- Best sellers of the last 30 days, by what was paid for them
SELECT
    i.offer_id, min(i.offer_name) AS offer, sum(i.quantity) AS pieces,
    sum((p ->> 'price')::numeric * (p ->> 'quantity')::numeric) AS summ, o.currency
FROM crm.order_items AS i
JOIN crm.orders AS o ON o.store_id = i.store_id AND o.id = i.order_id
CROSS JOIN LATERAL jsonb_array_elements(i.prices) AS p
WHERE i.store_id = 1 AND o.created_on > current_date - 30 AND i.is_canceled IS NOT true
GROUP BY i.offer_id, o.currency
ORDER BY summ DESC
LIMIT 20;
