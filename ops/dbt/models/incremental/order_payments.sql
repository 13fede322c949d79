{{ config(
    unique_key=['store_id', 'order_id', 'payment_id'],
    indexes=[{'columns': ['store_id', 'order_id', 'payment_id'], 'unique': true}, {'columns': ['store_id', 'change_no']}],
    pre_hook="{{ forget_lost_stores() }}",
    post_hook="{{ forget_removed('order_payments', 'payment_id') }}"
) }}
-- Payments of orders, each read again when it changed.
select
    t.store_id,
    t.order_id,
    t.id as payment_id,
    t.type,
    t.status,
    t.amount,
    t.paid_at,
    t.changed_at,
    t.change_no,
    t.read_no
from {{ new_rows('order_payments') }} as t
