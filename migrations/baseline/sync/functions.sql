-- Which stores a role may see: those of every reader it is a member of. The owner, superusers and
-- roles that bypass row-level security see all; a role nobody was granted anything for sees all as
-- long as no reader is limited (its grants were made by hand), and nothing from then on.

CREATE FUNCTION sync.visible_stores(who name) RETURNS bigint[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN r.rolsuper OR r.rolbypassrls OR pg_has_role(who, current_user, 'USAGE')
            THEN (SELECT coalesce(array_agg(id), '{}') FROM sync.store)
        WHEN mine.n = 0 AND NOT (SELECT relrowsecurity FROM pg_class
                                 WHERE oid = 'crm.orders'::regclass)
            THEN (SELECT coalesce(array_agg(id), '{}') FROM sync.store)
        WHEN mine.everything THEN (SELECT coalesce(array_agg(id), '{}') FROM sync.store)
        ELSE coalesce(mine.stores, '{}')
    END
    FROM pg_roles AS r
    CROSS JOIN LATERAL (
        SELECT count(*) AS n, coalesce(bool_or(g.store_ids IS NULL), false) AS everything,
            (SELECT array_agg(DISTINCT s) FROM sync.reader AS h
             JOIN pg_roles AS q ON q.rolname = h.role CROSS JOIN unnest(h.store_ids) AS s
             WHERE pg_has_role(who, q.oid, 'USAGE')) AS stores
        FROM sync.reader AS g JOIN pg_roles AS p ON p.rolname = g.role
        WHERE pg_has_role(who, p.oid, 'USAGE')
    ) AS mine
    WHERE r.rolname = who
$$;
