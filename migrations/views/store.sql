-- The view runs with its owner's rights, so it leaves out itself what a limited reader may not see.
-- current_user is whoever asks, also inside a view.
CREATE VIEW crm.store WITH (security_barrier) AS
SELECT a.* FROM (
    SELECT id AS store_id, name, zone, currency, enabled FROM sync.store
) AS a
WHERE a.store_id = ANY (ARRAY(SELECT unnest(sync.visible_stores(current_user::name))));

COMMENT ON VIEW crm.store IS 'The mirrored stores, their zone and currency';
COMMENT ON COLUMN crm.store.store_id IS 'store_id of every other table';
COMMENT ON COLUMN crm.store.name IS 'its name in commands and in crm.coverage';
COMMENT ON COLUMN crm.store.zone IS 'IANA zone of all its local times';
COMMENT ON COLUMN crm.store.currency IS 'ISO 4217 default currency';
COMMENT ON COLUMN crm.store.enabled IS 'whether it is crawled';
