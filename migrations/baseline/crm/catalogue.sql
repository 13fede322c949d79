-- Products, offers and their stock.

-- Groups of products, a tree
CREATE TABLE crm.product_groups (
    store_id           bigint,   -- crm.store.store_id
    id                 bigint,   -- RetailCRM's id [id]
    external_id        text,     -- id in the shop [externalId]
    site               text,     -- site code; joins crm.sites.code [site]
    name               text,     -- name [name]
    description        text,     -- description [description]
    parent_id          bigint,   -- joins crm.product_groups.id [parentId]
    parent_external_id text,     -- parent's id in the shop [parentExternalId]
    active             boolean,  -- in use [active]
    lvl                bigint,   -- depth in the tree [lvl]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);

-- Properties of products
CREATE TABLE crm.product_properties (
    store_id   bigint,   -- crm.store.store_id
    code       text,     -- key in the properties columns [code]
    name       text,     -- name [name]
    is_numeric boolean,  -- values are numbers [isNumeric]
    visible    boolean,  -- shown [visible]
    variative  boolean,  -- tells offers of a product apart [variative]
    value      text,     -- value, as a word of the write API [value]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, code)
);

-- Sites a property is for
CREATE TABLE crm.product_property_sites (
    store_id              bigint,  -- crm.store.store_id
    product_property_code text,    -- joins crm.product_properties.code
    ordinal               bigint,  -- place in the list as sent, from 1
    site_code             text,    -- joins crm.sites.code
    PRIMARY KEY (store_id, product_property_code, ordinal)
);

-- Product groups a property is for
CREATE TABLE crm.product_property_groups (
    store_id              bigint,  -- crm.store.store_id
    product_property_code text,    -- joins crm.product_properties.code
    id                    bigint,  -- joins crm.product_groups.id [id]
    name                  text,    -- group's name [name]
    PRIMARY KEY (store_id, product_property_code, id)
);

-- Values of properties that products have
CREATE TABLE crm.product_property_values (
    store_id      bigint,  -- crm.store.store_id
    id            text,    -- property/value, or a hash of it where it is long
    property_code text,    -- joins crm.product_properties.code [property.code]
    property_name text,    -- property's name [property.name]
    value         text,    -- value [value]
    offers_count  bigint,  -- offers that have it [offersCount]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);

-- Products of the catalogues
CREATE TABLE crm.products (
    store_id     bigint,       -- crm.store.store_id
    id           bigint,       -- RetailCRM's id [id]
    external_id  text,         -- id in the shop [externalId]
    catalog_id   bigint,       -- catalogue [catalogId]
    article      text,         -- article number [article]
    name         text,         -- name [name]
    type         text,         -- kind of product [type]
    active       boolean,      -- on sale [active]
    url          text,         -- page in the shop [url]
    image_url    text,         -- picture [imageUrl]
    description  text,         -- description [description]
    manufacturer text,         -- manufacturer [manufacturer]
    min_price    numeric,      -- lowest price of its offers [minPrice]
    max_price    numeric,      -- highest price of its offers [maxPrice]
    quantity     numeric,      -- stock of its offers together [quantity]
    popular      boolean,      -- marked as popular [popular]
    stock        boolean,      -- marked as on special offer [stock]
    novelty      boolean,      -- marked as new [novelty]
    recommended  boolean,      -- marked as recommended [recommended]
    markable     boolean,      -- whether each unit carries a marking code [markable]
    updated_at   timestamptz,  -- when it was last updated; prices and stock may not count [updatedAt]
    options      jsonb,        -- options as sent [options]
    properties   jsonb,        -- properties by code [properties]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);

-- Which product is in which group
CREATE TABLE crm.product_group_products (
    store_id    bigint,  -- crm.store.store_id
    product_id  bigint,  -- joins crm.products.id
    id          bigint,  -- joins crm.product_groups.id [id]
    external_id text,    -- group's id in the shop [externalId]
    PRIMARY KEY (store_id, product_id, id)
);

-- Offers of products; crm.offers has the same from a list of its own
CREATE TABLE crm.product_offers (
    store_id       bigint,   -- crm.store.store_id
    product_id     bigint,   -- joins crm.products.id
    id             bigint,   -- RetailCRM's id [id]
    external_id    text,     -- id in the shop [externalId]
    xml_id         text,     -- id in the stock system [xmlId]
    site           text,     -- site code; joins crm.sites.code [site]
    name           text,     -- name [name]
    article        text,     -- article number [article]
    barcode        text,     -- barcode [barcode]
    active         boolean,  -- on sale [active]
    price          numeric,  -- base price [price]
    purchase_price numeric,  -- purchase price [purchasePrice]
    vat_rate       text,     -- VAT rate: a number or none [vatRate]
    quantity       numeric,  -- stock, all warehouses together [quantity]
    weight         numeric,  -- weight in grams [weight]
    length         numeric,  -- length in millimetres [length]
    width          numeric,  -- width in millimetres [width]
    height         numeric,  -- height in millimetres [height]
    unit_code      text,     -- unit code; joins crm.units.code [unit.code]
    unit_name      text,     -- unit [unit.name]
    unit_sym       text,     -- unit's sign [unit.sym]
    properties     jsonb,    -- properties by code [properties]
    prices         jsonb,    -- prices by type, as sent [prices]
    images         jsonb,    -- pictures as sent [images]
    stores         jsonb,    -- stock by warehouse as sent [stores]
    product        jsonb,    -- a copy of the product, if sent [product]
    PRIMARY KEY (store_id, product_id, id)
);

-- Offers: what is sold
CREATE TABLE crm.offers (
    store_id            bigint,   -- crm.store.store_id
    id                  bigint,   -- RetailCRM's id [id]
    external_id         text,     -- id in the shop [externalId]
    xml_id              text,     -- id in the stock system [xmlId]
    site                text,     -- site code; joins crm.sites.code [site]
    name                text,     -- name [name]
    article             text,     -- article number [article]
    barcode             text,     -- barcode [barcode]
    active              boolean,  -- on sale [active]
    price               numeric,  -- base price [price]
    purchase_price      numeric,  -- purchase price [purchasePrice]
    vat_rate            text,     -- VAT rate: a number or none [vatRate]
    quantity            numeric,  -- stock, all warehouses together [quantity]
    weight              numeric,  -- weight in grams [weight]
    length              numeric,  -- length in millimetres [length]
    width               numeric,  -- width in millimetres [width]
    height              numeric,  -- height in millimetres [height]
    unit_code           text,     -- unit code; joins crm.units.code [unit.code]
    unit_name           text,     -- unit [unit.name]
    unit_sym            text,     -- unit's sign [unit.sym]
    properties          jsonb,    -- properties by code [properties]
    product_id          bigint,   -- joins crm.products.id [product.id]
    product_external_id text,     -- product's id in the shop [product.externalId]
    product_name        text,     -- product's name [product.name]
    stores              jsonb,    -- stock by warehouse as sent [stores]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);

-- Prices of offers by price type
CREATE TABLE crm.offer_prices (
    store_id   bigint,   -- crm.store.store_id
    offer_id   bigint,   -- joins crm.offers.id
    ordinal    bigint,   -- place in the list as sent, from 1
    price_type text,     -- joins crm.price_types.code [priceType]
    price      numeric,  -- price [price]
    currency   text,     -- ISO 4217 currency [currency]
    ordering   bigint,   -- place in lists [ordering]
    PRIMARY KEY (store_id, offer_id, ordinal)
);

-- Pictures of offers
CREATE TABLE crm.offer_images (
    store_id bigint,  -- crm.store.store_id
    offer_id bigint,  -- joins crm.offers.id
    ordinal  bigint,  -- place in the list as sent, from 1
    url      text,    -- address of the picture
    PRIMARY KEY (store_id, offer_id, ordinal)
);

-- Stock of offers, one row each; by warehouse in crm.inventory_stores
CREATE TABLE crm.inventories (
    store_id       bigint,   -- crm.store.store_id
    id             bigint,   -- joins crm.offers.id [id]
    external_id    text,     -- offer's id in the shop [externalId]
    xml_id         text,     -- offer's id in the stock system [xmlId]
    site           text,     -- site code; joins crm.sites.code [site]
    quantity       numeric,  -- stock, all warehouses together [quantity]
    purchase_price numeric,  -- purchase price [purchasePrice]
    name           text,     -- offer's name [name]
    display_name   text,     -- offer's name as shown [displayName]
    article        text,     -- article number [article]
    barcode        text,     -- barcode [barcode]
    vat_rate       text,     -- VAT rate: a number or none [vatRate]
    price          numeric,  -- base price [price]
    weight         numeric,  -- weight in grams [weight]
    length         numeric,  -- length in millimetres [length]
    width          numeric,  -- width in millimetres [width]
    height         numeric,  -- height in millimetres [height]
    unit_code      text,     -- unit code; joins crm.units.code [unit.code]
    unit_name      text,     -- unit [unit.name]
    unit_sym       text,     -- unit's sign [unit.sym]
    properties     jsonb,    -- properties by code [properties]
    prices         jsonb,    -- prices as sent [prices]
    images         jsonb,    -- pictures as sent [images]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);

-- Stock of offers by warehouse
CREATE TABLE crm.inventory_stores (
    store_id       bigint,   -- crm.store.store_id
    inventory_id   bigint,   -- joins crm.inventories.id
    ordinal        bigint,   -- place in the list as sent, from 1
    store          text,     -- warehouse; joins crm.warehouses.code [store]
    code           text,     -- warehouse, where it is sent under this name [code]
    quantity       numeric,  -- stock [quantity]
    available      numeric,  -- of it not reserved [available]
    purchase_price numeric,  -- purchase price [purchasePrice]
    PRIMARY KEY (store_id, inventory_id, ordinal)
);
