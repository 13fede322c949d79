-- Positions sold: revenue before the order's own discount, cost, and what is left of it.
select
    store_id,
    order_id,
    item_id,
    created_on,
    site,
    currency,
    product_id,
    offer_id,
    offer,
    quantity,
    summ as revenue,
    purchase_summ as cost,
    margin
from {{ source('crm', 'order_lines') }}
where is_sale and not is_canceled
