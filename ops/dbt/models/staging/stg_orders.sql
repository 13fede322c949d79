-- Live orders, the columns reports ask for.
select
    store_id,
    id as order_id,
    number as order_number,
    site,
    status,
    order_type,
    order_method,
    customer_id,
    customer_type,
    created_at,
    created_on,
    status_updated_at,
    currency,
    summ,
    total_summ,
    prepay_sum,
    purchase_summ,
    delivery_cost,
    delivery_net_cost,
    changed_at
from {{ source('crm', 'orders') }}
where deleted_at is null
