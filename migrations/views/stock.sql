CREATE VIEW crm.stock WITH (security_invoker) AS
SELECT i.store_id, i.id AS offer_id, i.site, i.article, i.name AS offer,
    f.product_id, f.product_name AS product,
    coalesce(w.store, w.code) AS warehouse, h.name AS warehouse_name,
    CASE WHEN w.inventory_id IS NULL THEN i.quantity ELSE w.quantity END AS quantity,
    w.available,
    coalesce(w.purchase_price, i.purchase_price) AS purchase_price,
    CASE WHEN w.inventory_id IS NULL THEN i.quantity ELSE w.quantity END
        * coalesce(w.purchase_price, i.purchase_price) AS purchase_value,
    i.as_of
FROM crm.inventories AS i
LEFT JOIN crm.inventory_stores AS w ON w.store_id = i.store_id AND w.inventory_id = i.id
LEFT JOIN crm.warehouses AS h ON h.store_id = i.store_id AND h.code = coalesce(w.store, w.code)
LEFT JOIN crm.offers AS f ON f.store_id = i.store_id AND f.id = i.id
WHERE i.deleted_at IS NULL;

COMMENT ON VIEW crm.stock IS
    'Stock of each offer in each warehouse; one row without a warehouse where only a total is known';
COMMENT ON COLUMN crm.stock.store_id IS 'crm.store.store_id';
COMMENT ON COLUMN crm.stock.offer_id IS 'joins crm.offers.id';
COMMENT ON COLUMN crm.stock.site IS 'joins crm.sites.code';
COMMENT ON COLUMN crm.stock.article IS 'article number';
COMMENT ON COLUMN crm.stock.offer IS 'offer''s name';
COMMENT ON COLUMN crm.stock.product_id IS 'joins crm.products.id';
COMMENT ON COLUMN crm.stock.product IS 'product''s name';
COMMENT ON COLUMN crm.stock.warehouse IS 'joins crm.warehouses.code';
COMMENT ON COLUMN crm.stock.warehouse_name IS 'warehouse''s name';
COMMENT ON COLUMN crm.stock.quantity IS 'stock';
COMMENT ON COLUMN crm.stock.available IS 'of it not reserved';
COMMENT ON COLUMN crm.stock.purchase_price IS 'purchase price, a unit';
COMMENT ON COLUMN crm.stock.purchase_value IS 'quantity at that price';
COMMENT ON COLUMN crm.stock.as_of IS 'send moment of the request it is known from';
