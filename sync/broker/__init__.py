"""Redis: connections to it, and whether it is fit for use. Celery calls it the broker.

connections.py  one policy of connecting, for the request budget's client and for Celery's
fitness.py      what keeps Redis from serving us, what endangers it, and where its clock stands
"""

REJECTED, REJECTED_COUNT = "rejected", "rejected_count"
"""Behind our prefix: the newest messages that were set aside, and how many there were."""
