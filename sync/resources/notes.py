"""Notes on customers, persons and companies.

Notes have no history and are edited and deleted, so the lists are read again four times a day, not
more often: notes are many and seldom needed.
"""

from sync.declare import (
    CODE,
    DATETIME,
    ID,
    TEXT,
    DateWindows,
    Field,
    FullRefresh,
    Resource,
)

CUSTOMER_NOTES = Resource(
    name="customer_notes",
    singular="customer_note",
    path="/api/v5/customers/notes",
    answer_key="notes",
    listing=DateWindows("createdAtFrom", "createdAtTo"),
    changes=FullRefresh(every_seconds=21_600),
    scope="customer_read",
    note="Notes on customers",
    fields=(
        Field("id", ID, "id", "RetailCRM's id"),
        Field("text", TEXT, "text", "text, HTML as entered"),
        Field("created_at", DATETIME, "createdAt", "when it was written"),
        Field("manager_id", ID, "managerId", "user who wrote it"),
        Field("customer_id", ID, "customer.id", "joins crm.customers.id"),
        Field("customer_type", CODE, "customer.type", "customer or customer_corporate"),
        Field("customer_site", CODE, "customer.site", "customer's site"),
        Field("customer_external_id", TEXT, "customer.externalId", "customer's id in the shop"),
    ),
    raw_only=(("customer", "a copy of the customer"),),
)

CORPORATE_CUSTOMER_NOTES = Resource(
    name="corporate_customer_notes",
    singular="corporate_customer_note",
    path="/api/v5/customers-corporate/notes",
    answer_key="notes",
    listing=DateWindows("createdAtFrom", "createdAtTo"),
    changes=FullRefresh(every_seconds=21_600),
    scope="customer_read",
    note="Notes on corporate customers",
    fields=(
        Field("id", ID, "id", "RetailCRM's id"),
        Field("text", TEXT, "text", "text, HTML as entered"),
        Field("created_at", DATETIME, "createdAt", "when it was written"),
        Field("manager_id", ID, "managerId", "user who wrote it"),
        Field("customer_id", ID, "customer.id", "joins crm.corporate_customers.id"),
        Field("customer_type", CODE, "customer.type", "customer or customer_corporate"),
        Field("customer_site", CODE, "customer.site", "customer's site"),
        Field("customer_external_id", TEXT, "customer.externalId", "customer's id in the shop"),
    ),
    raw_only=(("customer", "a copy of the customer"),),
)
