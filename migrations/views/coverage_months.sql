-- Coverage by month of creation, so that one month in doubt does not hold the others back.
CREATE VIEW crm.coverage_months WITH (security_barrier) AS
SELECT a.* FROM (
    SELECT s.name AS store, k.resource, m.month::date AS month,
        CASE WHEN k.complete_as_of IS NOT NULL THEN least(k.complete_as_of, d.since) END
            AS complete_as_of,
        d.detail AS doubt,
        s.id AS store_id
    FROM sync.claim AS k
    JOIN sync.store AS s ON s.id = k.store_id
    JOIN LATERAL (
        SELECT min(created_on) AS oldest, max(created_on) AS newest FROM crm.orders AS t
        WHERE k.resource = 'orders' AND t.store_id = k.store_id AND t.deleted_at IS NULL
        UNION ALL
        SELECT min(created_on), max(created_on) FROM crm.customers AS t
        WHERE k.resource = 'customers' AND t.store_id = k.store_id AND t.deleted_at IS NULL
        UNION ALL
        SELECT min(created_on), max(created_on) FROM crm.corporate_customers AS t
        WHERE k.resource = 'corporate_customers' AND t.store_id = k.store_id AND t.deleted_at IS NULL
        UNION ALL
        SELECT min(created_on), max(created_on) FROM crm.tasks AS t
        WHERE k.resource = 'tasks' AND t.store_id = k.store_id AND t.deleted_at IS NULL
    ) AS r ON r.oldest IS NOT NULL
    CROSS JOIN LATERAL generate_series(
        date_trunc('month', r.oldest::timestamp), date_trunc('month', r.newest::timestamp),
        interval '1 month'
    ) AS m(month)
    LEFT JOIN LATERAL (
        SELECT min(d.since) AS since, string_agg(DISTINCT d.detail, '; ') AS detail
        FROM sync.doubt AS d
        WHERE d.store_id = k.store_id AND d.resource = k.resource AND d.accepted_at IS NULL
            AND coalesce(d.first_day, '-infinity') < m.month + interval '1 month'
            AND coalesce(d.last_day, 'infinity') >= m.month
    ) AS d ON true
) AS a
WHERE a.store_id = ANY (ARRAY(SELECT unnest(sync.visible_stores(current_user::name))));

COMMENT ON VIEW crm.coverage_months IS
    'Coverage by month of creation: a month in doubt does not hold the others back';
COMMENT ON COLUMN crm.coverage_months.store IS 'the store''s name';
COMMENT ON COLUMN crm.coverage_months.resource IS 'Resource.name';
COMMENT ON COLUMN crm.coverage_months.month IS 'first day of the month its records were created in';
COMMENT ON COLUMN crm.coverage_months.complete_as_of IS
    'every change the CRM made to them until then is in the mirror';
COMMENT ON COLUMN crm.coverage_months.doubt IS 'what may be wrong with it; NULL for nothing';
COMMENT ON COLUMN crm.coverage_months.store_id IS 'crm.store.store_id';
