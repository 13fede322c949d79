-- Dictionaries of orders, payments and delivery.

-- Groups of order statuses
CREATE TABLE crm.status_groups (
    store_id bigint,   -- crm.store.store_id
    code     text,     -- code statuses refer to [code]
    name     text,     -- name [name]
    active   boolean,  -- in use [active]
    ordering bigint,   -- place in lists [ordering]
    process  boolean,  -- orders in it are being worked on [process]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, code)
);

-- Statuses of a group, in its order
CREATE TABLE crm.status_group_statuses (
    store_id          bigint,  -- crm.store.store_id
    status_group_code text,    -- joins crm.status_groups.code
    ordinal           bigint,  -- place in the list as sent, from 1
    status_code       text,    -- joins crm.statuses.code
    PRIMARY KEY (store_id, status_group_code, ordinal)
);

-- Statuses of orders
CREATE TABLE crm.statuses (
    store_id bigint,   -- crm.store.store_id
    code     text,     -- code orders refer to [code]
    name     text,     -- name [name]
    "group"  text,     -- joins crm.status_groups.code [group]
    active   boolean,  -- in use [active]
    ordering bigint,   -- place in lists [ordering]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, code)
);

-- Statuses of order items
CREATE TABLE crm.product_statuses (
    store_id                        bigint,       -- crm.store.store_id
    code                            text,         -- code order items refer to [code]
    name                            text,         -- name [name]
    active                          boolean,      -- in use [active]
    ordering                        bigint,       -- place in lists [ordering]
    created_at                      timestamptz,  -- when it was made [createdAt]
    cancel_status                   boolean,      -- the item counts as cancelled [cancelStatus]
    order_status_by_product_status  text,         -- status an order gets when all items have it [orderStatusByProductStatus]
    order_status_for_product_status text,         -- status of an order that gives it to its items [orderStatusForProductStatus]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, code)
);

-- Types of orders
CREATE TABLE crm.order_types (
    store_id        bigint,   -- crm.store.store_id
    code            text,     -- code orders refer to [code]
    name            text,     -- name [name]
    active          boolean,  -- in use [active]
    ordering        bigint,   -- place in lists [ordering]
    default_for_crm boolean,  -- default in the CRM [defaultForCrm]
    default_for_api boolean,  -- default for the API [defaultForApi]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, code)
);

-- Ways orders arrive
CREATE TABLE crm.order_methods (
    store_id        bigint,   -- crm.store.store_id
    code            text,     -- code orders refer to [code]
    name            text,     -- name [name]
    active          boolean,  -- in use [active]
    default_for_crm boolean,  -- default in the CRM [defaultForCrm]
    default_for_api boolean,  -- default for the API [defaultForApi]
    is_from_pos     boolean,  -- orders come from a point of sale [isFromPos]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, code)
);

-- Types of payments
CREATE TABLE crm.payment_types (
    store_id                            bigint,   -- crm.store.store_id
    code                                text,     -- code payments refer to [code]
    name                                text,     -- name [name]
    active                              boolean,  -- in use [active]
    default_for_crm                     boolean,  -- default in the CRM [defaultForCrm]
    default_for_api                     boolean,  -- default for the API [defaultForApi]
    description                         text,     -- description [description]
    integration_module_code             text,     -- integration module it is paid through [integrationModule.code]
    integration_module_integration_code text,     -- module's kind [integrationModule.integrationCode]
    integration_module_active           boolean,  -- module in use [integrationModule.active]
    integration_module_name             text,     -- module's name [integrationModule.name]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, code)
);

-- Delivery types a payment type goes with
CREATE TABLE crm.payment_type_delivery_types (
    store_id           bigint,  -- crm.store.store_id
    payment_type_code  text,    -- joins crm.payment_types.code
    ordinal            bigint,  -- place in the list as sent, from 1
    delivery_type_code text,    -- joins crm.delivery_types.code
    PRIMARY KEY (store_id, payment_type_code, ordinal)
);

-- Statuses payments of a type may have
CREATE TABLE crm.payment_type_payment_statuses (
    store_id            bigint,  -- crm.store.store_id
    payment_type_code   text,    -- joins crm.payment_types.code
    ordinal             bigint,  -- place in the list as sent, from 1
    payment_status_code text,    -- joins crm.payment_statuses.code
    PRIMARY KEY (store_id, payment_type_code, ordinal)
);

-- Sites a payment type is for; none means all
CREATE TABLE crm.payment_type_sites (
    store_id          bigint,  -- crm.store.store_id
    payment_type_code text,    -- joins crm.payment_types.code
    ordinal           bigint,  -- place in the list as sent, from 1
    site_code         text,    -- joins crm.sites.code
    PRIMARY KEY (store_id, payment_type_code, ordinal)
);

-- Statuses of payments
CREATE TABLE crm.payment_statuses (
    store_id         bigint,   -- crm.store.store_id
    code             text,     -- code payments refer to [code]
    name             text,     -- name [name]
    active           boolean,  -- in use [active]
    ordering         bigint,   -- place in lists [ordering]
    default_for_crm  boolean,  -- default in the CRM [defaultForCrm]
    default_for_api  boolean,  -- default for the API [defaultForApi]
    payment_complete boolean,  -- the payment is made [paymentComplete]
    description      text,     -- description [description]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, code)
);

-- Payment types a status is for
CREATE TABLE crm.payment_status_payment_types (
    store_id            bigint,  -- crm.store.store_id
    payment_status_code text,    -- joins crm.payment_statuses.code
    ordinal             bigint,  -- place in the list as sent, from 1
    payment_type_code   text,    -- joins crm.payment_types.code
    PRIMARY KEY (store_id, payment_status_code, ordinal)
);

-- Types of prices
CREATE TABLE crm.price_types (
    store_id          bigint,   -- crm.store.store_id
    code              text,     -- code prices refer to [code]
    id                bigint,   -- RetailCRM's id [id]
    name              text,     -- name [name]
    active            boolean,  -- in use [active]
    "default"         boolean,  -- the base price [default]
    description       text,     -- description [description]
    filter_expression text,     -- condition under which it applies [filterExpression]
    currency          text,     -- ISO 4217 currency [currency]
    ordering          bigint,   -- place in lists [ordering]
    promo             boolean,  -- a promotional price [promo]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, code)
);

-- Places a price type is for
CREATE TABLE crm.price_type_geo (
    store_id        bigint,  -- crm.store.store_id
    price_type_code text,    -- joins crm.price_types.code
    ordinal         bigint,  -- place in the list as sent, from 1
    country         text,    -- country [country]
    region_id       bigint,  -- region in the geo base [regionId]
    region          text,    -- region [region]
    city_id         bigint,  -- city in the geo base [cityId]
    city            text,    -- city [city]
    PRIMARY KEY (store_id, price_type_code, ordinal)
);

-- User or customer groups a price type is for
CREATE TABLE crm.price_type_groups (
    store_id        bigint,  -- crm.store.store_id
    price_type_code text,    -- joins crm.price_types.code
    ordinal         bigint,  -- place in the list as sent, from 1
    group_code      text,    -- group, as sent
    PRIMARY KEY (store_id, price_type_code, ordinal)
);

-- Types of delivery
CREATE TABLE crm.delivery_types (
    store_id                                 bigint,   -- crm.store.store_id
    code                                     text,     -- code orders refer to [code]
    id                                       bigint,   -- RetailCRM's id [id]
    name                                     text,     -- name [name]
    active                                   boolean,  -- in use [active]
    description                              text,     -- description [description]
    integration_code                         text,     -- integration module [integrationCode]
    currency                                 text,     -- ISO 4217 currency of its costs [currency]
    default_cost                             numeric,  -- default price for the customer [defaultCost]
    default_net_cost                         numeric,  -- default cost for the shop [defaultNetCost]
    is_dynamic_cost_calculation              boolean,  -- the price is calculated for each order [isDynamicCostCalculation]
    is_auto_cost_calculation                 boolean,  -- the price is calculated by itself [isAutoCostCalculation]
    is_auto_net_cost_calculation             boolean,  -- the cost is calculated by itself [isAutoNetCostCalculation]
    is_cost_depends_on_region_and_weight_and_sum boolean,  -- the price depends on region, weight and sum [isCostDependsOnRegionAndWeightAndSum]
    is_cost_depends_on_date_time             boolean,  -- the price depends on day and time [isCostDependsOnDateTime]
    default_for_crm                          boolean,  -- default in the CRM [defaultForCrm]
    vat_rate                                 text,     -- VAT rate: a number or none [vatRate]
    default_tariff_code                      text,     -- default tariff [defaultTariffCode]
    default_tariff_type                      text,     -- default tariff's kind [defaultTariffType]
    default_tariff_name                      text,     -- default tariff's name [defaultTariffName]
    payment_types                            jsonb,    -- payment type codes; delivery_type_payment_types has more [paymentTypes]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, code)
);

-- Payment types a delivery type goes with
CREATE TABLE crm.delivery_type_payment_types (
    store_id           bigint,   -- crm.store.store_id
    delivery_type_code text,     -- joins crm.delivery_types.code
    ordinal            bigint,   -- place in the list as sent, from 1
    code               text,     -- joins crm.payment_types.code [code]
    cod                boolean,  -- paid on delivery [cod]
    PRIMARY KEY (store_id, delivery_type_code, ordinal)
);

-- Services of a delivery type
CREATE TABLE crm.delivery_type_delivery_services (
    store_id              bigint,  -- crm.store.store_id
    delivery_type_code    text,    -- joins crm.delivery_types.code
    ordinal               bigint,  -- place in the list as sent, from 1
    delivery_service_code text,    -- joins crm.delivery_services.code
    PRIMARY KEY (store_id, delivery_type_code, ordinal)
);

-- Sites a delivery type is for; none means all
CREATE TABLE crm.delivery_type_sites (
    store_id           bigint,  -- crm.store.store_id
    delivery_type_code text,    -- joins crm.delivery_types.code
    ordinal            bigint,  -- place in the list as sent, from 1
    site_code          text,    -- joins crm.sites.code
    PRIMARY KEY (store_id, delivery_type_code, ordinal)
);

-- Services of delivery types
CREATE TABLE crm.delivery_services (
    store_id bigint,   -- crm.store.store_id
    code     text,     -- code orders refer to [code]
    name     text,     -- name [name]
    active   boolean,  -- in use [active]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, code)
);

-- Couriers
CREATE TABLE crm.couriers (
    store_id     bigint,   -- crm.store.store_id
    id           bigint,   -- RetailCRM's id [id]
    first_name   text,     -- first name [firstName]
    last_name    text,     -- last name [lastName]
    patronymic   text,     -- patronymic [patronymic]
    active       boolean,  -- in use [active]
    email        text,     -- e-mail [email]
    phone_number text,     -- phone as entered [phone.number]
    description  text,     -- description [description]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);

-- Warehouses: the stores of the API
CREATE TABLE crm.warehouses (
    store_id                      bigint,   -- crm.store.store_id
    code                          text,     -- code inventories and orders refer to [code]
    name                          text,     -- name [name]
    external_id                   text,     -- id in the shop [externalId]
    xml_id                        text,     -- id in the stock system [xmlId]
    description                   text,     -- description [description]
    email                         text,     -- e-mail [email]
    type                          text,     -- kind of warehouse [type]
    inventory_type                text,     -- how its stock is kept [inventoryType]
    active                        boolean,  -- in use [active]
    contact                       text,     -- contact person [contact]
    phone_number                  text,     -- phone as entered [phone.number]
    address_index                 text,     -- postal code [address.index]
    address_country_iso           text,     -- country [address.countryIso]
    address_region                text,     -- region [address.region]
    address_region_id             bigint,   -- region in the geo base [address.regionId]
    address_city                  text,     -- city [address.city]
    address_city_id               bigint,   -- city in the geo base [address.cityId]
    address_city_type             text,     -- kind of place [address.cityType]
    address_street                text,     -- street [address.street]
    address_street_id             bigint,   -- street in the geo base [address.streetId]
    address_street_type           text,     -- kind of street [address.streetType]
    address_building              text,     -- building [address.building]
    address_flat                  text,     -- flat [address.flat]
    address_floor                 text,     -- floor [address.floor]
    address_block                 text,     -- block or entrance [address.block]
    address_house                 text,     -- house [address.house]
    address_housing               text,     -- housing [address.housing]
    address_metro                 text,     -- metro station [address.metro]
    address_text                  text,     -- address in one line [address.text]
    address_notes                 text,     -- notes to the address [address.notes]
    address_coordinates_latitude  numeric,  -- latitude [address.coordinates.latitude]
    address_coordinates_longitude numeric,  -- longitude [address.coordinates.longitude]
    work_time                     jsonb,    -- working hours by day of the week, as sent [workTime]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, code)
);
