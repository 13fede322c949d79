"""The status page: what an operator looks at, and the few actions on it.

app.py         routes, and the pages shown for errors
state.py       shared state of all pages: services, sessions, templates; access rights
views.py       pages to read: overview, a store, crawls, rejects, unknown fields
actions.py     buttons: backfill, reconcile, enable, disable, retry, approve, log in and out
queries.py     Postgres queries beyond those of status
charts.py      the chart of the request budget
security.py    sessions, CSRF, log-in attempts, headers
formatting.py  numbers, times and states as text

Rendered on the server and readable without JavaScript; static/page.js only refreshes a page. All
shown values pass Jinja's escaping: store names, error texts and rejected values are untrusted.
"""
