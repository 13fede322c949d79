-- What the account says of itself: its settings, sites, users, custom fields and message channels.

-- What the mirror's API key may see; one row per store
CREATE TABLE crm.credentials (
    store_id        bigint,   -- crm.store.store_id
    site_access     text,     -- access_full or access_selective [siteAccess]
    sites_available jsonb,    -- site codes a selective key sees [sitesAvailable]
    scopes          jsonb,    -- the key's scopes [scopes]
    credentials     jsonb,    -- deprecated: method paths [credentials]
    success         boolean,  -- the API's own mark of a good answer [success]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id)
);

-- The account's settings; one row per store
CREATE TABLE crm.settings (
    store_id                               bigint,       -- crm.store.store_id
    default_currency_value                 text,         -- ISO 4217 currency [default_currency.value]
    default_currency_updated_at            timestamptz,  -- when the currency was set [default_currency.updated_at]
    system_language_value                  text,         -- language of the account [system_language.value]
    system_language_updated_at             timestamptz,  -- when the language was set [system_language.updated_at]
    timezone_value                         text,         -- IANA zone of all its local times [timezone.value]
    timezone_updated_at                    timestamptz,  -- when the zone was set [timezone.updated_at]
    mg_order_creation_default_site         text,         -- site of orders made from chats [mg.order_creation.default.site]
    mg_order_creation_default_order_type   text,         -- order type of orders made from chats [mg.order_creation.default.order_type]
    mg_order_creation_default_order_method text,         -- order method of orders made from chats [mg.order_creation.default.order_method]
    mg_order_creation_channels             jsonb,        -- the same by channel, as sent [mg.order_creation.channels]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id)
);

-- Working hours by day of the week, store-local
CREATE TABLE crm.setting_work_times (
    store_id         bigint,  -- crm.store.store_id
    ordinal          bigint,  -- place in the list as sent, from 1
    day_type         text,    -- day of the week in English [day_type]
    start_time       text,    -- from, H:i [start_time]
    end_time         text,    -- to, H:i [end_time]
    lunch_start_time text,    -- lunch from, H:i [lunch_start_time]
    lunch_end_time   text,    -- lunch to, H:i [lunch_end_time]
    PRIMARY KEY (store_id, ordinal)
);

-- Holidays, as month and day
CREATE TABLE crm.setting_non_working_days (
    store_id   bigint,  -- crm.store.store_id
    ordinal    bigint,  -- place in the list as sent, from 1
    start_date text,    -- first day, as sent (m.d) [start_date]
    end_date   text,    -- last day, as sent (m.d) [end_date]
    PRIMARY KEY (store_id, ordinal)
);

-- Sites (shops) of the account
CREATE TABLE crm.sites (
    store_id                      bigint,       -- crm.store.store_id
    code                          text,         -- code other tables refer to [code]
    id                            bigint,       -- RetailCRM's id [id]
    name                          text,         -- name [name]
    url                           text,         -- address [url]
    description                   text,         -- description [description]
    phones                        text,         -- phones as entered [phones]
    address                       text,         -- postal address [address]
    zip                           text,         -- postal code [zip]
    default_for_crm               boolean,      -- default in the CRM [defaultForCrm]
    yml_url                       text,         -- catalogue's address [ymlUrl]
    load_from_yml                 boolean,      -- catalogue is loaded from there [loadFromYml]
    catalog_updated_at            timestamptz,  -- catalogue's own time [catalogUpdatedAt]
    catalog_loading_at            timestamptz,  -- when it was last loaded [catalogLoadingAt]
    catalog_id                    text,         -- catalogue [catalogId]
    is_catalog_main_site          boolean,      -- main site of the catalogue [isCatalogMainSite]
    is_demo                       boolean,      -- a demonstration site [isDemo]
    used_in_simlaweb              boolean,      -- used by Simla's site builder [usedInSimlaweb]
    ordering                      bigint,       -- place in lists [ordering]
    country_iso                   text,         -- country [countryIso]
    currency                      text,         -- ISO 4217 currency [currency]
    sender_email                  text,         -- sender of mails [senderEmail]
    sender_name                   text,         -- sender's name [senderName]
    contragent_code               text,         -- legal entity's code, as sent beside it [contragentCode]
    contragent_contragent_type    text,         -- kind of person [contragent.contragentType]
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
    contragent_entity_code        text,         -- joins crm.legal_entities.code [contragent.code]
    contragent_country_iso        text,         -- its country [contragent.countryIso]
    contragent_vat_rate           text,         -- its VAT rate [contragent.vatRate]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, code)
);

-- Legal entities of the account
CREATE TABLE crm.legal_entities (
    store_id           bigint,  -- crm.store.store_id
    code               text,    -- code [code]
    contragent_type    text,    -- kind of person [contragentType]
    legal_name         text,    -- legal name [legalName]
    legal_address      text,    -- legal address [legalAddress]
    inn                text,    -- tax number (INN) [INN]
    okpo               text,    -- OKPO [OKPO]
    kpp                text,    -- KPP [KPP]
    ogrn               text,    -- OGRN [OGRN]
    ogrnip             text,    -- OGRNIP [OGRNIP]
    certificate_number text,    -- certificate [certificateNumber]
    certificate_date   date,    -- its date [certificateDate]
    bik                text,    -- bank's BIK [BIK]
    bank               text,    -- bank [bank]
    bank_address       text,    -- bank's address [bankAddress]
    corr_account       text,    -- correspondent account [corrAccount]
    bank_account       text,    -- account [bankAccount]
    country_iso        text,    -- country [countryIso]
    vat_rate           text,    -- VAT rate: a number or none [vatRate]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, code)
);

-- Countries in use
CREATE TABLE crm.countries (
    store_id bigint,  -- crm.store.store_id
    code     text,    -- ISO 3166-1 alpha-2 code
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, code)
);

-- Currencies of the account
CREATE TABLE crm.currencies (
    store_id                   bigint,   -- crm.store.store_id
    id                         bigint,   -- RetailCRM's id [id]
    code                       text,     -- ISO 4217 code [code]
    is_base                    boolean,  -- the account's base currency [isBase]
    is_auto_convert            boolean,  -- the rate is taken from a bank [isAutoConvert]
    auto_convert_extra_percent numeric,  -- added to the bank's rate, % [autoConvertExtraPercent]
    manual_convert_nominal     numeric,  -- units the manual rate is for [manualConvertNominal]
    manual_convert_value       numeric,  -- manual rate, in base currency [manualConvertValue]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);

-- Units of measure
CREATE TABLE crm.units (
    store_id  bigint,   -- crm.store.store_id
    code      text,     -- code offers refer to [code]
    name      text,     -- name [name]
    sym       text,     -- sign [sym]
    "default" boolean,  -- the default unit [default]
    active    boolean,  -- in use [active]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, code)
);

-- Users of the account
CREATE TABLE crm.users (
    store_id     bigint,       -- crm.store.store_id
    id           bigint,       -- RetailCRM's id; manager_id of other tables [id]
    created_at   timestamptz,  -- when the user was made [createdAt]
    active       boolean,      -- may sign in [active]
    email        text,         -- e-mail [email]
    first_name   text,         -- first name [firstName]
    last_name    text,         -- last name [lastName]
    patronymic   text,         -- patronymic [patronymic]
    "position"   text,         -- position [position]
    photo_url    text,         -- photo [photoUrl]
    phone        text,         -- phone as entered [phone]
    status       text,         -- what the user is doing [status]
    online       boolean,      -- signed in when it was read [online]
    is_admin     boolean,      -- administrator [isAdmin]
    is_manager   boolean,      -- manager [isManager]
    mg_user_id   bigint,       -- id in the message gateway [mgUserId]
    sender_email text,         -- sender of mails [senderEmail]
    sender_name  text,         -- sender's name [senderName]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);

-- Which user is in which group
CREATE TABLE crm.user_group_users (
    store_id                bigint,   -- crm.store.store_id
    user_id                 bigint,   -- joins crm.users.id
    id                      bigint,   -- joins crm.user_groups.id [id]
    code                    text,     -- group's code [code]
    name                    text,     -- group's name [name]
    is_manager              boolean,  -- group of managers [isManager]
    is_pos_manager          boolean,  -- group of point of sale managers [isPosManager]
    is_delivery_men         boolean,  -- group of couriers [isDeliveryMen]
    signature_template      text,     -- signature of mails [signatureTemplate]
    delivery_types          jsonb,    -- group's delivery types as sent [deliveryTypes]
    breakdown_order_types   jsonb,    -- group's order types for reports as sent [breakdownOrderTypes]
    breakdown_sites         jsonb,    -- group's sites for reports as sent [breakdownSites]
    breakdown_order_methods jsonb,    -- group's order methods for reports as sent [breakdownOrderMethods]
    granted_order_types     jsonb,    -- group's order types as sent [grantedOrderTypes]
    granted_sites           jsonb,    -- group's sites as sent [grantedSites]
    PRIMARY KEY (store_id, user_id, id)
);

-- Groups of users
CREATE TABLE crm.user_groups (
    store_id                bigint,   -- crm.store.store_id
    id                      bigint,   -- RetailCRM's id [id]
    code                    text,     -- code [code]
    name                    text,     -- name [name]
    is_manager              boolean,  -- group of managers [isManager]
    is_pos_manager          boolean,  -- group of point of sale managers [isPosManager]
    is_delivery_men         boolean,  -- group of couriers [isDeliveryMen]
    signature_template      text,     -- signature of mails [signatureTemplate]
    delivery_types          jsonb,    -- delivery type codes as sent [deliveryTypes]
    breakdown_order_types   jsonb,    -- order types its reports are broken down by [breakdownOrderTypes]
    breakdown_sites         jsonb,    -- sites its reports are broken down by [breakdownSites]
    breakdown_order_methods jsonb,    -- order methods its reports are broken down by [breakdownOrderMethods]
    granted_order_types     jsonb,    -- order types it may see [grantedOrderTypes]
    granted_sites           jsonb,    -- sites it may see [grantedSites]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);

-- Segments of customers; crm.customer_segments says who is in them
CREATE TABLE crm.segments (
    store_id        bigint,       -- crm.store.store_id
    id              bigint,       -- RetailCRM's id [id]
    code            text,         -- code [code]
    name            text,         -- name [name]
    created_at      timestamptz,  -- when it was made [createdAt]
    is_dynamic      boolean,      -- filled by a rule [isDynamic]
    customers_count bigint,       -- members [customersCount]
    active          boolean,      -- in use [active]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);

-- The account's own fields
CREATE TABLE crm.custom_fields (
    store_id         bigint,   -- crm.store.store_id
    id               text,     -- entity/code
    entity           text,     -- order, customer, customer_corporate, company or loyalty_account [entity]
    code             text,     -- key in the custom_fields columns [code]
    name             text,     -- name [name]
    type             text,     -- kind of values [type]
    required         boolean,  -- must be filled in [required]
    in_filter        boolean,  -- can be filtered by [inFilter]
    in_list          boolean,  -- shown in lists [inList]
    in_group_actions boolean,  -- can be set for many at once [inGroupActions]
    "default"        jsonb,    -- default value, deprecated [default]
    default_typed    jsonb,    -- default value [defaultTyped]
    ordering         bigint,   -- place in forms [ordering]
    display_area     text,     -- part of the form [displayArea]
    view_mode        text,     -- how it is shown in forms [viewMode]
    view_mode_mobile text,     -- the same in the mobile app [viewModeMobile]
    dictionary       text,     -- joins crm.custom_dictionaries.code [dictionary]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);

-- Dictionaries of custom fields
CREATE TABLE crm.custom_dictionaries (
    store_id bigint,  -- crm.store.store_id
    code     text,    -- code custom fields refer to [code]
    name     text,    -- name [name]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, code)
);

-- Values of dictionaries
CREATE TABLE crm.custom_dictionary_elements (
    store_id               bigint,  -- crm.store.store_id
    custom_dictionary_code text,    -- joins crm.custom_dictionaries.code
    code                   text,    -- what records hold [code]
    name                   text,    -- name [name]
    ordering               bigint,  -- place in lists [ordering]
    PRIMARY KEY (store_id, custom_dictionary_code, code)
);

-- Channels of the message gateway
CREATE TABLE crm.mg_channels (
    store_id              bigint,   -- crm.store.store_id
    id                    bigint,   -- RetailCRM's id [id]
    external_id           bigint,   -- id in the message gateway [externalId]
    type                  text,     -- kind of channel [type]
    active                boolean,  -- in use [active]
    name                  text,     -- name [name]
    allowed_send_by_phone boolean,  -- can write to a phone number first [allowedSendByPhone]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);

-- Templates of messages
CREATE TABLE crm.mg_templates (
    store_id            bigint,   -- crm.store.store_id
    id                  bigint,   -- RetailCRM's id [id]
    mg_channel_id       bigint,   -- joins crm.mg_channels.id [mgChannelId]
    external_id         bigint,   -- id in the message gateway [externalId]
    code                text,     -- code [code]
    name                text,     -- name [name]
    active              boolean,  -- in use [active]
    namespace           text,     -- namespace at the messenger [namespace]
    lang                text,     -- language [lang]
    category            text,     -- category [category]
    verification_status text,     -- state of the messenger's approval [verificationStatus]
    template            jsonb,    -- text and variables as sent [template]
    template_example    jsonb,    -- example values as sent [templateExample]
    header              jsonb,    -- header as sent [header]
    footer              text,     -- footer [footer]
    buttons             jsonb,    -- buttons as sent [buttons]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);
CREATE INDEX mg_templates_by_mg_channel_id ON crm.mg_templates (store_id, mg_channel_id);
