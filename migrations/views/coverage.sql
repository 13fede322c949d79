-- What is proven complete, as of when. No claim goes past a doubt that nobody has accepted.
CREATE VIEW crm.coverage WITH (security_barrier) AS
SELECT a.* FROM (
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
WHERE a.store_id = ANY (ARRAY(SELECT unnest(sync.visible_stores(current_user::name))));

COMMENT ON VIEW crm.coverage IS 'What is proven complete, as of when; when in doubt older';
COMMENT ON COLUMN crm.coverage.store IS 'the store''s name';
COMMENT ON COLUMN crm.coverage.resource IS 'Resource.name';
COMMENT ON COLUMN crm.coverage.expected IS 'records in the CRM as far as is known';
COMMENT ON COLUMN crm.coverage.mirrored IS 'live rows in crm';
COMMENT ON COLUMN crm.coverage.complete_as_of IS
    'every change the CRM made until then is in the mirror: by design a minute or two'
    ' ago, and it may go back; NULL until first proven';
COMMENT ON COLUMN crm.coverage.state IS
    'pending, loading, following, fresh, attention, unavailable or disabled';
COMMENT ON COLUMN crm.coverage.store_id IS 'crm.store.store_id';
