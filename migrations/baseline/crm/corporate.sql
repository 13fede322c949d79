-- Corporate customers and what belongs to them.

-- Customers that are companies
CREATE TABLE crm.corporate_customers (
    store_id                                 bigint,       -- crm.store.store_id
    id                                       bigint,       -- RetailCRM's id, unique in the account [id]
    type                                     text,         -- customer_corporate [type]
    external_id                              text,         -- id in the shop, unique within the site only [externalId]
    site                                     text,         -- site code; joins crm.sites.code [site]
    nick_name                                text,         -- name [nickName]
    created_at                               timestamptz,  -- when the customer registered [createdAt]
    manager_id                               bigint,       -- responsible user [managerId]
    vip                                      boolean,      -- marked as VIP [vip]
    bad                                      boolean,      -- marked as bad [bad]
    total_summ                               numeric,      -- sum of orders; changes without a history entry [totalSumm]
    average_summ                             numeric,      -- average order; changes without an entry [averageSumm]
    orders_count                             bigint,       -- orders; changes without an entry [ordersCount]
    margin_summ                              numeric,      -- margin; changes without an entry [marginSumm]
    avg_margin_summ                          numeric,      -- average margin [avgMarginSumm]
    cost_summ                                numeric,      -- costs; changes without an entry [costSumm]
    personal_discount                        numeric,      -- personal discount, % [personalDiscount]
    cumulative_discount                      numeric,      -- cumulative discount, % [cumulativeDiscount]
    discount_card_number                     text,         -- discount card [discountCardNumber]
    first_client_id                          text,         -- first web analytics client id [firstClientId]
    last_client_id                           text,         -- last web analytics client id [lastClientId]
    main_address_id                          bigint,       -- joins crm.corporate_customer_addresses.id [mainAddress.id]
    main_address_external_id                 text,         -- main address's id in the shop [mainAddress.externalId]
    main_address_name                        text,         -- main address's name [mainAddress.name]
    main_company_id                          bigint,       -- joins crm.corporate_customer_companies.id [mainCompany.id]
    main_company_external_id                 text,         -- main company's id in the shop [mainCompany.externalId]
    main_company_name                        text,         -- main company's name [mainCompany.name]
    main_customer_contact_id                 bigint,       -- joins crm.corporate_customer_contacts.id [mainCustomerContact.id]
    main_customer_contact_is_main            boolean,      -- always true [mainCustomerContact.isMain]
    main_customer_contact_customer_id        bigint,       -- main contact; joins crm.customers.id [mainCustomerContact.customer.id]
    main_customer_contact_customer_external_id text,       -- main contact's id in the shop [mainCustomerContact.customer.externalId]
    main_customer_contact_customer_browser_id text,        -- main contact's web collector id [mainCustomerContact.customer.browserId]
    main_customer_contact_customer_site      text,         -- main contact's site [mainCustomerContact.customer.site]
    source_source                            text,         -- utm_source [source.source]
    source_medium                            text,         -- utm_medium [source.medium]
    source_campaign                          text,         -- utm_campaign [source.campaign]
    source_keyword                           text,         -- utm_term [source.keyword]
    source_content                           text,         -- utm_content [source.content]
    custom_fields                            jsonb,        -- the account's custom fields by code [customFields]
    created_on                               date,         -- creation day in the store's zone, as sent
    listed_at                                timestamptz,  -- as_of of the read that found it (on that day)
    combined_to                              bigint,       -- id that survived when combined
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);
CREATE INDEX corporate_customers_combined
    ON crm.corporate_customers (store_id, id) WHERE deleted_reason = 'combined';
CREATE INDEX corporate_customers_live_by_day
    ON crm.corporate_customers (store_id, created_on) INCLUDE (listed_at) WHERE deleted_at IS NULL;

-- Tags of corporate customers
CREATE TABLE crm.corporate_customer_tags (
    store_id              bigint,   -- crm.store.store_id
    corporate_customer_id bigint,   -- joins crm.corporate_customers.id
    ordinal               bigint,   -- place in the list as sent, from 1
    name                  text,     -- tag [name]
    color                 text,     -- colour, #rrggbb [color]
    attached              boolean,  -- attached by hand [attached]
    PRIMARY KEY (store_id, corporate_customer_id, ordinal)
);

-- Changes of corporate customers, one entry per changed field; entries never change
CREATE TABLE crm.corporate_customer_history (
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
    customer_id          bigint,       -- joins crm.corporate_customers.id [customer.id]
    customer_external_id text,         -- customer's id in the shop [customer.externalId]
    customer_site        text,         -- customer's site at that time [customer.site]
    customer_nick_name   text,         -- customer's name at that time [customer.nickName]
    address_id           bigint,       -- address the change is about [address.id]
    address_is_main      boolean,      -- whether it is the main one [address.isMain]
    customer_contact_id  bigint,       -- contact the change is about [customerContact.id]
    company_id           bigint,       -- company the change is about [company.id]
    combined_to_id       bigint,       -- the customer this one was combined into [combinedTo.id]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);
CREATE INDEX corporate_customer_history_by_customer_id
    ON crm.corporate_customer_history (store_id, customer_id);

-- Addresses of corporate customers
CREATE TABLE crm.corporate_customer_addresses (
    store_id              bigint,   -- crm.store.store_id
    id                    bigint,   -- RetailCRM's id [id]
    corporate_customer_id bigint,   -- joins crm.corporate_customers.id
    external_id           text,     -- id in the shop [externalId]
    name                  text,     -- name [name]
    is_main               boolean,  -- main address [isMain]
    index                 text,     -- postal code [index]
    country_iso           text,     -- country [countryIso]
    region                text,     -- region [region]
    region_id             bigint,   -- region in the geo base [regionId]
    city                  text,     -- city [city]
    city_id               bigint,   -- city in the geo base [cityId]
    city_type             text,     -- kind of place [cityType]
    street                text,     -- street [street]
    street_id             bigint,   -- street in the geo base [streetId]
    street_type           text,     -- kind of street [streetType]
    building              text,     -- building [building]
    flat                  text,     -- flat [flat]
    floor                 text,     -- floor [floor]
    block                 text,     -- block or entrance [block]
    house                 text,     -- house [house]
    housing               text,     -- housing [housing]
    metro                 text,     -- metro station [metro]
    text                  text,     -- address in one line [text]
    notes                 text,     -- notes to the address [notes]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);
CREATE INDEX corporate_customer_addresses_by_corporate_customer_id
    ON crm.corporate_customer_addresses (store_id, corporate_customer_id);

-- Companies of corporate customers
CREATE TABLE crm.corporate_customer_companies (
    store_id                      bigint,       -- crm.store.store_id
    id                            bigint,       -- RetailCRM's id; orders.company_id refers to it [id]
    corporate_customer_id         bigint,       -- joins crm.corporate_customers.id
    external_id                   text,         -- id in the shop [externalId]
    site                          text,         -- site code; joins crm.sites.code [site]
    name                          text,         -- name [name]
    brand                         text,         -- brand [brand]
    is_main                       boolean,      -- main company [isMain]
    active                        boolean,      -- in use [active]
    created_at                    timestamptz,  -- when it was made [createdAt]
    total_summ                    numeric,      -- sum of orders; changes without a history entry [totalSumm]
    average_summ                  numeric,      -- average order; changes without an entry [averageSumm]
    orders_count                  bigint,       -- orders; changes without an entry [ordersCount]
    margin_summ                   numeric,      -- margin; changes without an entry [marginSumm]
    cost_summ                     numeric,      -- costs; changes without an entry [costSumm]
    contragent_contragent_type    text,         -- kind of person [contragent.contragentType]
    contragent_type               text,         -- kind of person, deprecated spelling [contragent.type]
    contragent_legal_name         text,         -- legal name [contragent.legalName]
    contragent_legal_address      text,         -- legal address [contragent.legalAddress]
    contragent_inn                text,         -- tax number (INN) [contragent.INN]
    contragent_okpo               text,         -- OKPO [contragent.OKPO]
    contragent_kpp                text,         -- KPP [contragent.KPP]
    contragent_ogrn               text,         -- OGRN [contragent.OGRN]
    contragent_ogrnip             text,         -- OGRNIP [contragent.OGRNIP]
    contragent_certificate_number text,         -- certificate [contragent.certificateNumber]
    contragent_certificate_date   date,         -- its date [contragent.certificateDate]
    contragent_bik                text,         -- bank's BIK [contragent.BIK]
    contragent_bank               text,         -- bank [contragent.bank]
    contragent_bank_address       text,         -- bank's address [contragent.bankAddress]
    contragent_corr_account       text,         -- correspondent account [contragent.corrAccount]
    contragent_bank_account       text,         -- account [contragent.bankAccount]
    address_id                    bigint,       -- address id [address.id]
    address_external_id           text,         -- address's id in the shop [address.externalId]
    address_name                  text,         -- address's name [address.name]
    address_is_main               boolean,      -- main address [address.isMain]
    address_index                 text,         -- postal code [address.index]
    address_country_iso           text,         -- country [address.countryIso]
    address_region                text,         -- region [address.region]
    address_region_id             bigint,       -- region in the geo base [address.regionId]
    address_city                  text,         -- city [address.city]
    address_city_id               bigint,       -- city in the geo base [address.cityId]
    address_city_type             text,         -- kind of place [address.cityType]
    address_street                text,         -- street [address.street]
    address_street_id             bigint,       -- street in the geo base [address.streetId]
    address_street_type           text,         -- kind of street [address.streetType]
    address_building              text,         -- building [address.building]
    address_flat                  text,         -- flat [address.flat]
    address_floor                 text,         -- floor [address.floor]
    address_block                 text,         -- block or entrance [address.block]
    address_house                 text,         -- house [address.house]
    address_housing               text,         -- housing [address.housing]
    address_metro                 text,         -- metro station [address.metro]
    address_text                  text,         -- address in one line [address.text]
    address_notes                 text,         -- notes to the address [address.notes]
    custom_fields                 jsonb,        -- the account's custom fields by code [customFields]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);
CREATE INDEX corporate_customer_companies_by_corporate_customer_id
    ON crm.corporate_customer_companies (store_id, corporate_customer_id);

-- Contacts of corporate customers
CREATE TABLE crm.corporate_customer_contacts (
    store_id              bigint,   -- crm.store.store_id
    id                    bigint,   -- RetailCRM's id of the relation [id]
    corporate_customer_id bigint,   -- joins crm.corporate_customers.id
    is_main               boolean,  -- main contact [isMain]
    customer_id           bigint,   -- the person; joins crm.customers.id [customer.id]
    customer_external_id  text,     -- person's id in the shop [customer.externalId]
    customer_browser_id   text,     -- person's web collector id [customer.browserId]
    customer_site         text,     -- person's site [customer.site]
    customer_companies    jsonb,    -- companies in the person's copy, as sent [customer.companies]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);
CREATE INDEX corporate_customer_contacts_by_corporate_customer_id
    ON crm.corporate_customer_contacts (store_id, corporate_customer_id);

-- Companies a contact works for
CREATE TABLE crm.corporate_customer_contact_companies (
    store_id                      bigint,  -- crm.store.store_id
    corporate_customer_contact_id bigint,  -- joins crm.corporate_customer_contacts.id
    id                            bigint,  -- RetailCRM's id of the relation [id]
    external_id                   text,    -- id in the shop [externalId]
    company_id                    bigint,  -- joins crm.corporate_customer_companies.id [company.id]
    company_external_id           text,    -- company's id in the shop [company.externalId]
    company_name                  text,    -- company's name [company.name]
    PRIMARY KEY (store_id, corporate_customer_contact_id, id)
);

-- Notes on corporate customers
CREATE TABLE crm.corporate_customer_notes (
    store_id             bigint,       -- crm.store.store_id
    id                   bigint,       -- RetailCRM's id [id]
    text                 text,         -- text, HTML as entered [text]
    created_at           timestamptz,  -- when it was written [createdAt]
    manager_id           bigint,       -- user who wrote it [managerId]
    customer_id          bigint,       -- joins crm.corporate_customers.id [customer.id]
    customer_type        text,         -- customer or customer_corporate [customer.type]
    customer_site        text,         -- customer's site [customer.site]
    customer_external_id text,         -- customer's id in the shop [customer.externalId]
    created_on           date,         -- creation day in the store's zone, as sent
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);
CREATE INDEX corporate_customer_notes_live_by_day
    ON crm.corporate_customer_notes (store_id, created_on) WHERE deleted_at IS NULL;
