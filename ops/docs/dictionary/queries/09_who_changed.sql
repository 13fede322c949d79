-- Who changed an order, when, from what to what
SELECT h.created_at, h.field, h.old_value, h.new_value, h.source, u.last_name
FROM crm.order_history AS h
LEFT JOIN crm.users AS u ON u.store_id = h.store_id AND u.id = h.user_id
WHERE h.store_id = 1 AND h.order_id = 1
ORDER BY h.id;
