-- Offers as they sold, by currency; offers that never did are not here.
select
    store_id,
    product_id,
    offer_id,
    max(offer) as offer,
    currency,
    count(distinct order_id) as orders,
    sum(quantity) as pieces,
    sum(revenue) as revenue,
    sum(margin) as margin,
    min(created_on) as first_sold_on,
    max(created_on) as last_sold_on
from {{ ref('order_lines') }}
group by store_id, product_id, offer_id, currency
