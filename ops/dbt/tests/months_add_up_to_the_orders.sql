select a.n, b.n
from
    (select coalesce(sum(orders), 0) as n from {{ ref('monthly_sales') }}) as a,
    (
        select count(*) as n
        from {{ ref('stg_orders') }} as o
        left join {{ source('crm', 'statuses') }} as s
            on s.store_id = o.store_id and s.code = o.status
        where s."group" is distinct from 'cancel'
    ) as b
where a.n <> b.n
