-- Margin of sales by site, and how much of it is not known: purchase prices, costs in another currency
SELECT
    site, currency, sum(total_summ) AS total_summ, sum(margin) AS margin,
    count(*) FILTER (WHERE items_without_purchase_price > 0 OR margin IS NULL) AS orders_in_doubt
FROM crm.order_margin
WHERE store_id = 1 AND is_sale
GROUP BY site, currency
ORDER BY margin DESC NULLS LAST;
