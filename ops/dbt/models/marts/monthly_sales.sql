-- Orders and amounts by month of the store's own calendar, site and currency.
select
    store_id,
    date_trunc('month', created_on)::date as month,
    site,
    currency,
    count(*) as orders,
    count(distinct (customer_type, customer_id)) filter (where customer_id is not null) as customers,
    sum(total_summ) as total_summ
from {{ ref('stg_orders') }}
where is_sale
group by 1, 2, 3, 4
