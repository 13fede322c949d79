-- Who could read the two views may read the tables that they show from now on. `migrate` settles the
-- rights of readers at its end only, and those of roles that were granted by hand never.
DO $$
DECLARE statement text;
BEGIN
    FOR statement IN
        WITH pair AS (
            SELECT v.oid AS view, v.relacl, v.relowner, k.table_name, k.sources
            FROM (VALUES
                ('order_status_spans', 'kept_order_status_spans', '{orders,order_history}'::text[]),
                ('order_margin', 'kept_order_margin', '{orders,order_items,costs}')
            ) AS k(view_name, table_name, sources)
            JOIN pg_class AS v
                ON v.relname = k.view_name AND v.relnamespace = 'crm'::regnamespace
        ), policy AS (
            SELECT p.polname AS name, pg_get_expr(p.polqual, p.polrelid) AS condition,
                obj_description(p.oid, 'pg_policy') AS told
            FROM pg_policy AS p JOIN sync.reader AS g ON g.role = p.polname
            WHERE p.polrelid = 'crm.orders'::regclass
        )
        SELECT made.sql FROM (
            SELECT 1 AS place, format(
                'DROP POLICY IF EXISTS %1$I ON crm.%2$I; CREATE POLICY %1$I ON crm.%2$I FOR SELECT'
                ' TO %1$I USING (%3$s); COMMENT ON POLICY %1$I ON crm.%2$I IS %4$L',
                policy.name, pair.table_name, policy.condition, policy.told) AS sql
            FROM pair CROSS JOIN policy
            UNION ALL
            SELECT 2, format('ALTER TABLE crm.%I ENABLE ROW LEVEL SECURITY', pair.table_name)
            FROM pair JOIN pg_class AS o ON o.oid = 'crm.orders'::regclass AND o.relrowsecurity
            UNION ALL
            SELECT 3, format('GRANT SELECT ON crm.%I TO %s%s', pair.table_name,
                CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END,
                CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
            FROM pair CROSS JOIN LATERAL aclexplode(pair.relacl) AS a
            WHERE a.privilege_type = 'SELECT' AND a.grantee <> pair.relowner AND (
                SELECT bool_and(has_table_privilege(a.grantee, 'crm.' || s.name, 'SELECT'))
                FROM unnest(pair.sources) AS s(name))
        ) AS made ORDER BY made.place
    LOOP
        EXECUTE statement;
    END LOOP;
END
$$;
