{{ config(
    unique_key=['store_id', 'order_id', 'item_id'],
    indexes=[{'columns': ['store_id', 'order_id', 'item_id'], 'unique': true}, {'columns': ['store_id', 'change_no']}],
    pre_hook="{{ forget_lost_stores() }}",
    post_hook="{{ forget_removed('order_items', 'item_id') }}"
) }}
-- Positions of orders, each read again when it changed.
select
    t.store_id,
    t.order_id,
    t.id as item_id,
    t.offer_id,
    t.status,
    t.is_canceled,
    t.quantity,
    t.initial_price,
    t.discount_total,
    t.purchase_price,
    t.changed_at,
    t.change_no,
    t.read_no
from {{ new_rows('order_items') }} as t
