-- What is proven complete, as of when. No claim goes past a doubt that nobody has accepted.
CREATE OR REPLACE VIEW crm.coverage WITH (security_barrier) AS SELECT a.* FROM (
SELECT s.name AS store, c.resource, c.expected, c.mirrored,
    CASE WHEN k.complete_as_of IS NOT NULL THEN least(k.complete_as_of, d.since) END
        AS complete_as_of,
    k.state,
    s.id AS store_id
FROM sync.coverage AS c
JOIN sync.store AS s ON s.id = c.store_id
JOIN sync.claim AS k ON k.store_id = c.store_id AND k.resource = c.resource
LEFT JOIN LATERAL (
    SELECT min(since) AS since FROM sync.doubt AS d
    WHERE d.store_id = c.store_id AND d.resource = c.resource AND d.accepted_at IS NULL
) AS d ON true
) AS a
WHERE a.store_id = ANY (ARRAY(SELECT unnest(sync.visible_stores(current_user::name))))
