-- A buyer has one first order, also who bought twice on the first day.
select a.store_id, a.n, b.n
from (select store_id, sum(of_new_buyers) as n from {{ ref('attribution') }} group by 1) as a
full join (
    select store_id, count(*) as n
    from (select distinct store_id, buyer_type, buyer_id from {{ ref('buyers') }}) as each
    group by 1
) as b using (store_id)
where coalesce(a.n, 0) <> coalesce(b.n, 0)
