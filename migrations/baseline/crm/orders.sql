-- Orders, and what is done for them: packs, shipments, costs, files.

-- Orders, one row each, with the parts the API nests flattened by their path
CREATE TABLE crm.orders (
    store_id                          bigint,       -- crm.store.store_id
    id                                bigint,       -- RetailCRM's id, unique in the account [id]
    number                            text,         -- order number shown to people [number]
    external_id                       text,         -- id in the shop, unique within the site only [externalId]
    slug                              bigint,       -- number used in the CRM's own links [slug]
    site                              text,         -- site code; joins crm.sites.code [site]
    status                            text,         -- status code; joins crm.statuses.code [status]
    status_comment                    text,         -- comment on the present status [statusComment]
    status_updated_at                 timestamptz,  -- when the status last changed [statusUpdatedAt]
    order_type                        text,         -- order type code [orderType]
    order_method                      text,         -- order method code: how the order arrived [orderMethod]
    privilege_type                    text,         -- kind of discount the customer enjoys [privilegeType]
    country_iso                       text,         -- ISO 3166-1 alpha-2 country code [countryIso]
    created_at                        timestamptz,  -- when the order was made [createdAt]
    currency                          text,         -- ISO 4217 currency of all amounts of the order [currency]
    summ                              numeric,      -- items before the order's discount, in currency [summ]
    total_summ                        numeric,      -- amount due: items, discount and delivery [totalSumm]
    prepay_sum                        numeric,      -- amount already paid [prepaySum]
    purchase_summ                     numeric,      -- purchase cost of the items [purchaseSumm]
    discount_manual_amount            numeric,      -- manual discount, amount [discountManualAmount]
    discount_manual_percent           numeric,      -- manual discount, % [discountManualPercent]
    personal_discount_percent         numeric,      -- customer's own, % [personalDiscountPercent]
    bonuses_credit_total              numeric,      -- bonuses credited [bonusesCreditTotal]
    bonuses_charge_total              numeric,      -- bonuses charged [bonusesChargeTotal]
    loyalty_account_id                bigint,       -- loyalty account [loyaltyAccount.id]
    loyalty_account_amount            numeric,      -- bonuses on the account [loyaltyAccount.amount]
    loyalty_level_id                  bigint,       -- loyalty level [loyaltyLevel.id]
    loyalty_level_name                text,         -- loyalty level's name [loyaltyLevel.name]
    loyalty_event_discount_id         bigint,       -- loyalty event [loyaltyEventDiscount.id]
    loyalty_event_id                  bigint,       -- loyalty event applied [loyaltyEventId]
    apply_round                       boolean,      -- whether the total is rounded [applyRound]
    mark                              bigint,       -- the customer's rating of the order [mark]
    mark_datetime                     timestamptz,  -- when the rating was given [markDatetime]
    last_name                         text,         -- recipient's last name [lastName]
    first_name                        text,         -- recipient's first name [firstName]
    patronymic                        text,         -- recipient's patronymic [patronymic]
    phone                             text,         -- phone as entered [phone]
    additional_phone                  text,         -- second phone as entered [additionalPhone]
    email                             text,         -- e-mail as entered [email]
    call                              boolean,      -- whether a call is asked for [call]
    expired                           boolean,      -- whether the order is overdue [expired]
    customer_comment                  text,         -- the customer's comment [customerComment]
    manager_comment                   text,         -- the manager's comment [managerComment]
    manager_id                        bigint,       -- responsible user [managerId]
    customer_type                     text,         -- customer or customer_corporate [customer.type]
    customer_id                       bigint,       -- joins crm.customers.id or corporate_customers [customer.id]
    customer_external_id              text,         -- customer's id in the shop [customer.externalId]
    customer_site                     text,         -- customer's site code [customer.site]
    contact_id                        bigint,       -- contact person of a corporate order [contact.id]
    contact_external_id               text,         -- contact's id in the shop [contact.externalId]
    contact_site                      text,         -- contact's site code [contact.site]
    company_id                        bigint,       -- company of a corporate order [company.id]
    company_external_id               text,         -- company's id in the shop [company.externalId]
    company_name                      text,         -- company's name [company.name]
    contragent_contragent_type        text,         -- kind of person [contragent.contragentType]
    contragent_type                   text,         -- kind of person, deprecated spelling [contragent.type]
    contragent_legal_name             text,         -- legal name [contragent.legalName]
    contragent_legal_address          text,         -- legal address [contragent.legalAddress]
    contragent_inn                    text,         -- tax number (INN) [contragent.INN]
    contragent_okpo                   text,         -- OKPO [contragent.OKPO]
    contragent_kpp                    text,         -- KPP [contragent.KPP]
    contragent_ogrn                   text,         -- OGRN [contragent.OGRN]
    contragent_ogrnip                 text,         -- OGRNIP [contragent.OGRNIP]
    contragent_certificate_number     text,         -- certificate [contragent.certificateNumber]
    contragent_certificate_date       date,         -- its date [contragent.certificateDate]
    contragent_bik                    text,         -- bank's BIK [contragent.BIK]
    contragent_bank                   text,         -- bank [contragent.bank]
    contragent_bank_address           text,         -- bank's address [contragent.bankAddress]
    contragent_corr_account           text,         -- correspondent account [contragent.corrAccount]
    contragent_bank_account           text,         -- account [contragent.bankAccount]
    delivery_code                     text,         -- delivery type code [delivery.code]
    delivery_integration_code         text,         -- integration module [delivery.integrationCode]
    delivery_service_code             text,         -- delivery service code [delivery.service.code]
    delivery_service_name             text,         -- delivery service [delivery.service.name]
    delivery_service_active           boolean,      -- service in use [delivery.service.active]
    delivery_cost                     numeric,      -- what the customer pays for delivery [delivery.cost]
    delivery_net_cost                 numeric,      -- what delivery costs the shop [delivery.netCost]
    delivery_vat_rate                 text,         -- VAT rate: a number or none [delivery.vatRate]
    delivery_date                     date,         -- agreed delivery day [delivery.date]
    delivery_time_from                text,         -- agreed from, H:i [delivery.time.from]
    delivery_time_to                  text,         -- agreed to, H:i [delivery.time.to]
    delivery_time_custom              text,         -- agreed time in words [delivery.time.custom]
    delivery_data_track_number        text,         -- track number [delivery.data.trackNumber]
    delivery_data_status              text,         -- the carrier's status [delivery.data.status]
    delivery_data                     jsonb,        -- the carrier's data as sent [delivery.data]
    delivery_address_id               bigint,       -- address id [delivery.address.id]
    delivery_address_index            text,         -- postal code [delivery.address.index]
    delivery_address_country_iso      text,         -- country [delivery.address.countryIso]
    delivery_address_region           text,         -- region [delivery.address.region]
    delivery_address_region_id        bigint,       -- region in geo base [delivery.address.regionId]
    delivery_address_city             text,         -- city [delivery.address.city]
    delivery_address_city_id          bigint,       -- city in geo base [delivery.address.cityId]
    delivery_address_city_type        text,         -- kind of place [delivery.address.cityType]
    delivery_address_street           text,         -- street [delivery.address.street]
    delivery_address_street_id        bigint,       -- street in geo base [delivery.address.streetId]
    delivery_address_street_type      text,         -- kind of street [delivery.address.streetType]
    delivery_address_building         text,         -- building [delivery.address.building]
    delivery_address_flat             text,         -- flat [delivery.address.flat]
    delivery_address_floor            text,         -- floor [delivery.address.floor]
    delivery_address_block            text,         -- block or entrance [delivery.address.block]
    delivery_address_house            text,         -- house [delivery.address.house]
    delivery_address_housing          text,         -- housing [delivery.address.housing]
    delivery_address_metro            text,         -- metro station [delivery.address.metro]
    delivery_address_text             text,         -- address in one line [delivery.address.text]
    delivery_address_notes            text,         -- notes to the address [delivery.address.notes]
    marketplace_code                  text,         -- marketplace [marketplace.code]
    marketplace_order_id              text,         -- order id there [marketplace.orderId]
    source_source                     text,         -- utm_source [source.source]
    source_medium                     text,         -- utm_medium [source.medium]
    source_campaign                   text,         -- utm_campaign [source.campaign]
    source_keyword                    text,         -- utm_term [source.keyword]
    source_content                    text,         -- utm_content [source.content]
    full_paid_at                      timestamptz,  -- when it was paid in full [fullPaidAt]
    from_api                          boolean,      -- whether it came through the API [fromApi]
    weight                            numeric,      -- weight in grams [weight]
    length                            numeric,      -- length in millimetres [length]
    width                             numeric,      -- width in millimetres [width]
    height                            numeric,      -- height in millimetres [height]
    shipment_store                    text,         -- warehouse code; joins crm.warehouses.code [shipmentStore]
    shipment_date                     date,         -- planned or actual shipment day [shipmentDate]
    shipped                           boolean,      -- whether it is shipped [shipped]
    dialog_id                         bigint,       -- chat it came from [dialogId]
    client_id                         text,         -- web analytics client id [clientId]
    uploaded_to_external_store_system boolean,      -- whether a stock system has it [uploadedToExternalStoreSystem]
    links                             jsonb,        -- linked orders as sent [links]
    custom_fields                     jsonb,        -- the account's custom fields by code [customFields]
    created_on                        date,         -- creation day in the store's zone, as sent
    listed_at                         timestamptz,  -- as_of of the read that found it (on that day)
    combined_to                       bigint,       -- id that survived when combined
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);
CREATE INDEX orders_by_contact_id ON crm.orders (store_id, contact_id);
CREATE INDEX orders_by_customer_id ON crm.orders (store_id, customer_id);
CREATE INDEX orders_live_by_day
    ON crm.orders (store_id, created_on) INCLUDE (listed_at) WHERE deleted_at IS NULL;

-- Positions of orders; replaced whole when the order changes
CREATE TABLE crm.order_items (
    store_id                bigint,       -- crm.store.store_id
    order_id                bigint,       -- joins crm.orders.id
    id                      bigint,       -- position id, unique in the account [id]
    external_id             text,         -- id in the shop [externalId]
    external_ids            jsonb,        -- ids in other systems [externalIds]
    status                  text,         -- item status; joins crm.product_statuses.code [status]
    offer_id                bigint,       -- joins crm.offers.id [offer.id]
    offer_external_id       text,         -- offer's id in the shop [offer.externalId]
    offer_xml_id            text,         -- offer's id in the stock system [offer.xmlId]
    offer_name              text,         -- offer's name [offer.name]
    offer_display_name      text,         -- offer's name as shown [offer.displayName]
    offer_article           text,         -- article number [offer.article]
    offer_barcode           text,         -- barcode [offer.barcode]
    offer_vat_rate          text,         -- offer's VAT rate [offer.vatRate]
    offer_unit_code         text,         -- unit code [offer.unit.code]
    offer_unit_name         text,         -- unit [offer.unit.name]
    offer_unit_sym          text,         -- unit's sign [offer.unit.sym]
    offer_properties        jsonb,        -- offer's properties [offer.properties]
    product_name            text,         -- name of a position without an offer [productName]
    price_type_code         text,         -- price type code [priceType.code]
    initial_price           numeric,      -- price before discounts, a unit [initialPrice]
    discount_manual_amount  numeric,      -- discount, amount [discountManualAmount]
    discount_manual_percent numeric,      -- discount, % [discountManualPercent]
    discount_total          numeric,      -- total discount, a unit [discountTotal]
    discounts               jsonb,        -- discounts as sent [discounts]
    prices                  jsonb,        -- tranches {price, quantity}: sum them for revenue [prices]
    vat_rate                text,         -- VAT rate: a number or none [vatRate]
    quantity                numeric,      -- quantity in units [quantity]
    purchase_price          numeric,      -- purchase price, a unit [purchasePrice]
    bonuses_credit_total    numeric,      -- bonuses credited [bonusesCreditTotal]
    bonuses_charge_total    numeric,      -- bonuses charged [bonusesChargeTotal]
    comment                 text,         -- comment [comment]
    is_canceled             boolean,      -- whether the position is cancelled [isCanceled]
    created_at              timestamptz,  -- when it was added [createdAt]
    ordering                bigint,       -- place in the order [ordering]
    properties              jsonb,        -- properties chosen, by code [properties]
    marking_codes           jsonb,        -- marking codes [markingCodes]
    PRIMARY KEY (store_id, order_id, id)
);

-- Payments of orders; the API sends them as a map or a list
CREATE TABLE crm.order_payments (
    store_id    bigint,       -- crm.store.store_id
    order_id    bigint,       -- joins crm.orders.id
    id          bigint,       -- payment id, unique in the account [id]
    external_id text,         -- id in the shop [externalId]
    type        text,         -- payment type; joins crm.payment_types.code [type]
    status      text,         -- status; joins crm.payment_statuses.code [status]
    amount      numeric,      -- amount in the order's currency [amount]
    paid_at     timestamptz,  -- when it was paid [paidAt]
    comment     text,         -- comment [comment]
    PRIMARY KEY (store_id, order_id, id)
);

-- Changes of orders, one entry per changed field; entries never change
CREATE TABLE crm.order_history (
    store_id          bigint,       -- crm.store.store_id
    id                bigint,       -- entry id, ascending [id]
    created_at        timestamptz,  -- when the change was made [createdAt]
    created           boolean,      -- true on the entry that made the order [created]
    deleted           boolean,      -- true on the entry that deleted it [deleted]
    source            text,         -- who made it: user, api, code, rule [source]
    user_id           bigint,       -- user who made it [user.id]
    api_key_current   boolean,      -- made with the mirror's own key [apiKey.current]
    field             text,         -- changed field, in the history's own names [field]
    old_value         jsonb,        -- before: null, scalar, or object with id or code [oldValue]
    new_value         jsonb,        -- after: null, scalar, or object with id or code [newValue]
    order_id          bigint,       -- joins crm.orders.id [order.id]
    order_external_id text,         -- order's id in the shop [order.externalId]
    order_site        text,         -- order's site at that time [order.site]
    order_status      text,         -- order's status at that time [order.status]
    order_manager_id  bigint,       -- order's manager at that time [order.managerId]
    item_id           bigint,       -- position the change is about [item.id]
    item_offer_id     bigint,       -- its offer [item.offer.id]
    payment_id        bigint,       -- payment the change is about [payment.id]
    payment_type      text,         -- its type [payment.type]
    combined_to_id    bigint,       -- the order this one was combined into [combinedTo.id]
    ancestor_id       bigint,       -- order it was made from [ancestor.id]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);
CREATE INDEX order_history_by_order_id ON crm.order_history (store_id, order_id);

-- Packs: stock set aside for order items
CREATE TABLE crm.packs (
    store_id               bigint,       -- crm.store.store_id
    id                     bigint,       -- RetailCRM's id [id]
    item_id                bigint,       -- joins crm.order_items.id [item.id]
    item_order_id          bigint,       -- joins crm.orders.id [item.order.id]
    item_offer_id          bigint,       -- joins crm.offers.id [item.offer.id]
    item_offer_external_id text,         -- offer's id in the shop [item.offer.externalId]
    item_offer_xml_id      text,         -- offer's id in the stock system [item.offer.xmlId]
    store                  text,         -- warehouse; joins crm.warehouses.code [store]
    quantity               numeric,      -- quantity in units [quantity]
    purchase_price         numeric,      -- purchase price, a unit [purchasePrice]
    shipment_date          date,         -- shipment day [shipmentDate]
    invoice_number         text,         -- invoice [invoiceNumber]
    delivery_note_number   text,         -- delivery note [deliveryNoteNumber]
    unit_code              text,         -- unit code [unit.code]
    unit_name              text,         -- unit [unit.name]
    unit_sym               text,         -- unit's sign [unit.sym]
    listed_at              timestamptz,  -- as_of of the read that found it (on that day)
    combined_to            bigint,       -- id that survived when combined
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);

-- Changes of packs, one entry per changed field; entries never change
CREATE TABLE crm.pack_history (
    store_id                    bigint,       -- crm.store.store_id
    id                          bigint,       -- entry id, ascending [id]
    created_at                  timestamptz,  -- when the change was made [createdAt]
    created                     boolean,      -- true on the entry that made the pack [created]
    deleted                     boolean,      -- true on the entry that deleted it [deleted]
    source                      text,         -- who made it: user, api, code, rule [source]
    user_id                     bigint,       -- user who made it [user.id]
    field                       text,         -- changed field, in the history's own names [field]
    old_value                   jsonb,        -- before: null, scalar, or object with id or code [oldValue]
    new_value                   jsonb,        -- after: null, scalar, or object with id or code [newValue]
    pack_id                     bigint,       -- joins crm.packs.id [pack.id]
    pack_store_code             text,         -- warehouse at that time [pack.store.code]
    pack_quantity               numeric,      -- quantity at that time [pack.quantity]
    pack_purchase_price         numeric,      -- purchase price at that time [pack.purchasePrice]
    pack_item_id                bigint,       -- joins crm.order_items.id [pack.item.id]
    pack_item_order_id          bigint,       -- joins crm.orders.id [pack.item.order.id]
    pack_item_offer_id          bigint,       -- joins crm.offers.id [pack.item.offer.id]
    pack_item_offer_external_id text,         -- offer's id in the shop [pack.item.offer.externalId]
    pack_item_offer_xml_id      text,         -- offer's id in the stock system [pack.item.offer.xmlId]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);
CREATE INDEX pack_history_by_pack_id ON crm.pack_history (store_id, pack_id);

-- Shipments handed to carriers
CREATE TABLE crm.delivery_shipments (
    store_id          bigint,  -- crm.store.store_id
    id                bigint,  -- RetailCRM's id [id]
    external_id       text,    -- id at the carrier [externalId]
    integration_code  text,    -- integration module [integrationCode]
    delivery_type     text,    -- joins crm.delivery_types.code [deliveryType]
    store             text,    -- warehouse; joins crm.warehouses.code [store]
    manager_id        bigint,  -- responsible user [managerId]
    status            text,    -- status [status]
    date              date,    -- shipment day [date]
    time_from         text,    -- from, H:i [time.from]
    time_to           text,    -- to, H:i [time.to]
    time_custom       text,    -- time in words [time.custom]
    lunch_time_from   text,    -- lunch from, H:i [lunchTime.from]
    lunch_time_to     text,    -- lunch to, H:i [lunchTime.to]
    lunch_time_custom text,    -- lunch in words [lunchTime.custom]
    comment           text,    -- comment [comment]
    extra_data        jsonb,   -- the carrier's own data as sent [extraData]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);

-- Orders of a shipment
CREATE TABLE crm.delivery_shipment_orders (
    store_id             bigint,   -- crm.store.store_id
    delivery_shipment_id bigint,   -- joins crm.delivery_shipments.id
    id                   bigint,   -- joins crm.orders.id [id]
    external_id          text,     -- order's id in the shop [externalId]
    number               text,     -- order's number [number]
    apply_round          boolean,  -- whether the total is rounded [applyRound]
    PRIMARY KEY (store_id, delivery_shipment_id, id)
);

-- Groups of cost items
CREATE TABLE crm.cost_groups (
    store_id bigint,   -- crm.store.store_id
    code     text,     -- code cost items refer to [code]
    name     text,     -- name [name]
    ordering bigint,   -- place in lists [ordering]
    active   boolean,  -- in use [active]
    color    text,     -- colour, #rrggbb [color]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, code)
);

-- What costs are for
CREATE TABLE crm.cost_items (
    store_id          bigint,   -- crm.store.store_id
    code              text,     -- code costs refer to [code]
    name              text,     -- name [name]
    "group"           text,     -- joins crm.cost_groups.code [group]
    ordering          bigint,   -- place in lists [ordering]
    active            boolean,  -- in use [active]
    applies_to_orders boolean,  -- costs of orders [appliesToOrders]
    applies_to_users  boolean,  -- costs of users [appliesToUsers]
    type              text,     -- const or var [type]
    source_source     text,     -- utm_source [source.source]
    source_medium     text,     -- utm_medium [source.medium]
    source_campaign   text,     -- utm_campaign [source.campaign]
    source_keyword    text,     -- utm_term [source.keyword]
    source_content    text,     -- utm_content [source.content]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, code)
);

-- Costs of orders, campaigns and users
CREATE TABLE crm.costs (
    store_id          bigint,       -- crm.store.store_id
    id                bigint,       -- RetailCRM's id [id]
    date_from         date,         -- first day it is for [dateFrom]
    date_to           date,         -- last day it is for [dateTo]
    summ              numeric,      -- amount [summ]
    cost_item         text,         -- joins crm.cost_items.code [costItem]
    comment           text,         -- comment [comment]
    created_at        timestamptz,  -- when it was entered [createdAt]
    created_by        bigint,       -- user who entered it [createdBy]
    user_id           bigint,       -- user it is for [userId]
    order_id          bigint,       -- joins crm.orders.id [order.id]
    order_number      text,         -- order's number [order.number]
    order_external_id text,         -- order's id in the shop [order.externalId]
    source_source     text,         -- utm_source [source.source]
    source_medium     text,         -- utm_medium [source.medium]
    source_campaign   text,         -- utm_campaign [source.campaign]
    source_keyword    text,         -- utm_term [source.keyword]
    source_content    text,         -- utm_content [source.content]
    created_on        date,         -- creation day in the store's zone, as sent
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);
CREATE INDEX costs_live_by_day ON crm.costs (store_id, created_on) WHERE deleted_at IS NULL;

-- Sites a cost is for
CREATE TABLE crm.cost_sites (
    store_id  bigint,  -- crm.store.store_id
    cost_id   bigint,  -- joins crm.costs.id
    ordinal   bigint,  -- place in the list as sent, from 1
    site_code text,    -- joins crm.sites.code
    PRIMARY KEY (store_id, cost_id, ordinal)
);

-- Files, without their content
CREATE TABLE crm.files (
    store_id   bigint,       -- crm.store.store_id
    id         bigint,       -- RetailCRM's id [id]
    filename   text,         -- name [filename]
    type       text,         -- media type [type]
    created_at timestamptz,  -- when it was uploaded [createdAt]
    size       bigint,       -- size in bytes [size]
    created_on date,         -- creation day in the store's zone, as sent
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);
CREATE INDEX files_live_by_day ON crm.files (store_id, created_on) WHERE deleted_at IS NULL;

-- What a file is attached to
CREATE TABLE crm.file_attachments (
    store_id             bigint,  -- crm.store.store_id
    file_id              bigint,  -- joins crm.files.id
    ordinal              bigint,  -- place in the list as sent, from 1
    customer_id          bigint,  -- joins crm.customers.id [customer.id]
    customer_external_id text,    -- customer's id in the shop [customer.externalId]
    customer_site        text,    -- customer's site [customer.site]
    order_id             bigint,  -- joins crm.orders.id [order.id]
    order_number         text,    -- order's number [order.number]
    order_external_id    text,    -- order's id in the shop [order.externalId]
    order_site           text,    -- order's site [order.site]
    PRIMARY KEY (store_id, file_id, ordinal)
);
