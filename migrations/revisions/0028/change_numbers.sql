-- Change numbers: the number of the transaction that wrote a row, counted on from one database to
-- the next. Postgres numbers its transactions in the order in which they begin to write, and tells
-- below which number all have ended. A dump brought into another database, or a server recovered to
-- an earlier state, numbers otherwise: then a new era begins, whose numbers are above all that were
-- given before, because numbers begin at the microseconds of the clock and grow by one a
-- transaction. Readers learn from its first number that rows they have read may be gone.

-- Since when transactions of this database are numbered as they are
CREATE TABLE sync.era (
    server   text,             -- server, timeline, database and table: another after each restore
    base     bigint NOT NULL,  -- change number less the transaction's own number
    first_no bigint NOT NULL,  -- no change of the era has a lower number
    PRIMARY KEY (server)
);

-- What a restore changes: the server when dumped into another, its timeline when it was recovered
-- or a standby took over, the database or this table when dumped into the same server.
CREATE FUNCTION sync.place() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.system_identifier || '/' || d.oid || '/' || 'sync.era'::regclass::oid
    FROM pg_control_system() AS c, pg_database AS d WHERE d.datname = current_database()
$$;

CREATE FUNCTION sync.change_no() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    mine CONSTANT bigint := pg_current_xact_id()::text::bigint;
    timeline text := '00000000';
    here text;
    counted_from bigint;
BEGIN
    BEGIN
        timeline := left(pg_walfile_name(pg_current_wal_insert_lsn()), 8);
    EXCEPTION WHEN object_not_in_prerequisite_state OR feature_not_supported
        OR insufficient_privilege THEN NULL;  -- some services have no such log, or do not show it
    END;
    here := sync.place() || '/' || timeline;
    SELECT e.base INTO counted_from FROM sync.era AS e WHERE e.server = here;
    IF NOT FOUND THEN
        -- Of two that begin it at once the second waits here, and takes what the first made.
        INSERT INTO sync.era (server, base, first_no)
        SELECT here, n.start - mine,
            -- Of whatever was begun already, and what readers are told as settled until it ends.
            n.start - mine + pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1
        FROM (SELECT greatest(
            (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
            (SELECT max(o.first_no) + 1000000000 FROM sync.era AS o)
        ) AS start) AS n
        ON CONFLICT (server) DO NOTHING;
        SELECT e.base INTO counted_from FROM sync.era AS e WHERE e.server = here;
    END IF;
    RETURN counted_from + mine;
END
$$;

-- Rows that were removed while their record stayed, or with it
CREATE TABLE crm.removed_rows (
    store_id   bigint,                                       -- crm.store.store_id
    table_name text,                                         -- table in crm that the row was removed from
    parent_key text,                                         -- its record's id or code, as text; empty for lists of the account itself
    key        text,                                         -- its own id, code or ordinal, as text
    removed_at timestamptz NOT NULL DEFAULT now(),           -- when it was last removed here
    change_no  bigint NOT NULL DEFAULT sync.change_no(),     -- number of the change that made it so; see crm.changes
    PRIMARY KEY (store_id, table_name, parent_key, key)
);
CREATE INDEX removed_rows_by_change ON crm.removed_rows (store_id, change_no);

-- The snapshot is that of the query which asks, so both columns fit the rows that it reads. There is
-- no row after a restore until the first change here.
CREATE VIEW crm.changes WITH (security_barrier) AS
SELECT a.* FROM (
    SELECT s.id AS store_id,
        e.base + pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1 AS settled_no,
        e.first_no
    FROM sync.store AS s CROSS JOIN LATERAL (
        SELECT o.base, o.first_no FROM sync.era AS o
        WHERE o.server LIKE sync.place() || '/%' ORDER BY o.first_no DESC LIMIT 1
    ) AS e
) AS a
WHERE a.store_id = ANY (ARRAY(SELECT unnest(sync.visible_stores(current_user::name))));

COMMENT ON VIEW crm.changes IS
    'How far changes are settled: rows with a change_no up to settled_no are all there, and none comes'
    ' later';
COMMENT ON COLUMN crm.changes.store_id IS 'crm.store.store_id';
COMMENT ON COLUMN crm.changes.settled_no IS
    'read rows with a higher change_no than that of the last read, up to this one';
COMMENT ON COLUMN crm.changes.first_no IS
    'who has read up to a lower number reads everything again: the database was restored since';
