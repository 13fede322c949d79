-- What lies in each warehouse, at purchase prices
SELECT warehouse, warehouse_name, sum(quantity) AS pieces, sum(purchase_value) AS purchase_value
FROM crm.stock
WHERE store_id = 1 AND quantity > 0
GROUP BY warehouse, warehouse_name
ORDER BY purchase_value DESC NULLS LAST;
