-- Orders are read after their items and payments.
select c.store_id, c.order_id
from (
    select store_id, order_id from {{ ref('order_items') }}
    union all
    select store_id, order_id from {{ ref('order_payments') }}
) as c
left join {{ ref('orders') }} as o using (store_id, order_id)
where o.order_id is null
