-- Sales by month and the source that the CRM noted on the order, and how many were first orders.
select
    o.store_id,
    date_trunc('month', o.created_on)::date as month,
    coalesce(o.source_source, 'none') as source,
    coalesce(o.source_medium, 'none') as medium,
    coalesce(o.source_campaign, 'none') as campaign,
    o.currency,
    count(*) as orders,
    count(*) filter (where o.customer_id is not null and o.place = 1) as of_new_buyers,
    sum(o.total_summ) as total_summ
from (
    select *, row_number() over (
        partition by store_id, customer_type, customer_id order by created_at, order_id
    ) as place
    from {{ ref('stg_orders') }}
    where is_sale
) as o
group by 1, 2, 3, 4, 5, 6
