"""The edge to RetailCRM: addresses, the HTTP client, the request budget.

Only this package sends requests to an account (the webhook of sync/notify.py uses HTTP too), and
only this package interprets HTTP statuses. The package does not use Postgres.

client.py       the HTTP client: one attempt per call
fetch.py        the gate in front of a request: waits for a slot while the connection is open
query.py        query strings in PHP's notation
body.py         decompression of an answer's body, in small steps
decode.py       JSON to Python values without losing a digit
answers.py      the table from an HTTP answer to its result or error
address.py      the check of a store's URL
limiter.py      the request budget, shared by all workers
slot.py         a slot, and the purpose it is reserved for
turns.py        slots reserved in the order in which pages are needed
budget.py       the budget's state in Redis: keys, scripts, reports
redis_clock.py  the difference between Redis's clock and this process's clock
wire.py         connections that pause just before the first byte of a request
"""

from sync.crm.address import check_url
from sync.crm.budget import Report, Usage
from sync.crm.client import Account, Answer, CrmClient, Prepared
from sync.crm.fetch import Passage
from sync.crm.limiter import Clock, Limiter, Stop
from sync.crm.slot import Bucket, Slot, WorkClass, bucket_of
from sync.crm.turns import Turns
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
    "Turns",
    "Usage",
    "WorkClass",
    "bucket_of",
    "check_url",
]
