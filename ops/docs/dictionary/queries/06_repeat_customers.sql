-- What share of customers came back, by the month of their first order in the store's own calendar
SELECT
    date_trunc('month', first_order_on)::date AS month, count(*) AS customers,
    round(100.0 * count(*) FILTER (WHERE orders - canceled_orders > 1) / count(*), 1) AS came_back
FROM crm.customer_summary
WHERE store_id = 1 AND orders > canceled_orders
GROUP BY 1
ORDER BY 1;
