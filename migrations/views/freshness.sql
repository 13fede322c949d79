CREATE VIEW crm.freshness WITH (security_invoker) AS
SELECT c.store_id, c.store, c.resource, c.state, c.complete_as_of,
    now() - c.complete_as_of AS age, c.mirrored, c.expected,
    greatest(c.expected - c.mirrored, 0) AS missing
FROM crm.coverage AS c;

COMMENT ON VIEW crm.freshness IS
    'How old each resource of each store may be; age is NULL until it is proven complete';
COMMENT ON COLUMN crm.freshness.store_id IS 'crm.store.store_id';
COMMENT ON COLUMN crm.freshness.store IS 'the store''s name';
COMMENT ON COLUMN crm.freshness.resource IS 'Resource.name';
COMMENT ON COLUMN crm.freshness.state IS 'see crm.coverage';
COMMENT ON COLUMN crm.freshness.complete_as_of IS
    'every change the CRM made until then is in the mirror';
COMMENT ON COLUMN crm.freshness.age IS 'now less complete_as_of';
COMMENT ON COLUMN crm.freshness.mirrored IS 'live rows in crm';
COMMENT ON COLUMN crm.freshness.expected IS 'records in the CRM as far as is known';
COMMENT ON COLUMN crm.freshness.missing IS 'how many of them are not here yet';
