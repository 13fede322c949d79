"""Files of orders and customers: their metadata, not their content.

Files have no history and are deleted without a trace, so the list is read again four times a day.
"""

from sync.declare import (
    CODE,
    DATETIME,
    ID,
    INTEGER,
    TEXT,
    Child,
    DateWindows,
    Field,
    FullRefresh,
    Resource,
)

FILES = Resource(
    name="files",
    singular="file",
    path="/api/v5/files",
    answer_key="files",
    listing=DateWindows("createdAtFrom", "createdAtTo"),
    changes=FullRefresh(every_seconds=21_600),
    single="/api/v5/files/{id}",
    single_key="file",
    note="Files, without their content",
    fields=(
        Field("id", ID, "id", "RetailCRM's id"),
        Field("filename", TEXT, "filename", "name"),
        Field("type", CODE, "type", "media type"),
        Field("created_at", DATETIME, "createdAt", "when it was uploaded"),
        Field("size", INTEGER, "size", "size in bytes"),
    ),
    children=(
        Child(
            name="file_attachments",
            path="attachment",
            note="What a file is attached to",
            fields=(
                Field("customer_id", ID, "customer.id", "joins crm.customers.id"),
                Field(
                    "customer_external_id", TEXT, "customer.externalId", "customer's id in the shop"
                ),
                Field("customer_site", CODE, "customer.site", "customer's site"),
                Field("order_id", ID, "order.id", "joins crm.orders.id"),
                Field("order_number", TEXT, "order.number", "order's number"),
                Field("order_external_id", TEXT, "order.externalId", "order's id in the shop"),
                Field("order_site", CODE, "order.site", "order's site"),
            ),
        ),
    ),
)
