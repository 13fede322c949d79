"""The account's settings, and the access of the API key."""

from sync.declare import (
    BOOLEAN,
    CODE,
    DATETIME,
    JSON,
    MAP,
    TEXT,
    Child,
    Field,
    FullRefresh,
    OnComplete,
    Resource,
    Shape,
    SinglePage,
)

SETTINGS = Resource(
    name="settings",
    singular="settings",
    path="/api/v5/settings",
    answer_key="settings",
    listing=SinglePage(),
    changes=FullRefresh(every_seconds=3600),
    after=OnComplete.ZONE,
    shape=Shape.SINGLE,
    key="",
    note="The account's settings; one row per store",
    fields=(
        Field("default_currency_value", CODE, "default_currency.value", "ISO 4217 currency"),
        Field(
            "default_currency_updated_at",
            DATETIME,
            "default_currency.updated_at",
            "when the currency was set",
        ),
        Field("system_language_value", CODE, "system_language.value", "language of the account"),
        Field(
            "system_language_updated_at",
            DATETIME,
            "system_language.updated_at",
            "when the language was set",
        ),
        Field("timezone_value", CODE, "timezone.value", "IANA zone of all its local times"),
        Field("timezone_updated_at", DATETIME, "timezone.updated_at", "when the zone was set"),
        Field(
            "mg_order_creation_default_site",
            CODE,
            "mg.order_creation.default.site",
            "site of orders made from chats",
        ),
        Field(
            "mg_order_creation_default_order_type",
            CODE,
            "mg.order_creation.default.order_type",
            "order type of orders made from chats",
        ),
        Field(
            "mg_order_creation_default_order_method",
            CODE,
            "mg.order_creation.default.order_method",
            "order method of orders made from chats",
        ),
        Field(
            "mg_order_creation_channels",
            MAP,
            "mg.order_creation.channels",
            "the same by channel, as sent",
        ),
    ),
    children=(
        Child(
            name="setting_work_times",
            path="work_times",
            note="Working hours by day of the week, store-local",
            fields=(
                Field("day_type", TEXT, "day_type", "day of the week in English"),
                Field("start_time", TEXT, "start_time", "from, H:i"),
                Field("end_time", TEXT, "end_time", "to, H:i"),
                Field("lunch_start_time", TEXT, "lunch_start_time", "lunch from, H:i"),
                Field("lunch_end_time", TEXT, "lunch_end_time", "lunch to, H:i"),
            ),
        ),
        Child(
            name="setting_non_working_days",
            path="non_working_days",
            note="Holidays, as month and day",
            fields=(
                Field("start_date", TEXT, "start_date", "first day, as sent (m.d)"),
                Field("end_date", TEXT, "end_date", "last day, as sent (m.d)"),
            ),
        ),
    ),
)

CREDENTIALS = Resource(
    name="credentials",
    singular="credential",
    path="/api/credentials",
    answer_key="",
    listing=SinglePage(),
    changes=FullRefresh(every_seconds=3600),
    after=OnComplete.ACCESS,
    shape=Shape.SINGLE,
    key="",
    note="What the mirror's API key may see; one row per store",
    fields=(
        Field("site_access", CODE, "siteAccess", "access_full or access_selective"),
        Field("sites_available", JSON, "sitesAvailable", "site codes a selective key sees"),
        Field("scopes", JSON, "scopes", "the key's scopes"),
        Field("credentials", JSON, "credentials", "deprecated: method paths"),
        Field("success", BOOLEAN, "success", "the API's own mark of a good answer"),
    ),
)
