"""Every mirrored resource. `RESOURCES` is the only list; everything else is derived from it."""

from sync.declare import Resource
from sync.resources.account import CREDENTIALS, SETTINGS
from sync.resources.carts import CARTS, FAVORITES
from sync.resources.catalogue import (
    PRODUCT_GROUPS,
    PRODUCT_PROPERTIES,
    PRODUCT_PROPERTY_VALUES,
    PRODUCTS,
)
from sync.resources.corporate import CORPORATE_CUSTOMER_HISTORY, CORPORATE_CUSTOMERS
from sync.resources.corporate_parts import (
    CORPORATE_CUSTOMER_ADDRESSES,
    CORPORATE_CUSTOMER_COMPANIES,
    CORPORATE_CUSTOMER_CONTACTS,
)
from sync.resources.costs import COST_GROUPS, COST_ITEMS, COSTS
from sync.resources.custom_fields import CUSTOM_DICTIONARIES, CUSTOM_FIELDS
from sync.resources.customers import CUSTOMER_HISTORY, CUSTOMERS
from sync.resources.delivery import DELIVERY_SHIPMENTS
from sync.resources.files import FILES
from sync.resources.integrations import MG_CHANNELS, MG_TEMPLATES
from sync.resources.loyalty import (
    BONUS_OPERATIONS,
    BONUSES_BURN_SOON,
    BONUSES_WAITING_ACTIVATION,
    LOYALTIES,
    LOYALTY_ACCOUNTS,
)
from sync.resources.notes import CORPORATE_CUSTOMER_NOTES, CUSTOMER_NOTES
from sync.resources.offers import INVENTORIES, OFFERS
from sync.resources.orders import ORDER_HISTORY, ORDERS
from sync.resources.packs import PACK_HISTORY, PACKS
from sync.resources.people import SEGMENTS, USER_GROUPS, USERS
from sync.resources.references import COUNTRIES, CURRENCIES, LEGAL_ENTITIES, SITES, UNITS
from sync.resources.references_delivery import (
    COURIERS,
    DELIVERY_SERVICES,
    DELIVERY_TYPES,
    WAREHOUSES,
)
from sync.resources.references_orders import (
    ORDER_METHODS,
    ORDER_TYPES,
    PRODUCT_STATUSES,
    STATUS_GROUPS,
    STATUSES,
)
from sync.resources.references_payments import PAYMENT_STATUSES, PAYMENT_TYPES, PRICE_TYPES
from sync.resources.tasks import TASK_COMMENTS, TASK_HISTORY, TASKS

RESOURCES: dict[str, Resource] = {
    resource.name: resource
    for resource in (
        CREDENTIALS,
        SETTINGS,
        SITES,
        LEGAL_ENTITIES,
        COUNTRIES,
        CURRENCIES,
        UNITS,
        STATUS_GROUPS,
        STATUSES,
        PRODUCT_STATUSES,
        ORDER_TYPES,
        ORDER_METHODS,
        PAYMENT_TYPES,
        PAYMENT_STATUSES,
        PRICE_TYPES,
        DELIVERY_TYPES,
        DELIVERY_SERVICES,
        COURIERS,
        WAREHOUSES,
        COST_GROUPS,
        COST_ITEMS,
        MG_CHANNELS,
        CUSTOMERS,
        CUSTOMER_HISTORY,
        ORDERS,
        ORDER_HISTORY,
        USERS,
        USER_GROUPS,
        SEGMENTS,
        CUSTOM_FIELDS,
        CUSTOM_DICTIONARIES,
        CUSTOMER_NOTES,
        CORPORATE_CUSTOMERS,
        CORPORATE_CUSTOMER_HISTORY,
        CORPORATE_CUSTOMER_ADDRESSES,
        CORPORATE_CUSTOMER_COMPANIES,
        CORPORATE_CUSTOMER_CONTACTS,
        CORPORATE_CUSTOMER_NOTES,
        TASKS,
        TASK_HISTORY,
        TASK_COMMENTS,
        PACKS,
        PACK_HISTORY,
        DELIVERY_SHIPMENTS,
        COSTS,
        FILES,
        PRODUCT_GROUPS,
        PRODUCT_PROPERTIES,
        PRODUCT_PROPERTY_VALUES,
        PRODUCTS,
        OFFERS,
        INVENTORIES,
        LOYALTIES,
        LOYALTY_ACCOUNTS,
        BONUS_OPERATIONS,
        BONUSES_WAITING_ACTIVATION,
        BONUSES_BURN_SOON,
        CARTS,
        FAVORITES,
        MG_TEMPLATES,
    )
}

__all__ = ["RESOURCES"]
