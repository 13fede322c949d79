-- Only an owner may analyse a table before Postgres 17, and workers may log in by a role that owns none.
CREATE FUNCTION sync.make_first_statistics(names text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found text;
BEGIN
    SELECT string_agg(c.oid::regclass::text, ', ' ORDER BY c.relname) INTO found
    FROM pg_class AS c
    WHERE c.relnamespace = 'crm'::regnamespace AND c.relkind = 'r' AND c.relname = ANY (names)
      AND c.reltuples < 0;
    IF found IS NOT NULL THEN
        EXECUTE 'ANALYZE (SKIP_LOCKED) ' || found;
    END IF;
END
$$;
COMMENT ON FUNCTION sync.make_first_statistics(text[]) IS
    'Analyses those tables of crm, by name, that never were, with the rows of this transaction; who analyses one at the same moment is not waited for.';
