"""The edge to RetailCRM: addresses, the HTTP client, the request budget.

Only this package speaks HTTP, and only it knows what a status means. It knows nothing of
Postgres. Reading order: fetch.py, client.py, limiter.py.
"""

from sync.crm.address import check_url
from sync.crm.budget import Report, Usage
from sync.crm.client import Account, Answer, CrmClient, Prepared
from sync.crm.fetch import Passage, fetch
from sync.crm.limiter import Clock, Limiter, Stop
from sync.crm.slot import Bucket, Slot, WorkClass, bucket_of
from sync.crm.wire import Gate

__all__ = [
    "Account",
    "Answer",
    "Bucket",
    "Clock",
    "CrmClient",
    "Gate",
    "Limiter",
    "Passage",
    "Prepared",
    "Report",
    "Slot",
    "Stop",
    "Usage",
    "WorkClass",
    "bucket_of",
    "check_url",
    "fetch",
]
