-- How long orders stayed in each status: completed spans, by month of the store's own calendar in
-- which they ended.
select
    s.store_id,
    s.status,
    date_trunc('month', s.left_at at time zone t.zone)::date as month,
    count(*) as spans,
    percentile_cont(0.5) within group (order by extract(epoch from s.lasted)) / 3600 as median_hours,
    percentile_cont(0.9) within group (order by extract(epoch from s.lasted)) / 3600 as p90_hours
from {{ source('crm', 'order_status_spans') }} as s
join {{ source('crm', 'store') }} as t on t.store_id = s.store_id
where not s.is_open and s.lasted is not null
group by 1, 2, 3
