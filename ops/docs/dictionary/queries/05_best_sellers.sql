-- Best sellers of the last 30 days of the store's own calendar, by what was paid for them
SELECT offer_id, min(offer) AS offer, currency, sum(quantity) AS pieces, sum(summ) AS summ
FROM crm.order_lines
WHERE store_id = 1 AND is_sale
    AND created_on > (now() AT TIME ZONE (SELECT zone FROM crm.store WHERE store_id = 1))::date - 30
GROUP BY offer_id, currency
ORDER BY summ DESC NULLS LAST
LIMIT 20;
