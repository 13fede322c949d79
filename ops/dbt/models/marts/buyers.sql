-- Persons and companies that bought, by currency. `buyer_id` is crm.customers.id of a person,
-- crm.corporate_customers.id of a company.
select
    store_id,
    customer_type as buyer_type,
    customer_id as buyer_id,
    currency,
    count(*) as orders,
    sum(total_summ) as total_summ,
    min(created_on) as first_order_on,
    max(created_on) as last_order_on
from {{ ref('stg_orders') }}
where is_sale and customer_id is not null
group by 1, 2, 3, 4
