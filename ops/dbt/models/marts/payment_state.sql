-- Each order sold: what is due, what its payments in a status that counts as paid come to. An order
-- of nothing is paid; of one without a total it is unknown.
with paid as (
    select p.store_id, p.order_id, sum(p.amount) as paid_summ, max(p.paid_at) as last_paid_at
    from {{ ref('order_payments') }} as p
    join {{ source('crm', 'payment_statuses') }} as s
        on s.store_id = p.store_id and s.code = p.status and s.payment_complete
    group by 1, 2
)
select
    o.store_id,
    o.order_id,
    o.created_on,
    o.currency,
    o.total_summ,
    coalesce(p.paid_summ, 0) as paid_summ,
    o.total_summ - coalesce(p.paid_summ, 0) as open_summ,
    p.last_paid_at,
    case
        when o.total_summ is null then 'unknown'
        when coalesce(p.paid_summ, 0) >= o.total_summ then 'paid'
        when coalesce(p.paid_summ, 0) = 0 then 'unpaid'
        else 'partly'
    end as state
from {{ ref('stg_orders') }} as o
left join paid as p on p.store_id = o.store_id and p.order_id = o.order_id
where o.is_sale
