"""Users of the account, their groups, and segments of customers.

Their changes are not reported. The lists are short and other tables refer to them, so they are
read hourly.
"""

from sync.declare import (
    BOOLEAN,
    CODE,
    DATETIME,
    ID,
    INTEGER,
    JSON,
    TEXT,
    Child,
    Field,
    FullRefresh,
    PageNumbers,
    Resource,
)

HOURLY = FullRefresh(every_seconds=3600)

USERS = Resource(
    name="users",
    singular="user",
    path="/api/v5/users",
    answer_key="users",
    listing=PageNumbers(),
    changes=HOURLY,
    single="/api/v5/users/{id}",
    single_key="user",
    scope="user_read",
    note="Users of the account",
    fields=(
        Field("id", ID, "id", "RetailCRM's id; manager_id of other tables"),
        Field("created_at", DATETIME, "createdAt", "when the user was made"),
        Field("active", BOOLEAN, "active", "may sign in"),
        Field("email", TEXT, "email", "e-mail"),
        Field("first_name", TEXT, "firstName", "first name"),
        Field("last_name", TEXT, "lastName", "last name"),
        Field("patronymic", TEXT, "patronymic", "patronymic"),
        Field("position", TEXT, "position", "position"),
        Field("photo_url", TEXT, "photoUrl", "photo"),
        Field("phone", TEXT, "phone", "phone as entered"),
        Field("status", CODE, "status", "what the user is doing"),
        Field("online", BOOLEAN, "online", "signed in when it was read"),
        Field("is_admin", BOOLEAN, "isAdmin", "administrator"),
        Field("is_manager", BOOLEAN, "isManager", "manager"),
        Field("mg_user_id", ID, "mgUserId", "id in the message gateway"),
        Field("sender_email", TEXT, "senderEmail", "sender of mails"),
        Field("sender_name", TEXT, "senderName", "sender's name"),
    ),
    children=(
        Child(
            name="user_group_users",
            path="groups",
            key="id",
            note="Which user is in which group",
            fields=(
                Field("id", ID, "id", "joins crm.user_groups.id"),
                Field("code", CODE, "code", "group's code"),
                Field("name", TEXT, "name", "group's name"),
                Field("is_manager", BOOLEAN, "isManager", "group of managers"),
                Field("is_pos_manager", BOOLEAN, "isPosManager", "group of point of sale managers"),
                Field("is_delivery_men", BOOLEAN, "isDeliveryMen", "group of couriers"),
                Field("signature_template", TEXT, "signatureTemplate", "signature of mails"),
                Field("delivery_types", JSON, "deliveryTypes", "group's delivery types as sent"),
                Field(
                    "breakdown_order_types",
                    JSON,
                    "breakdownOrderTypes",
                    "group's order types for reports as sent",
                ),
                Field(
                    "breakdown_sites", JSON, "breakdownSites", "group's sites for reports as sent"
                ),
                Field(
                    "breakdown_order_methods",
                    JSON,
                    "breakdownOrderMethods",
                    "group's order methods for reports as sent",
                ),
                Field(
                    "granted_order_types", JSON, "grantedOrderTypes", "group's order types as sent"
                ),
                Field("granted_sites", JSON, "grantedSites", "group's sites as sent"),
            ),
        ),
    ),
)

USER_GROUPS = Resource(
    name="user_groups",
    singular="user_group",
    path="/api/v5/user-groups",
    answer_key="groups",
    listing=PageNumbers(),
    changes=HOURLY,
    scope="user_read",
    note="Groups of users",
    fields=(
        Field("id", ID, "id", "RetailCRM's id"),
        Field("code", CODE, "code", "code"),
        Field("name", TEXT, "name", "name"),
        Field("is_manager", BOOLEAN, "isManager", "group of managers"),
        Field("is_pos_manager", BOOLEAN, "isPosManager", "group of point of sale managers"),
        Field("is_delivery_men", BOOLEAN, "isDeliveryMen", "group of couriers"),
        Field("signature_template", TEXT, "signatureTemplate", "signature of mails"),
        Field("delivery_types", JSON, "deliveryTypes", "delivery type codes as sent"),
        Field(
            "breakdown_order_types",
            JSON,
            "breakdownOrderTypes",
            "order types its reports are broken down by",
        ),
        Field("breakdown_sites", JSON, "breakdownSites", "sites its reports are broken down by"),
        Field(
            "breakdown_order_methods",
            JSON,
            "breakdownOrderMethods",
            "order methods its reports are broken down by",
        ),
        Field("granted_order_types", JSON, "grantedOrderTypes", "order types it may see"),
        Field("granted_sites", JSON, "grantedSites", "sites it may see"),
    ),
)

SEGMENTS = Resource(
    name="segments",
    singular="segment",
    path="/api/v5/segments",
    answer_key="segments",
    listing=PageNumbers(),
    changes=HOURLY,
    note="Segments of customers; crm.customer_segments says who is in them",
    fields=(
        Field("id", ID, "id", "RetailCRM's id"),
        Field("code", CODE, "code", "code"),
        Field("name", TEXT, "name", "name"),
        Field("created_at", DATETIME, "createdAt", "when it was made"),
        Field("is_dynamic", BOOLEAN, "isDynamic", "filled by a rule"),
        Field("customers_count", INTEGER, "customersCount", "members"),
        Field("active", BOOLEAN, "active", "in use"),
    ),
)
