-- Live orders; `is_sale` is the mirror's definition: not in a status of the group cancel.
select o.*, s."group" is distinct from 'cancel' as is_sale
from {{ ref('orders') }} as o
left join {{ source('crm', 'statuses') }} as s on s.store_id = o.store_id and s.code = o.status
where o.deleted_at is null
