"""The edge to RetailCRM: addresses, the HTTP client, the request budget.

Only this package sends requests to an account (the webhook of sync/notify.py uses HTTP too), and
only this package interprets HTTP statuses. The package does not use Postgres.

client.py       the HTTP client: one attempt per call
query.py        query strings in PHP's notation
body.py         decompression of an answer's body, in small steps
decode.py       JSON to Python values without losing a digit
answers.py      the table from an HTTP answer to its result or error
address.py      the check of a store's URL
wire.py         connections that pause just before the first byte of a request
budget/         the request budget, all workers together
"""

from sync.crm.address import check_url
from sync.crm.budget.gate import SlotGate
from sync.crm.budget.limiter import Clock, Limiter, Stop
from sync.crm.budget.order import RequestOrder
from sync.crm.budget.redis_state import Report, Usage
from sync.crm.budget.slot import Bucket, Priority, Slot, bucket_of
from sync.crm.client import Account, Answer, CrmClient, Prepared
from sync.crm.wire import Cut, Gate

__all__ = [
    "Account",
    "Answer",
    "Bucket",
    "Clock",
    "CrmClient",
    "Cut",
    "Gate",
    "Limiter",
    "Prepared",
    "Priority",
    "Report",
    "RequestOrder",
    "Slot",
    "SlotGate",
    "Stop",
    "Usage",
    "bucket_of",
    "check_url",
]
