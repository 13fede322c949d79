"""Every mirrored resource. `RESOURCES` is the only list: all else follows it."""

from sync.declare import Resource
from sync.resources.account import CREDENTIALS, SETTINGS
from sync.resources.customers import CUSTOMER_HISTORY, CUSTOMERS
from sync.resources.orders import ORDER_HISTORY, ORDERS
from sync.resources.references import SITES, STATUS_GROUPS, STATUSES

RESOURCES: dict[str, Resource] = {
    resource.name: resource
    for resource in (
        CREDENTIALS,
        SETTINGS,
        SITES,
        STATUS_GROUPS,
        STATUSES,
        CUSTOMERS,
        CUSTOMER_HISTORY,
        ORDERS,
        ORDER_HISTORY,
    )
}

__all__ = ["RESOURCES"]
