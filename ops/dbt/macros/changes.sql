{# Reading what changed, by change numbers: ops/docs/changes.md. #}

{# The rows of a table of the mirror that this model has not read yet. Each has, as read_no, the number
   up to which all was read with it; the model keeps it, so that the highest of a store tells how far
   the store was read, also where nothing has changed since. #}
{% macro new_rows(table) %}
    (
        select r.*, n.settled_no as read_no
        from (
            select
                c.store_id,
                c.settled_no,
                {% if is_incremental() %}
                coalesce(
                    (select max(m.read_no) from {{ this }} as m where m.store_id = c.store_id), -1
                ) as last_no
                {% else %}
                -1 as last_no
                {% endif %}
            from {{ source('crm', 'changes') }} as c
        ) as n
        join {{ source('crm', table) }} as r
            on r.store_id = n.store_id and r.change_no > n.last_no and r.change_no <= n.settled_no
    )
{% endmacro %}

{# Before: rows of a store whose database was restored since, or that is not mirrored any more. #}
{% macro forget_lost_stores() %}
    {% if is_incremental() %}
        delete from {{ this }} as m
        using (
            select o.store_id
            from (select store_id, max(read_no) as last_no from {{ this }} group by 1) as o
            left join {{ source('crm', 'store') }} as s on s.store_id = o.store_id
            left join {{ source('crm', 'changes') }} as c on c.store_id = o.store_id
            where s.store_id is null or o.last_no < c.first_no or o.last_no > c.settled_no
        ) as lost
        where m.store_id = lost.store_id
    {% endif %}
{% endmacro %}

{# After: rows that were removed from a list inside an order. #}
{% macro forget_removed(table, key) %}
    {% if is_incremental() %}
        delete from {{ this }} as m
        using {{ source('crm', 'removed_rows') }} as r
        where r.store_id = m.store_id and r.table_name = '{{ table }}'
            and r.parent_key = m.order_id::text and r.key = m.{{ key }}::text
            and r.change_no > m.change_no
    {% endif %}
{% endmacro %}
