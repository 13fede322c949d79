-- Customers, their carts, favourites and notes; segments.

-- Customers who are private persons, and contacts of companies
CREATE TABLE crm.customers (
    store_id                        bigint,       -- crm.store.store_id
    id                              bigint,       -- RetailCRM's id, unique in the account [id]
    type                            text,         -- customer [type]
    external_id                     text,         -- id in the shop, unique within the site only [externalId]
    site                            text,         -- site code; joins crm.sites.code [site]
    created_at                      timestamptz,  -- when the customer registered [createdAt]
    is_contact                      boolean,      -- whether it is a contact of a company [isContact]
    manager_id                      bigint,       -- responsible user [managerId]
    vip                             boolean,      -- marked as VIP [vip]
    bad                             boolean,      -- marked as bad [bad]
    first_name                      text,         -- first name [firstName]
    last_name                       text,         -- last name [lastName]
    patronymic                      text,         -- patronymic [patronymic]
    sex                             text,         -- male or female [sex]
    presumable_sex                  text,         -- guessed by the CRM from the name [presumableSex]
    birthday                        date,         -- birthday [birthday]
    email                           text,         -- e-mail as entered [email]
    email_marketing_unsubscribed_at timestamptz,  -- when they unsubscribed from mailings [emailMarketingUnsubscribedAt]
    subscribed                      boolean,      -- subscribed to mailings [subscribed]
    photo_url                       text,         -- photo [photoUrl]
    browser_id                      text,         -- web collector's id [browserId]
    first_client_id                 text,         -- first web analytics client id [firstClientId]
    last_client_id                  text,         -- last web analytics client id [lastClientId]
    mg_customer_id                  bigint,       -- id in the message gateway [mgCustomerId]
    total_summ                      numeric,      -- sum of orders; changes without a history entry [totalSumm]
    average_summ                    numeric,      -- average order; changes without an entry [averageSumm]
    orders_count                    bigint,       -- orders; changes without an entry [ordersCount]
    margin_summ                     numeric,      -- margin; changes without an entry [marginSumm]
    avg_margin_summ                 numeric,      -- average margin [avgMarginSumm]
    cost_summ                       numeric,      -- costs; changes without an entry [costSumm]
    personal_discount               numeric,      -- personal discount, % [personalDiscount]
    cumulative_discount             numeric,      -- cumulative discount, % [cumulativeDiscount]
    discount_card_number            text,         -- discount card [discountCardNumber]
    maturation_time                 bigint,       -- seconds from visit to first order [maturationTime]
    attached_tag                    text,         -- tag attached [attachedTag]
    contragent_contragent_type      text,         -- kind of person [contragent.contragentType]
    contragent_type                 text,         -- kind of person, deprecated spelling [contragent.type]
    contragent_legal_name           text,         -- legal name [contragent.legalName]
    contragent_legal_address        text,         -- legal address [contragent.legalAddress]
    contragent_inn                  text,         -- tax number (INN) [contragent.INN]
    contragent_okpo                 text,         -- OKPO [contragent.OKPO]
    contragent_kpp                  text,         -- KPP [contragent.KPP]
    contragent_ogrn                 text,         -- OGRN [contragent.OGRN]
    contragent_ogrnip               text,         -- OGRNIP [contragent.OGRNIP]
    contragent_certificate_number   text,         -- certificate [contragent.certificateNumber]
    contragent_certificate_date     date,         -- its date [contragent.certificateDate]
    contragent_bik                  text,         -- bank's BIK [contragent.BIK]
    contragent_bank                 text,         -- bank [contragent.bank]
    contragent_bank_address         text,         -- bank's address [contragent.bankAddress]
    contragent_corr_account         text,         -- correspondent account [contragent.corrAccount]
    contragent_bank_account         text,         -- account [contragent.bankAccount]
    address_id                      bigint,       -- address id [address.id]
    address_external_id             text,         -- address's id in the shop [address.externalId]
    address_name                    text,         -- address's name [address.name]
    address_is_main                 boolean,      -- main address [address.isMain]
    address_index                   text,         -- postal code [address.index]
    address_country_iso             text,         -- country [address.countryIso]
    address_region                  text,         -- region [address.region]
    address_region_id               bigint,       -- region in the geo base [address.regionId]
    address_city                    text,         -- city [address.city]
    address_city_id                 bigint,       -- city in the geo base [address.cityId]
    address_city_type               text,         -- kind of place [address.cityType]
    address_street                  text,         -- street [address.street]
    address_street_id               bigint,       -- street in the geo base [address.streetId]
    address_street_type             text,         -- kind of street [address.streetType]
    address_building                text,         -- building [address.building]
    address_flat                    text,         -- flat [address.flat]
    address_floor                   text,         -- floor [address.floor]
    address_block                   text,         -- block or entrance [address.block]
    address_house                   text,         -- house [address.house]
    address_housing                 text,         -- housing [address.housing]
    address_metro                   text,         -- metro station [address.metro]
    address_text                    text,         -- address in one line [address.text]
    address_notes                   text,         -- notes to the address [address.notes]
    source_source                   text,         -- utm_source [source.source]
    source_medium                   text,         -- utm_medium [source.medium]
    source_campaign                 text,         -- utm_campaign [source.campaign]
    source_keyword                  text,         -- utm_term [source.keyword]
    source_content                  text,         -- utm_content [source.content]
    customer_subscriptions          jsonb,        -- subscriptions as sent [customerSubscriptions]
    mg_customers                    jsonb,        -- customers in the message gateway as sent [mgCustomers]
    custom_fields                   jsonb,        -- the account's custom fields by code [customFields]
    created_on                      date,         -- creation day in the store's zone, as sent
    listed_at                       timestamptz,  -- as_of of the read that found it (on that day)
    combined_to                     bigint,       -- id that survived when combined
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);
CREATE INDEX customers_combined ON crm.customers (store_id, id) WHERE deleted_reason = 'combined';
CREATE INDEX customers_live_by_day
    ON crm.customers (store_id, created_on) INCLUDE (listed_at) WHERE deleted_at IS NULL;

-- Phones of customers, in the order sent
CREATE TABLE crm.customer_phones (
    store_id    bigint,  -- crm.store.store_id
    customer_id bigint,  -- joins crm.customers.id
    ordinal     bigint,  -- place in the list as sent, from 1
    number      text,    -- phone as entered [number]
    PRIMARY KEY (store_id, customer_id, ordinal)
);

-- Tags of customers
CREATE TABLE crm.customer_tags (
    store_id    bigint,   -- crm.store.store_id
    customer_id bigint,   -- joins crm.customers.id
    ordinal     bigint,   -- place in the list as sent, from 1
    name        text,     -- tag [name]
    color       text,     -- colour, #rrggbb [color]
    attached    boolean,  -- attached by hand [attached]
    PRIMARY KEY (store_id, customer_id, ordinal)
);

-- Which customer is in which segment
CREATE TABLE crm.customer_segments (
    store_id        bigint,       -- crm.store.store_id
    customer_id     bigint,       -- joins crm.customers.id
    id              bigint,       -- segment id; joins crm.segments.id [id]
    code            text,         -- segment code [code]
    name            text,         -- segment's name [name]
    created_at      timestamptz,  -- when the segment was made [createdAt]
    is_dynamic      boolean,      -- filled by a rule [isDynamic]
    customers_count bigint,       -- members when it was read [customersCount]
    active          boolean,      -- in use [active]
    PRIMARY KEY (store_id, customer_id, id)
);

-- Changes of customers, one entry per changed field; entries never change
CREATE TABLE crm.customer_history (
    store_id             bigint,       -- crm.store.store_id
    id                   bigint,       -- entry id, ascending [id]
    created_at           timestamptz,  -- when the change was made [createdAt]
    created              boolean,      -- true on the entry that made the customer [created]
    deleted              boolean,      -- true on the entry that deleted it [deleted]
    source               text,         -- who made it: user, api, code, rule [source]
    user_id              bigint,       -- user who made it [user.id]
    api_key_current      boolean,      -- made with the mirror's own key [apiKey.current]
    field                text,         -- changed field, in the history's own names [field]
    old_value            jsonb,        -- before: null, scalar, or object with id or code [oldValue]
    new_value            jsonb,        -- after: null, scalar, or object with id or code [newValue]
    customer_id          bigint,       -- joins crm.customers.id [customer.id]
    customer_external_id text,         -- customer's id in the shop [customer.externalId]
    customer_site        text,         -- customer's site at that time [customer.site]
    address_id           bigint,       -- address the change is about [address.id]
    address_is_main      boolean,      -- whether it is the main one [address.isMain]
    combined_to_id       bigint,       -- the customer this one was combined into [combinedTo.id]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);
CREATE INDEX customer_history_by_customer_id ON crm.customer_history (store_id, customer_id);

-- Carts of customers
CREATE TABLE crm.carts (
    store_id              bigint,       -- crm.store.store_id
    id                    bigint,       -- customer's id; joins crm.customers.id
    external_id           text,         -- cart's id in the shop [externalId]
    currency              text,         -- ISO 4217 currency [currency]
    dropped_at            timestamptz,  -- when it was left [droppedAt]
    cleared_at            timestamptz,  -- when it was emptied [clearedAt]
    link                  text,         -- link to it in the shop [link]
    customer_id           bigint,       -- customer [customer.id]
    customer_external_id  text,         -- customer's id in the shop [customer.externalId]
    customer_browser_id   text,         -- customer's web collector id [customer.browserId]
    customer_site         text,         -- customer's site [customer.site]
    customer_ga_client_id text,         -- customer's web analytics client id [customer.gaClientId]
    order_id              bigint,       -- order it became; joins crm.orders.id [order.id]
    order_external_id     text,         -- order's id in the shop [order.externalId]
    order_number          text,         -- order's number [order.number]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);

-- Positions of carts
CREATE TABLE crm.cart_items (
    store_id          bigint,   -- crm.store.store_id
    cart_id           bigint,   -- joins crm.carts.id
    ordinal           bigint,   -- place in the list as sent, from 1
    id                bigint,   -- position id, unique in the cart [id]
    offer_id          bigint,   -- joins crm.offers.id [offer.id]
    offer_external_id text,     -- offer's id in the shop [offer.externalId]
    offer_xml_id      text,     -- offer's id in the stock system [offer.xmlId]
    offer_name        text,     -- offer's name [offer.name]
    offer             jsonb,    -- the offer as sent [offer]
    quantity          numeric,  -- quantity [quantity]
    price             numeric,  -- price, a unit [price]
    PRIMARY KEY (store_id, cart_id, ordinal)
);

-- Offers customers marked as favourites
CREATE TABLE crm.favorites (
    store_id          bigint,       -- crm.store.store_id
    id                text,         -- customer/offer
    customer_id       bigint,       -- joins crm.customers.id
    offer_id          bigint,       -- joins crm.offers.id [offer.id]
    offer_external_id text,         -- offer's id in the shop [offer.externalId]
    offer_xml_id      text,         -- offer's id in the stock system [offer.xmlId]
    created_at        timestamptz,  -- when it was marked [createdAt]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);
CREATE INDEX favorites_by_customer_id ON crm.favorites (store_id, customer_id);

-- Notes on customers
CREATE TABLE crm.customer_notes (
    store_id             bigint,       -- crm.store.store_id
    id                   bigint,       -- RetailCRM's id [id]
    text                 text,         -- text, HTML as entered [text]
    created_at           timestamptz,  -- when it was written [createdAt]
    manager_id           bigint,       -- user who wrote it [managerId]
    customer_id          bigint,       -- joins crm.customers.id [customer.id]
    customer_type        text,         -- customer or customer_corporate [customer.type]
    customer_site        text,         -- customer's site [customer.site]
    customer_external_id text,         -- customer's id in the shop [customer.externalId]
    created_on           date,         -- creation day in the store's zone, as sent
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);
CREATE INDEX customer_notes_live_by_day
    ON crm.customer_notes (store_id, created_on) WHERE deleted_at IS NULL;
