"""The account's custom fields and the dictionaries of their values.

A code is unique within its entity only, so the key is made of both. The lists are short (250 a
page) and needed to read `custom_fields` columns, so they are read hourly.
"""

from sync.declare import (
    BOOLEAN,
    CODE,
    INTEGER,
    JSON,
    TEXT,
    Child,
    Field,
    FullRefresh,
    OnComplete,
    PageNumbers,
    Resource,
    SurrogateKey,
)

HOURLY = FullRefresh(every_seconds=3600)

CUSTOM_FIELDS = Resource(
    name="custom_fields",
    singular="custom_field",
    path="/api/v5/custom-fields",
    answer_key="customFields",
    listing=PageNumbers(),
    changes=HOURLY,
    after=OnComplete.CUSTOM_VIEWS,
    page_size=250,
    made=SurrogateKey(("entity", "code")),
    scope="custom_fields_read",
    note="The account's own fields",
    fields=(
        Field("id", CODE, "", "entity/code"),
        Field(
            "entity",
            CODE,
            "entity",
            "order, customer, customer_corporate, company or loyalty_account",
        ),
        Field("code", CODE, "code", "key in the custom_fields columns"),
        Field("name", TEXT, "name", "name"),
        Field("type", CODE, "type", "kind of values"),
        Field("required", BOOLEAN, "required", "must be filled in"),
        Field("in_filter", BOOLEAN, "inFilter", "can be filtered by"),
        Field("in_list", BOOLEAN, "inList", "shown in lists"),
        Field("in_group_actions", BOOLEAN, "inGroupActions", "can be set for many at once"),
        Field("default", JSON, "default", "default value, deprecated"),
        Field("default_typed", JSON, "defaultTyped", "default value"),
        Field("ordering", INTEGER, "ordering", "place in forms"),
        Field("display_area", CODE, "displayArea", "part of the form"),
        Field("view_mode", CODE, "viewMode", "how it is shown in forms"),
        Field("view_mode_mobile", CODE, "viewModeMobile", "the same in the mobile app"),
        Field("dictionary", CODE, "dictionary", "joins crm.custom_dictionaries.code"),
    ),
    raw_only=(("default_typed", "another spelling of defaultTyped"),),
)

CUSTOM_DICTIONARIES = Resource(
    name="custom_dictionaries",
    singular="custom_dictionary",
    path="/api/v5/custom-fields/dictionaries",
    answer_key="customDictionaries",
    listing=PageNumbers(),
    changes=HOURLY,
    page_size=250,
    key="code",
    scope="custom_fields_read",
    note="Dictionaries of custom fields",
    fields=(
        Field("code", CODE, "code", "code custom fields refer to"),
        Field("name", TEXT, "name", "name"),
    ),
    children=(
        Child(
            name="custom_dictionary_elements",
            path="elements",
            key="code",
            note="Values of dictionaries; those removed stay, for the records that hold them",
            keeps_removed=True,
            fields=(
                Field("code", CODE, "code", "what records hold"),
                Field("name", TEXT, "name", "name"),
                Field("ordering", INTEGER, "ordering", "place in lists"),
            ),
        ),
    ),
)
