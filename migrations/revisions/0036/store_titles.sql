-- A view of its own: crm.store has views that stand on it, so that no step back could take a column
-- from it. It leaves out itself what a limited reader may not see, like crm.store.
CREATE VIEW crm.store_titles WITH (security_barrier) AS
SELECT a.* FROM (
    SELECT id AS store_id, coalesce(title, name) AS title FROM sync.store
) AS a
WHERE a.store_id = ANY (ARRAY(SELECT unnest(sync.visible_stores(current_user::name))));

COMMENT ON VIEW crm.store_titles IS 'Names of stores for people';
COMMENT ON COLUMN crm.store_titles.store_id IS 'crm.store.store_id';
COMMENT ON COLUMN crm.store_titles.title IS 'the title given to it, of any text; else its name';
