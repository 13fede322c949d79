select store_id, order_id
from {{ ref('orders') }}
group by 1, 2
having count(*) > 1
