-- What an order was before its first change is told by that change; without any, by the order.
-- A history's value names a dictionary entry by an object with its code, or by the code.
CREATE VIEW crm.order_status_spans WITH (security_invoker) AS
SELECT s.store_id, s.order_id, s.ordinal, s.status, s.entered_at,
    coalesce(s.next_at, o.deleted_at) AS left_at,
    coalesce(s.next_at, o.deleted_at) IS NULL AS is_open,
    coalesce(s.next_at, o.deleted_at, now()) - s.entered_at AS lasted
FROM (
    SELECT e.store_id, e.order_id, e.status, e.at AS entered_at,
        lead(e.at) OVER span AS next_at, row_number() OVER span AS ordinal
    FROM (
        SELECT h.store_id, h.order_id, h.created_at AS at, h.id AS entry,
            CASE jsonb_typeof(h.new_value) WHEN 'object' THEN h.new_value ->> 'code'
                WHEN 'null' THEN NULL ELSE h.new_value #>> '{}' END AS status
        FROM crm.order_history AS h
        WHERE h.field = 'status' AND h.deleted_at IS NULL
        UNION ALL
        SELECT b.store_id, b.id, b.created_at, 0,
            CASE WHEN f.order_id IS NULL THEN b.status ELSE f.before END
        FROM crm.orders AS b
        LEFT JOIN (
            SELECT DISTINCT ON (g.store_id, g.order_id) g.store_id, g.order_id,
                CASE jsonb_typeof(g.old_value) WHEN 'object' THEN g.old_value ->> 'code'
                    WHEN 'null' THEN NULL ELSE g.old_value #>> '{}' END AS before
            FROM crm.order_history AS g
            WHERE g.field = 'status' AND g.deleted_at IS NULL
            ORDER BY g.store_id, g.order_id, g.created_at, g.id
        ) AS f ON f.store_id = b.store_id AND f.order_id = b.id
        WHERE (f.order_id IS NULL OR f.before IS NOT NULL) AND b.created_at IS NOT NULL
    ) AS e
    WINDOW span AS (PARTITION BY e.store_id, e.order_id ORDER BY e.at, e.entry)
) AS s
LEFT JOIN crm.orders AS o ON o.store_id = s.store_id AND o.id = s.order_id;

COMMENT ON VIEW crm.order_status_spans IS
    'How long each order was in each status, from its history; an open span lasts until now';
COMMENT ON COLUMN crm.order_status_spans.store_id IS 'crm.store.store_id';
COMMENT ON COLUMN crm.order_status_spans.order_id IS 'joins crm.orders.id';
COMMENT ON COLUMN crm.order_status_spans.ordinal IS 'the order''s spans, counted from 1';
COMMENT ON COLUMN crm.order_status_spans.status IS 'joins crm.statuses.code';
COMMENT ON COLUMN crm.order_status_spans.entered_at IS 'when the order came into the status';
COMMENT ON COLUMN crm.order_status_spans.left_at IS
    'when it left it, or was deleted; NULL while it is in it';
COMMENT ON COLUMN crm.order_status_spans.is_open IS 'whether the order is in it';
COMMENT ON COLUMN crm.order_status_spans.lasted IS 'left_at, or now, less entered_at';
