"""The status page: what an operator looks at, and the few things they ask for from it.

app.py         routes, and what happens when something cannot be answered
state.py       what every page has at hand, and who may see what
views.py       pages to read: overview, a store, crawls, rejects, unknown fields
actions.py     buttons: backfill, reconcile, enable, disable, retry, approve, log in and out
queries.py     questions to Postgres beyond those of status
charts.py      the request budget as a picture
security.py    sessions, CSRF, attempts to log in, headers
formatting.py  numbers, moments and states for people

Rendered on the server and readable without JavaScript; static/page.js only keeps a page fresh. All
that is shown passes Jinja's escaping: store names, error texts and rejected values are hostile.
"""
