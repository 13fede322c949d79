"""Message channels that are connected to the account, and their templates.

Channels need one request and are read hourly like all dictionaries. Templates need a request per
channel: optional, once a day. Integration modules are not mirrored, because their records hold
secrets.
"""

from sync.declare import (
    BOOLEAN,
    CODE,
    ID,
    JSON,
    TEXT,
    Field,
    FullRefresh,
    PageNumbers,
    Parent,
    Resource,
    SinglePage,
)

DAILY = FullRefresh(every_seconds=86_400)

MG_CHANNELS = Resource(
    name="mg_channels",
    singular="mg_channel",
    path="/api/v5/reference/mg-channels",
    answer_key="mgChannels",
    listing=SinglePage(),
    changes=FullRefresh(every_seconds=3600),
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
    listing=PageNumbers(),
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
