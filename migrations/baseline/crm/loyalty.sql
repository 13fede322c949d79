-- Loyalty programmes, accounts and their bonuses.

-- Loyalty programmes
CREATE TABLE crm.loyalties (
    store_id                 bigint,       -- crm.store.store_id
    id                       bigint,       -- RetailCRM's id [id]
    name                     text,         -- name [name]
    active                   boolean,      -- in use [active]
    blocked                  boolean,      -- blocked [blocked]
    currency                 text,         -- ISO 4217 currency [currency]
    confirm_sms_charge       boolean,      -- charging is confirmed by a message [confirmSmsCharge]
    confirm_sms_registration boolean,      -- joining is confirmed by a message [confirmSmsRegistration]
    created_at               timestamptz,  -- when it was made [createdAt]
    activated_at             timestamptz,  -- when it was activated [activatedAt]
    deactivated_at           timestamptz,  -- when it was deactivated [deactivatedAt]
    blocked_at               timestamptz,  -- when it was blocked [blockedAt]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);

-- Levels of loyalty programmes
CREATE TABLE crm.loyalty_levels (
    store_id             bigint,   -- crm.store.store_id
    loyalty_id           bigint,   -- joins crm.loyalties.id
    id                   bigint,   -- RetailCRM's id [id]
    name                 text,     -- name [name]
    type                 text,     -- kind of privilege [type]
    sum                  numeric,  -- sum of orders it begins at [sum]
    privilege_size       numeric,  -- privilege: % or bonuses, by type [privilegeSize]
    privilege_size_promo numeric,  -- the same for promotional goods [privilegeSizePromo]
    PRIMARY KEY (store_id, loyalty_id, id)
);

-- Accounts of customers in loyalty programmes
CREATE TABLE crm.loyalty_accounts (
    store_id                   bigint,       -- crm.store.store_id
    id                         bigint,       -- RetailCRM's id [id]
    active                     boolean,      -- in use [active]
    status                     text,         -- state of the account [status]
    amount                     numeric,      -- bonuses on it; changes without a history entry [amount]
    orders_sum                 numeric,      -- sum of orders; changes without an entry [ordersSum]
    next_level_sum             numeric,      -- sum of orders the next level begins at [nextLevelSum]
    phone_number               text,         -- phone as entered [phoneNumber]
    card_number                text,         -- card [cardNumber]
    last_check_id              text,         -- last confirmation by message [lastCheckId]
    created_at                 timestamptz,  -- when it was made [createdAt]
    activated_at               timestamptz,  -- when it was activated [activatedAt]
    confirmed_phone_at         timestamptz,  -- when the phone was confirmed [confirmedPhoneAt]
    loyalty_id                 bigint,       -- joins crm.loyalties.id [loyalty.id]
    loyalty_name               text,         -- programme's name [loyalty.name]
    loyalty_level_id           bigint,       -- joins crm.loyalty_levels.id [loyaltyLevelId]
    level_id                   bigint,       -- joins crm.loyalty_levels.id [level.id]
    level_name                 text,         -- level's name [level.name]
    level_type                 text,         -- level's kind of privilege [level.type]
    level_sum                  numeric,      -- sum of orders the level begins at [level.sum]
    level_privilege_size       numeric,      -- level's privilege [level.privilegeSize]
    level_privilege_size_promo numeric,      -- level's privilege for promotional goods [level.privilegeSizePromo]
    customer_id                bigint,       -- joins crm.customers.id [customer.id]
    customer_type              text,         -- customer or customer_corporate [customer.type]
    customer_site              text,         -- customer's site [customer.site]
    customer_external_id       text,         -- customer's id in the shop [customer.externalId]
    customer_first_name        text,         -- customer's first name [customer.firstName]
    customer_last_name         text,         -- customer's last name [customer.lastName]
    customer_patronymic        text,         -- customer's patronymic [customer.patronymic]
    custom_fields              jsonb,        -- the account's custom fields by code [customFields]
    created_on                 date,         -- creation day in the store's zone, as sent
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);
CREATE INDEX loyalty_accounts_live_by_day
    ON crm.loyalty_accounts (store_id, created_on) WHERE deleted_at IS NULL;

-- Bonuses credited and charged; operations never change
CREATE TABLE crm.bonus_operations (
    store_id              bigint,       -- crm.store.store_id
    id                    text,         -- a hash of what tells it from others, and a count
    type                  text,         -- kind of operation [type]
    created_at            timestamptz,  -- when it was made [createdAt]
    amount                numeric,      -- bonuses, negative where charged [amount]
    loyalty_account_id    bigint,       -- joins crm.loyalty_accounts.id [loyaltyAccount.id]
    loyalty_id            bigint,       -- joins crm.loyalties.id [loyalty.id]
    order_id              bigint,       -- joins crm.orders.id [order.id]
    order_external_id     text,         -- order's id in the shop [order.externalId]
    bonus_activation_date date,         -- when the bonuses become usable [bonus.activationDate]
    event_id              bigint,       -- loyalty event [event.id]
    event_type            text,         -- loyalty event's kind [event.type]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);

-- Bonuses that wait to become usable
CREATE TABLE crm.bonuses_waiting_activation (
    store_id           bigint,   -- crm.store.store_id
    id                 text,     -- a hash of what is below, and a count
    loyalty_account_id bigint,   -- joins crm.loyalty_accounts.id
    date               date,     -- when they become usable [date]
    amount             numeric,  -- bonuses [amount]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);
CREATE INDEX bonuses_waiting_activation_by_loyalty_account_id
    ON crm.bonuses_waiting_activation (store_id, loyalty_account_id);

-- Bonuses that are about to expire
CREATE TABLE crm.bonuses_burn_soon (
    store_id           bigint,   -- crm.store.store_id
    id                 text,     -- a hash of what is below, and a count
    loyalty_account_id bigint,   -- joins crm.loyalty_accounts.id
    date               date,     -- when they expire [date]
    amount             numeric,  -- bonuses [amount]
    LIKE bookkeeping INCLUDING COMMENTS,
    PRIMARY KEY (store_id, id)
);
CREATE INDEX bonuses_burn_soon_by_loyalty_account_id
    ON crm.bonuses_burn_soon (store_id, loyalty_account_id);
