-- The same sales, counted in every way.
with counted as (
    select
        (select count(*) from {{ ref('stg_orders') }} where is_sale) as orders,
        (select coalesce(sum(orders), 0) from {{ ref('monthly_sales') }}) as months,
        (select coalesce(sum(orders), 0) from {{ ref('daily_sales') }}) as days,
        (select count(*) from {{ ref('payment_state') }}) as payable,
        (select coalesce(sum(orders), 0) from {{ ref('attribution') }}) as attributed
)
select * from counted
where orders <> months or orders <> days or orders <> payable or orders <> attributed
