-- Entries are in the order of their ids: of the two readings of a doubled hour, or of moments that
-- were moved, a later entry never comes before an earlier one. What an order was before its first
-- change is told by that change; without any, by the order. A history's value names a dictionary
-- entry by an object with its code, or by the code.
CREATE OR REPLACE VIEW crm.order_status_spans WITH (security_invoker) AS
SELECT s.store_id, s.order_id, s.ordinal, s.status, s.entered_at,
    CASE WHEN s.left_at IS NOT NULL THEN greatest(s.left_at, s.entered_at) END AS left_at,
    s.left_at IS NULL AS is_open,
    greatest(coalesce(s.left_at, now()), s.entered_at) - s.entered_at AS lasted
FROM (
    SELECT e.store_id, e.order_id,
        CASE WHEN k.is_first THEN 1 ELSE e.n + (e.before IS NOT NULL AND o.created_at < e.first_at
            AND o.created_at IS NOT NULL)::int END::bigint AS ordinal,
        CASE WHEN k.is_first THEN e.before ELSE e.status END AS status,
        CASE WHEN k.is_first THEN o.created_at ELSE e.entered_at END AS entered_at,
        CASE WHEN k.is_first THEN e.entered_at ELSE coalesce(e.next_at, o.deleted_at) END AS left_at
    FROM (
        SELECT t.store_id, t.order_id, t.n, t.status, t.entered_at,
            first_value(t.before) OVER span AS before,
            first_value(t.entered_at) OVER span AS first_at,
            lead(t.entered_at) OVER span AS next_at
        FROM (
            SELECT h.store_id, h.order_id, row_number() OVER entries AS n,
                max(h.created_at) OVER entries AS entered_at,
                CASE jsonb_typeof(h.new_value) WHEN 'object' THEN h.new_value ->> 'code'
                    WHEN 'null' THEN NULL ELSE h.new_value #>> '{}' END AS status,
                CASE jsonb_typeof(h.old_value) WHEN 'object' THEN h.old_value ->> 'code'
                    WHEN 'null' THEN NULL ELSE h.old_value #>> '{}' END AS before
            FROM crm.order_history AS h
            WHERE h.field = 'status' AND h.deleted_at IS NULL
            WINDOW entries AS (PARTITION BY h.store_id, h.order_id ORDER BY h.id)
        ) AS t
        WINDOW span AS (PARTITION BY t.store_id, t.order_id ORDER BY t.n)
    ) AS e
    LEFT JOIN crm.orders AS o ON o.store_id = e.store_id AND o.id = e.order_id
    CROSS JOIN (VALUES (true), (false)) AS k(is_first)
    WHERE NOT k.is_first OR (e.n = 1 AND e.before IS NOT NULL AND o.created_at < e.entered_at)
    UNION ALL
    SELECT b.store_id, b.id, 1, b.status, b.created_at, b.deleted_at
    FROM crm.orders AS b
    WHERE b.created_at IS NOT NULL AND NOT EXISTS (
        SELECT FROM crm.order_history AS g
        WHERE g.store_id = b.store_id AND g.order_id = b.id AND g.field = 'status'
            AND g.deleted_at IS NULL
    )
) AS s;
