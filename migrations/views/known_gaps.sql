-- What a person accepted as not to be mended: left out of what coverage claims.
CREATE OR REPLACE VIEW crm.known_gaps WITH (security_barrier) AS SELECT a.* FROM (
SELECT s.name AS store, d.resource, d.first_day, d.last_day, d.record, d.since, d.detail, d.difference,
    d.accepted_at, d.accepted_by, d.accepted_because, s.id AS store_id
FROM sync.doubt AS d
JOIN sync.store AS s ON s.id = d.store_id
WHERE d.accepted_at IS NOT NULL
) AS a
WHERE a.store_id = ANY (ARRAY(SELECT unnest(sync.visible_stores(current_user::name))))
