{{ config(
    unique_key=['store_id', 'order_id'],
    indexes=[{'columns': ['store_id', 'order_id'], 'unique': true}, {'columns': ['store_id', 'change_no']}],
    pre_hook="{{ forget_lost_stores() }}"
) }}
-- Orders, tombstones too, each read again when it changed. They are read after their items and
-- payments, so that each of those finds its order:
-- depends_on: {{ ref('order_items') }}, {{ ref('order_payments') }}
select
    t.store_id,
    t.id as order_id,
    t.number as order_number,
    t.site,
    t.status,
    t.order_type,
    t.order_method,
    t.customer_type,
    t.customer_id,
    t.created_at,
    t.created_on,
    t.status_updated_at,
    nullif(t.currency, '') as currency,
    t.summ,
    t.total_summ,
    t.prepay_sum,
    t.purchase_summ,
    t.delivery_cost,
    t.delivery_net_cost,
    t.full_paid_at,
    t.source_source,
    t.source_medium,
    t.source_campaign,
    t.deleted_at,
    t.changed_at,
    t.change_no,
    t.read_no
from {{ new_rows('orders') }} as t
