"""What is connected to the account: message channels, their templates, integration modules.

Channels are one request, hourly like all dictionaries. Templates are asked for per channel, modules
by the codes delivery types name, because no method lists them: optional, once a day. A module's
settings hold secrets (tokens of message gateways) in the record as sent.
"""

from sync.declare import (
    BOOLEAN,
    CODE,
    ID,
    JSON,
    MAP,
    TEXT,
    Field,
    Once,
    Pages,
    Parent,
    Refreshed,
    Resource,
    Shape,
)

DAILY = Refreshed(every_seconds=86_400)

MG_CHANNELS = Resource(
    name="mg_channels",
    singular="mg_channel",
    path="/api/v5/reference/mg-channels",
    answer_key="mgChannels",
    listing=Once(),
    changes=Refreshed(every_seconds=3600),
    scope="reference_read",
    note="Channels of the message gateway",
    fields=(
        Field("id", ID, "id", "RetailCRM's id"),
        Field("external_id", ID, "externalId", "id in the message gateway"),
        Field("type", CODE, "type", "kind of channel"),
        Field("active", BOOLEAN, "active", "in use"),
        Field("name", TEXT, "name", "name"),
        Field(
            "allowed_send_by_phone",
            BOOLEAN,
            "allowedSendByPhone",
            "can write to a phone number first",
        ),
    ),
)

MG_TEMPLATES = Resource(
    name="mg_templates",
    singular="mg_template",
    path="/api/v5/reference/mg-channels/templates",
    answer_key="templates",
    listing=Pages(),
    changes=DAILY,
    parent=Parent("mg_channels", "mg_channel_id"),
    params=(("channel_id", "{id}"),),
    optional=True,
    note="Templates of messages",
    fields=(
        Field("id", ID, "id", "RetailCRM's id"),
        Field("mg_channel_id", ID, "mgChannelId", "joins crm.mg_channels.id"),
        Field("external_id", ID, "externalId", "id in the message gateway"),
        Field("code", CODE, "code", "code"),
        Field("name", TEXT, "name", "name"),
        Field("active", BOOLEAN, "active", "in use"),
        Field("namespace", TEXT, "namespace", "namespace at the messenger"),
        Field("lang", CODE, "lang", "language"),
        Field("category", CODE, "category", "category"),
        Field(
            "verification_status", CODE, "verificationStatus", "state of the messenger's approval"
        ),
        Field("template", JSON, "template", "text and variables as sent"),
        Field("template_example", JSON, "templateExample", "example values as sent"),
        Field("header", JSON, "header", "header as sent"),
        Field("footer", TEXT, "footer", "footer"),
        Field("buttons", JSON, "buttons", "buttons as sent"),
    ),
    raw_only=(("channel", "a copy of the channel"),),
)

INTEGRATION_MODULES = Resource(
    name="integration_modules",
    singular="integration_module",
    path="/api/v5/integration-modules/{integration_code}",
    answer_key="integrationModule",
    listing=Once(),
    changes=DAILY,
    shape=Shape.SINGLE,
    key="code",
    parent=Parent("delivery_types", "code", by="integration_code"),
    scope="integration_read",
    optional=True,
    note="Integration modules of delivery types",
    fields=(
        Field("code", CODE, "code", "code; joins crm.delivery_types.integration_code"),
        Field("integration_code", CODE, "integrationCode", "kind of module"),
        Field("active", BOOLEAN, "active", "in use"),
        Field("freeze", BOOLEAN, "freeze", "paused"),
        Field("name", TEXT, "name", "name"),
        Field("logo", TEXT, "logo", "logo"),
        Field("client_id", TEXT, "clientId", "id of the connection"),
        Field("native", BOOLEAN, "native", "made by RetailCRM"),
        Field("base_url", TEXT, "baseUrl", "address"),
        Field("account_url", TEXT, "accountUrl", "address of its settings"),
        Field("actions", MAP, "actions", "paths it is called by"),
        Field("available_countries", JSON, "availableCountries", "country codes as sent"),
    ),
    raw_only=(("integrations", "settings by kind, with secrets"),),
)
