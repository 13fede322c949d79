-- Margin by site, and how much of it rests on unknown purchase prices
SELECT
    site, currency, sum(total_summ) AS total_summ, sum(margin) AS margin,
    count(*) FILTER (WHERE items_without_purchase_price > 0) AS orders_in_doubt
FROM crm.order_margin
WHERE store_id = 1
GROUP BY site, currency
ORDER BY margin DESC;
