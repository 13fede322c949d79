-- Each buyer is in one cohort, and bought in its first month.
select c.store_id, c.n, b.n
from (
    select store_id, count(*) as n
    from (select distinct store_id, buyer_type, buyer_id from {{ ref('buyers') }}) as each
    group by 1
) as b
full join (
    select o.store_id, count(distinct (o.customer_type, o.customer_id)) as n
    from {{ ref('stg_orders') }} as o
    join {{ ref('cohorts') }} as h on h.store_id = o.store_id and h.months_later = 0
        and h.cohort = date_trunc('month', o.created_on)::date
    where o.is_sale and o.customer_id is not null
    group by 1
) as c using (store_id)
where b.n is distinct from c.n
