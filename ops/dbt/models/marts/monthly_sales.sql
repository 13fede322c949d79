-- Orders and amounts by month of the store's own calendar, site and currency.
select
    o.store_id,
    date_trunc('month', o.created_on)::date as month,
    o.site,
    o.currency,
    count(*) as orders,
    count(distinct o.customer_id) as customers,
    sum(o.total_summ) as total_summ
from {{ ref('stg_orders') }} as o
left join {{ source('crm', 'statuses') }} as s
    on s.store_id = o.store_id and s.code = o.status
where s."group" is distinct from 'cancel'
group by 1, 2, 3, 4
