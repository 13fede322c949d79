-- Earlier contents. Of the bookkeeping a version keeps raw alone.

-- Earlier contents of crm.orders, kept where a store has switched it on
CREATE TABLE crm.order_versions (
    LIKE crm.orders INCLUDING COMMENTS,
    valid_from timestamptz,           -- when the mirror began to hold this content
    valid_to   timestamptz NOT NULL,  -- when another content or a deletion ended it
    PRIMARY KEY (store_id, id, valid_from)
);
ALTER TABLE crm.order_versions
    DROP created_on, DROP listed_at, DROP combined_to, DROP content_hash, DROP as_of,
    DROP first_seen_at, DROP changed_at, DROP deleted_at, DROP deleted_reason;
CREATE INDEX order_versions_ended ON crm.order_versions (store_id, valid_to);

-- Earlier contents of crm.customers, kept where a store has switched it on
CREATE TABLE crm.customer_versions (
    LIKE crm.customers INCLUDING COMMENTS,
    valid_from timestamptz,           -- when the mirror began to hold this content
    valid_to   timestamptz NOT NULL,  -- when another content or a deletion ended it
    PRIMARY KEY (store_id, id, valid_from)
);
ALTER TABLE crm.customer_versions
    DROP created_on, DROP listed_at, DROP combined_to, DROP content_hash, DROP as_of,
    DROP first_seen_at, DROP changed_at, DROP deleted_at, DROP deleted_reason;
CREATE INDEX customer_versions_ended ON crm.customer_versions (store_id, valid_to);
