-- What holds for the bookkeeping of every record, under names of its table's own.

DO $$
DECLARE
    record name;
BEGIN
    FOR record IN
        SELECT c.relname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'crm'::regnamespace AND c.relkind = 'r' AND a.attname = 'content_hash'
    LOOP
        EXECUTE format(
            'ALTER TABLE crm.%I'
            ' ALTER as_of SET NOT NULL, ALTER first_seen_at SET NOT NULL,'
            ' ALTER changed_at SET NOT NULL, ADD CONSTRAINT %I CHECK'
            ' (deleted_reason IN (''history'', ''combined'', ''not_found'', ''absent'', ''erased''))',
            record, record || '_deleted_reason_known'
        );
    END LOOP;
END $$;
