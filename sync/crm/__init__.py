"""The edge to RetailCRM: addresses, the HTTP client, the request budget.

Only this package speaks HTTP, and only it knows what a status means. It knows nothing of
Postgres. Reading order: client.py, limiter.py.
"""

from sync.crm.address import check_url
from sync.crm.client import Account, Answer, CrmClient, Prepared
from sync.crm.wire import Gate

__all__ = ["Account", "Answer", "CrmClient", "Gate", "Prepared", "check_url"]
