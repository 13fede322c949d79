-- What is kept of some orders becomes what the definition gives for them; rows that are so already
-- are not written. In functions, because planning takes longer than the rows of a page do. Each order
-- is looked up by itself, whatever the statistics say: while tables are filled for the first time
-- there are none.

CREATE FUNCTION sync.keep_order_status_spans(store bigint, orders bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off AS $$
BEGIN
    WITH want AS MATERIALIZED (
        SELECT d.* FROM unnest(orders) AS k(id) CROSS JOIN LATERAL (
            SELECT v.order_id, v.ordinal, v.status, v.entered_at, v.left_at
            FROM sync.order_status_spans AS v
            WHERE v.store_id = store AND v.order_id = k.id OFFSET 0
        ) AS d
    ), gone AS (
        DELETE FROM crm.kept_order_status_spans AS t
        WHERE t.store_id = store AND t.order_id = ANY (orders)
            AND (t.order_id, t.ordinal) NOT IN (SELECT w.order_id, w.ordinal FROM want AS w)
    )
    INSERT INTO crm.kept_order_status_spans AS t
        (store_id, order_id, ordinal, status, entered_at, left_at)
    SELECT store, w.* FROM want AS w ORDER BY w.order_id, w.ordinal
    ON CONFLICT (store_id, order_id, ordinal) DO UPDATE
    SET status = excluded.status, entered_at = excluded.entered_at, left_at = excluded.left_at
    WHERE t.* IS DISTINCT FROM excluded.*;
END
$$;

CREATE FUNCTION sync.keep_order_margin(store bigint, orders bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off AS $$
BEGIN
    WITH want AS MATERIALIZED (
        SELECT d.* FROM unnest(orders) AS k(id) CROSS JOIN LATERAL (
            SELECT v.order_id, v.site, v.created_on, v.status, v.currency, v.total_summ,
                v.items_summ, v.purchase_summ, v.items_without_purchase_price,
                v.delivery_net_cost, v.costs
            FROM sync.order_margin AS v
            WHERE v.store_id = store AND v.order_id = k.id OFFSET 0
        ) AS d
    ), gone AS (
        DELETE FROM crm.kept_order_margin AS t
        WHERE t.store_id = store AND t.order_id = ANY (orders)
            AND t.order_id NOT IN (SELECT w.order_id FROM want AS w)
    )
    INSERT INTO crm.kept_order_margin AS t (
        store_id, order_id, site, created_on, status, currency, total_summ, items_summ,
        purchase_summ, items_without_purchase_price, delivery_net_cost, costs
    )
    SELECT store, w.* FROM want AS w ORDER BY w.order_id
    ON CONFLICT (store_id, order_id) DO UPDATE
    SET site = excluded.site, created_on = excluded.created_on, status = excluded.status,
        currency = excluded.currency, total_summ = excluded.total_summ,
        items_summ = excluded.items_summ, purchase_summ = excluded.purchase_summ,
        items_without_purchase_price = excluded.items_without_purchase_price,
        delivery_net_cost = excluded.delivery_net_cost, costs = excluded.costs
    WHERE t.* IS DISTINCT FROM excluded.*;
END
$$;
