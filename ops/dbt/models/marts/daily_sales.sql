-- Sales by day of the store's own calendar, site, kind of buyer and currency.
select
    store_id,
    created_on as day,
    site,
    coalesce(customer_type, 'none') as buyer_type,
    currency,
    count(*) as orders,
    sum(total_summ) as total_summ,
    sum(prepay_sum) as paid_summ
from {{ ref('stg_orders') }}
where is_sale
group by 1, 2, 3, 4, 5
