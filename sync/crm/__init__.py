"""The edge to RetailCRM: addresses, the HTTP client, the request budget.

Only this package asks an account anything (the webhook of sync/notify.py speaks HTTP too), and
only it knows what a status means. It knows nothing of Postgres.

client.py       the HTTP client: one attempt per call
fetch.py        the gate in front of a request: it waits for a slot on the open connection
query.py        parameters as PHP reads them from a query string
body.py         the bytes of an answer out of their coding, in small steps
decode.py       JSON to Python values without losing a digit
answers.py      the one table from an answer to its meaning
address.py      which URLs a store may have
limiter.py      the request budget, all workers together
slot.py         a slot, and what it is asked for
turns.py        pages ask for their slots in the order they are wanted
budget.py       the budget as Redis keeps it: keys, scripts, what is told of it
redis_clock.py  where Redis's clock stands against this process's
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
