-- What a person accepted as not to be mended: left out of what coverage claims.
CREATE VIEW crm.known_gaps WITH (security_barrier) AS
SELECT a.* FROM (
    SELECT s.name AS store, d.resource, d.first_day, d.last_day, d.record, d.since,
        d.detail, d.difference, d.accepted_at, d.accepted_by, d.accepted_because, s.id AS store_id
    FROM sync.doubt AS d
    JOIN sync.store AS s ON s.id = d.store_id
    WHERE d.accepted_at IS NOT NULL
) AS a
WHERE a.store_id = ANY (ARRAY(SELECT unnest(sync.visible_stores(current_user::name))));

COMMENT ON VIEW crm.known_gaps IS
    'What a person accepted as not to be mended; coverage goes on without it';
COMMENT ON COLUMN crm.known_gaps.store IS 'the store''s name';
COMMENT ON COLUMN crm.known_gaps.resource IS 'Resource.name';
COMMENT ON COLUMN crm.known_gaps.first_day IS
    'first creation day it is about; NULL for no lower end';
COMMENT ON COLUMN crm.known_gaps.last_day IS 'last creation day it is about; NULL for no upper end';
COMMENT ON COLUMN crm.known_gaps.record IS
    'id of the record it is about; NULL where it is about more';
COMMENT ON COLUMN crm.known_gaps.since IS 'from when on it may be wrong';
COMMENT ON COLUMN crm.known_gaps.detail IS 'what was seen, in words';
COMMENT ON COLUMN crm.known_gaps.difference IS 'records the API counts beside those that are here';
COMMENT ON COLUMN crm.known_gaps.accepted_at IS 'when it was accepted';
COMMENT ON COLUMN crm.known_gaps.accepted_by IS 'who accepted it';
COMMENT ON COLUMN crm.known_gaps.accepted_because IS 'why';
COMMENT ON COLUMN crm.known_gaps.store_id IS 'crm.store.store_id';
