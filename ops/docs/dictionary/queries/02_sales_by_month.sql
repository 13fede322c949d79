-- Sales by month of the store's own calendar, without cancelled orders
SELECT
    date_trunc('month', day)::date AS month, site, currency,
    sum(orders) AS orders, sum(total_summ) AS total_summ
FROM crm.daily_sales
WHERE store_id = 1 AND status_group IS DISTINCT FROM 'cancel'
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3;
