-- Buyers in fifths by how recent, how frequent and how large their orders are; 5 is best.
select
    store_id,
    buyer_type,
    buyer_id,
    currency,
    {% for name, by in [('recency', 'last_order_on'), ('frequency', 'orders'), ('monetary', 'total_summ')] %}
    ntile(5) over (
        partition by store_id, currency order by {{ by }}, buyer_type, buyer_id
    ) as {{ name }}{{ ',' if not loop.last }}
    {% endfor %}
from {{ ref('buyers') }}
