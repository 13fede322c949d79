-- Of buyers whose first order was in a month: how many bought again, and for how much, n months later.
with firsts as (
    select store_id, buyer_type, buyer_id, min(first_order_on) as first_on
    from {{ ref('buyers') }}
    group by 1, 2, 3
)
select
    o.store_id,
    date_trunc('month', f.first_on)::date as cohort,
    (extract(year from age(date_trunc('month', o.created_on), date_trunc('month', f.first_on))) * 12
        + extract(month from age(date_trunc('month', o.created_on), date_trunc('month', f.first_on)))
    )::int as months_later,
    o.currency,
    count(distinct (o.customer_type, o.customer_id)) as buyers,
    count(*) as orders,
    sum(o.total_summ) as total_summ
from {{ ref('stg_orders') }} as o
join firsts as f
    on f.store_id = o.store_id and f.buyer_type is not distinct from o.customer_type
    and f.buyer_id = o.customer_id
where o.is_sale
group by 1, 2, 3, 4
