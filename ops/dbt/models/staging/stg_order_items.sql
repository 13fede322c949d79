-- Positions of live orders that are not cancelled, with their worth at the price sold.
select
    i.store_id,
    i.order_id,
    i.id as item_id,
    i.offer_id,
    i.status,
    i.quantity,
    i.purchase_price,
    coalesce(
        (
            select sum((t ->> 'price')::numeric * (t ->> 'quantity')::numeric)
            from jsonb_array_elements(
                case jsonb_typeof(i.prices) when 'array' then i.prices end
            ) as t
        ),
        (i.initial_price - coalesce(i.discount_total, 0)) * i.quantity
    ) as summ
from {{ source('crm', 'order_items') }} as i
where i.is_canceled is not true
