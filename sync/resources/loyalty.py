"""Loyalty programmes, accounts and their bonuses.

Changes of accounts are not reported, and amounts change with orders and with time, so all accounts
are read again four times a day. Programmes are few and read hourly. Operations never change; they
are read every five minutes from the last cursor. They have no id, so they get a surrogate key, with
a count for equal ones. The method for one account's operations returns the same records and is not
used. Bonuses that wait or expire soon have a method per account: optional, once a day.
"""

from sync.declare import (
    BOOLEAN,
    CODE,
    DATE,
    DATETIME,
    ID,
    MAP,
    MONEY,
    NUMBER,
    TEXT,
    Child,
    CursorPages,
    DateWindows,
    Field,
    FullRefresh,
    PageNumbers,
    Parent,
    Resource,
    SurrogateKey,
)

LOYALTIES = Resource(
    name="loyalties",
    singular="loyalty",
    path="/api/v5/loyalty/loyalties",
    answer_key="loyalties",
    listing=PageNumbers(),
    changes=FullRefresh(every_seconds=3600),
    single="/api/v5/loyalty/loyalties/{id}",
    single_key="loyalty",
    note="Loyalty programmes",
    fields=(
        Field("id", ID, "id", "RetailCRM's id"),
        Field("name", TEXT, "name", "name"),
        Field("active", BOOLEAN, "active", "in use"),
        Field("blocked", BOOLEAN, "blocked", "blocked"),
        Field("currency", CODE, "currency", "ISO 4217 currency"),
        Field(
            "confirm_sms_charge", BOOLEAN, "confirmSmsCharge", "charging is confirmed by a message"
        ),
        Field(
            "confirm_sms_registration",
            BOOLEAN,
            "confirmSmsRegistration",
            "joining is confirmed by a message",
        ),
        Field("created_at", DATETIME, "createdAt", "when it was made"),
        Field("activated_at", DATETIME, "activatedAt", "when it was activated"),
        Field("deactivated_at", DATETIME, "deactivatedAt", "when it was deactivated"),
        Field("blocked_at", DATETIME, "blockedAt", "when it was blocked"),
    ),
    children=(
        Child(
            name="loyalty_levels",
            path="levels",
            key="id",
            note="Levels of loyalty programmes",
            fields=(
                Field("id", ID, "id", "RetailCRM's id"),
                Field("name", TEXT, "name", "name"),
                Field("type", CODE, "type", "kind of privilege"),
                Field("sum", MONEY, "sum", "sum of orders it begins at"),
                Field(
                    "privilege_size", NUMBER, "privilegeSize", "privilege: % or bonuses, by type"
                ),
                Field(
                    "privilege_size_promo",
                    NUMBER,
                    "privilegeSizePromo",
                    "the same for promotional goods",
                ),
            ),
        ),
    ),
)

LOYALTY_ACCOUNTS = Resource(
    name="loyalty_accounts",
    singular="loyalty_account",
    path="/api/v5/loyalty/accounts",
    answer_key="loyaltyAccounts",
    listing=DateWindows("createdAtFrom", "createdAtTo"),
    changes=FullRefresh(every_seconds=21_600),
    single="/api/v5/loyalty/account/{id}",
    single_key="loyaltyAccount",
    note="Accounts of customers in loyalty programmes",
    fields=(
        Field("id", ID, "id", "RetailCRM's id"),
        Field("active", BOOLEAN, "active", "in use"),
        Field("status", CODE, "status", "state of the account"),
        Field("amount", MONEY, "amount", "bonuses on it; changes without a history entry"),
        Field("orders_sum", MONEY, "ordersSum", "sum of orders; changes without an entry"),
        Field("next_level_sum", MONEY, "nextLevelSum", "sum of orders the next level begins at"),
        Field("phone_number", TEXT, "phoneNumber", "phone as entered"),
        Field("card_number", TEXT, "cardNumber", "card"),
        Field("last_check_id", TEXT, "lastCheckId", "last confirmation by message"),
        Field("created_at", DATETIME, "createdAt", "when it was made"),
        Field("activated_at", DATETIME, "activatedAt", "when it was activated"),
        Field("confirmed_phone_at", DATETIME, "confirmedPhoneAt", "when the phone was confirmed"),
        Field("loyalty_id", ID, "loyalty.id", "joins crm.loyalties.id"),
        Field("loyalty_name", TEXT, "loyalty.name", "programme's name"),
        Field("loyalty_level_id", ID, "loyaltyLevelId", "joins crm.loyalty_levels.id"),
        Field("level_id", ID, "level.id", "joins crm.loyalty_levels.id"),
        Field("level_name", TEXT, "level.name", "level's name"),
        Field("level_type", CODE, "level.type", "level's kind of privilege"),
        Field("level_sum", MONEY, "level.sum", "sum of orders the level begins at"),
        Field("level_privilege_size", NUMBER, "level.privilegeSize", "level's privilege"),
        Field(
            "level_privilege_size_promo",
            NUMBER,
            "level.privilegeSizePromo",
            "level's privilege for promotional goods",
        ),
        Field("customer_id", ID, "customer.id", "joins crm.customers.id"),
        Field("customer_type", CODE, "customer.type", "customer or customer_corporate"),
        Field("customer_site", CODE, "customer.site", "customer's site"),
        Field("customer_external_id", TEXT, "customer.externalId", "customer's id in the shop"),
        Field("customer_first_name", TEXT, "customer.firstName", "customer's first name"),
        Field("customer_last_name", TEXT, "customer.lastName", "customer's last name"),
        Field("customer_patronymic", TEXT, "customer.patronymic", "customer's patronymic"),
        Field("custom_fields", MAP, "customFields", "the account's custom fields by code"),
    ),
    raw_only=(
        ("loyalty", "a copy of the programme"),
        ("customer", "a copy of the customer"),
        ("orderSum", "another spelling of ordersSum"),
    ),
)

BONUS_OPERATIONS = Resource(
    name="bonus_operations",
    singular="bonus_operation",
    path="/api/v5/loyalty/bonus/operations",
    answer_key="bonusOperations",
    listing=CursorPages(),
    changes=FullRefresh(every_seconds=300),
    made=SurrogateKey(
        (
            "loyalty_account_id",
            "created_at",
            "type",
            "amount",
            "loyalty_id",
            "order_id",
            "event_id",
            "event_type",
        ),
        repeats=True,
    ),
    note="Bonuses credited and charged; operations never change",
    fields=(
        Field("id", CODE, "", "a hash of what tells it from others, and a count"),
        Field("type", CODE, "type", "kind of operation"),
        Field("created_at", DATETIME, "createdAt", "when it was made"),
        Field("amount", MONEY, "amount", "bonuses, negative where charged"),
        Field("loyalty_account_id", ID, "loyaltyAccount.id", "joins crm.loyalty_accounts.id"),
        Field("loyalty_id", ID, "loyalty.id", "joins crm.loyalties.id"),
        Field("order_id", ID, "order.id", "joins crm.orders.id"),
        Field("order_external_id", TEXT, "order.externalId", "order's id in the shop"),
        Field(
            "bonus_activation_date", DATE, "bonus.activationDate", "when the bonuses become usable"
        ),
        Field("event_id", ID, "event.id", "loyalty event"),
        Field("event_type", CODE, "event.type", "loyalty event's kind"),
    ),
)

BONUSES_WAITING_ACTIVATION = Resource(
    name="bonuses_waiting_activation",
    singular="bonus",
    path="/api/v5/loyalty/account/{id}/bonus/waiting_activation/details",
    answer_key="bonuses",
    listing=PageNumbers(),
    changes=FullRefresh(every_seconds=86_400),
    made=SurrogateKey(("loyalty_account_id", "date", "amount"), repeats=True),
    parent=Parent("loyalty_accounts", "loyalty_account_id"),
    optional=True,
    note="Bonuses that wait to become usable",
    fields=(
        Field("id", CODE, "", "a hash of what is below, and a count"),
        Field("loyalty_account_id", ID, "", "joins crm.loyalty_accounts.id"),
        Field("date", DATE, "date", "when they become usable"),
        Field("amount", MONEY, "amount", "bonuses"),
    ),
)

BONUSES_BURN_SOON = Resource(
    name="bonuses_burn_soon",
    singular="bonus",
    path="/api/v5/loyalty/account/{id}/bonus/burn_soon/details",
    answer_key="bonuses",
    listing=PageNumbers(),
    changes=FullRefresh(every_seconds=86_400),
    made=SurrogateKey(("loyalty_account_id", "date", "amount"), repeats=True),
    parent=Parent("loyalty_accounts", "loyalty_account_id"),
    optional=True,
    note="Bonuses that are about to expire",
    fields=(
        Field("id", CODE, "", "a hash of what is below, and a count"),
        Field("loyalty_account_id", ID, "", "joins crm.loyalty_accounts.id"),
        Field("date", DATE, "date", "when they expire"),
        Field("amount", MONEY, "amount", "bonuses"),
    ),
)
