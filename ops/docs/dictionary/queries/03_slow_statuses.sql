-- How long orders stay in each status: median and the slowest tenth, of the last 90 days
SELECT
    s.status, count(*) AS times,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY s.lasted) AS median,
    percentile_cont(0.9) WITHIN GROUP (ORDER BY s.lasted) AS slowest_tenth
FROM crm.order_status_spans AS s
WHERE s.store_id = 1 AND s.entered_at > now() - interval '90 days' AND NOT s.is_open
GROUP BY s.status
ORDER BY median DESC;
