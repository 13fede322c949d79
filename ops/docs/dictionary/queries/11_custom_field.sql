-- A custom field, straight from the JSON
SELECT number, custom_fields ->> 'gift_wrap' AS gift_wrap
FROM crm.orders
WHERE store_id = 1 AND deleted_at IS NULL AND custom_fields ? 'gift_wrap';
