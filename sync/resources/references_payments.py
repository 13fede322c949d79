"""Dictionaries of payments and prices. Read whole every hour, like all dictionaries."""

from sync.declare import (
    BOOLEAN,
    CODE,
    ID,
    INTEGER,
    TEXT,
    Child,
    Field,
    FullRefresh,
    Resource,
    Shape,
    SinglePage,
)

HOURLY = FullRefresh(every_seconds=3600)

PAYMENT_TYPES = Resource(
    name="payment_types",
    singular="payment_type",
    path="/api/v5/reference/payment-types",
    answer_key="paymentTypes",
    listing=SinglePage(),
    changes=HOURLY,
    shape=Shape.MAP,
    key="code",
    scope="reference_read",
    note="Types of payments",
    fields=(
        Field("code", CODE, "code", "code payments refer to"),
        Field("name", TEXT, "name", "name"),
        Field("active", BOOLEAN, "active", "in use"),
        Field("default_for_crm", BOOLEAN, "defaultForCrm", "default in the CRM"),
        Field("default_for_api", BOOLEAN, "defaultForApi", "default for the API"),
        Field("description", TEXT, "description", "description"),
        Field(
            "integration_module_code",
            CODE,
            "integrationModule.code",
            "integration module it is paid through",
        ),
        Field(
            "integration_module_integration_code",
            CODE,
            "integrationModule.integrationCode",
            "module's kind",
        ),
        Field("integration_module_active", BOOLEAN, "integrationModule.active", "module in use"),
        Field("integration_module_name", TEXT, "integrationModule.name", "module's name"),
    ),
    raw_only=(
        ("integrationModule", "a copy of the module"),
        ("PaymentStatuses", "another spelling of paymentStatuses"),
    ),
    children=(
        Child(
            name="payment_type_delivery_types",
            path="deliveryTypes",
            note="Delivery types a payment type goes with",
            fields=(Field("delivery_type_code", CODE, "", "joins crm.delivery_types.code"),),
        ),
        Child(
            name="payment_type_payment_statuses",
            path="paymentStatuses",
            note="Statuses payments of a type may have",
            fields=(Field("payment_status_code", CODE, "", "joins crm.payment_statuses.code"),),
        ),
        Child(
            name="payment_type_sites",
            path="sites",
            note="Sites a payment type is for; none means all",
            fields=(Field("site_code", CODE, "", "joins crm.sites.code"),),
        ),
    ),
)

PAYMENT_STATUSES = Resource(
    name="payment_statuses",
    singular="payment_status",
    path="/api/v5/reference/payment-statuses",
    answer_key="paymentStatuses",
    listing=SinglePage(),
    changes=HOURLY,
    shape=Shape.MAP,
    key="code",
    scope="reference_read",
    note="Statuses of payments",
    fields=(
        Field("code", CODE, "code", "code payments refer to"),
        Field("name", TEXT, "name", "name"),
        Field("active", BOOLEAN, "active", "in use"),
        Field("ordering", INTEGER, "ordering", "place in lists"),
        Field("default_for_crm", BOOLEAN, "defaultForCrm", "default in the CRM"),
        Field("default_for_api", BOOLEAN, "defaultForApi", "default for the API"),
        Field("payment_complete", BOOLEAN, "paymentComplete", "the payment is made"),
        Field("description", TEXT, "description", "description"),
    ),
    children=(
        Child(
            name="payment_status_payment_types",
            path="paymentTypes",
            note="Payment types a status is for",
            fields=(Field("payment_type_code", CODE, "", "joins crm.payment_types.code"),),
        ),
    ),
)

PRICE_TYPES = Resource(
    name="price_types",
    singular="price_type",
    path="/api/v5/reference/price-types",
    answer_key="priceTypes",
    listing=SinglePage(),
    changes=HOURLY,
    key="code",
    scope="reference_read",
    note="Types of prices",
    fields=(
        Field("code", CODE, "code", "code prices refer to"),
        Field("id", ID, "id", "RetailCRM's id"),
        Field("name", TEXT, "name", "name"),
        Field("active", BOOLEAN, "active", "in use"),
        Field("default", BOOLEAN, "default", "the base price"),
        Field("description", TEXT, "description", "description"),
        Field("filter_expression", TEXT, "filterExpression", "condition under which it applies"),
        Field("currency", CODE, "currency", "ISO 4217 currency"),
        Field("ordering", INTEGER, "ordering", "place in lists"),
        Field("promo", BOOLEAN, "promo", "a promotional price"),
    ),
    children=(
        Child(
            name="price_type_geo",
            path="geo",
            note="Places a price type is for",
            fields=(
                Field("country", CODE, "country", "country"),
                Field("region_id", ID, "regionId", "region in the geo base"),
                Field("region", TEXT, "region", "region"),
                Field("city_id", ID, "cityId", "city in the geo base"),
                Field("city", TEXT, "city", "city"),
            ),
        ),
        Child(
            name="price_type_groups",
            path="groups",
            note="User or customer groups a price type is for",
            fields=(Field("group_code", CODE, "", "group, as sent"),),
        ),
    ),
)
