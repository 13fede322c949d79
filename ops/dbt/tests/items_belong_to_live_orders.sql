-- Children of a deleted order are removed with it.
select i.store_id, i.order_id
from {{ ref('stg_order_items') }} as i
left join {{ ref('stg_orders') }} as o using (store_id, order_id)
where o.order_id is null
