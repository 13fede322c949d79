"""The status page: what an operator looks at, and the few actions on it.

app.py         routes, and the pages shown for errors
state.py       shared state of all pages: services, sessions, templates; access rights
views.py       pages to read: overview, a store, crawls, rejects, unknown fields
record.py      one record: its version, what it waits for, its history
actions.py     buttons: backfill, reconcile, enable, disable, retry, approve, log in and out
questions.py   what is asked before something big, and its cost
queries.py     Postgres queries beyond those of status
nudges.py      an account's trigger says that something changed
charts.py      the chart of the request budget
trends.py      charts over a week
security.py    tokens, sessions, CSRF, log-in attempts, headers
door.py        tokens as they are presented: judged at once, in turn, or put off
connections.py  bounds of each connection, and how uvicorn serves the page
formatting.py  numbers, times and states as text

Rendered on the server and readable without JavaScript; static/page.js only refreshes a page. All
shown values pass Jinja's escaping: store names, error texts and rejected values are untrusted.
"""
