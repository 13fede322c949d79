"""A RetailCRM that runs on this machine: for tests, for the demo, for measurements.

    from sync.sandbox import Sandbox, running

    sandbox = Sandbox(seed=7, rate=10)
    demo = sandbox.account("demo", zone="Europe/Moscow", orders=250, customers=80)
    with running(sandbox) as url:
        httpx.get(f"{url}/api/v5/orders", headers={"X-API-KEY": demo.key})
        sandbox.post("orders/create", site="main", order={"firstName": "Ana"})  # no HTTP
        demo.update_order(17, status="complete")

It imports nothing else of `sync`, so that a mistake there cannot be repeated here and go unseen.

The map, from the socket down:

    serve, app          HTTP with limits, faults and a network; beside it page, control and oracle
    sandbox             the accounts on one server; api answers, churn edits, journal resumes
    conformance         every method tried: the table of ops/docs/sandbox.md
    registry            the list of kinds; methods, writes, histories, mutations and churn follow
    kinds/              one file for each kind: methods, filters, writes, mutations, churn, seeding;
                        of large kinds the edits and the writes have files of their own
    service             settings, keys, backups, look-ups: all that has no kind
    dictionaries        reference/*: read, and edited; without: writes of features not here
    writes, shapes      what writes share; the fields of a form with their checks; forms: its bytes
    lists, singles      how a list, a history and one record are answered, by filters and sending
    account             its parts: store (records), histories and their writer, saves, aggregates,
                        timeline, backups, keys; each part gets only what it needs
    triggers            calls of a URL when an order or customer changes
    people, shop, catalogue, reference, names    generators of invented data

To add a kind, write a file in `kinds/` whose `Kind` names its collection, its methods, their scope,
and, if the API has a history of it, the `subject` of an entry. Its mutations are functions of an
account: they open a save with `account.saving(...)` and record changes with `came`, `say` and
`went`. Its `seed`, or `left_by` an order or customer, makes the first records. List it in
`registry.KINDS`: routes, filters, scopes, the oracle's tables, the timeline, the controls, the
journal and churn follow from that list.
"""

from sync.sandbox.account import Account
from sync.sandbox.clock import Clock
from sync.sandbox.knobs import Knobs
from sync.sandbox.sandbox import Sandbox, demo_key
from sync.sandbox.serve import Spawned, running, spawn

__all__ = ["Account", "Clock", "Knobs", "Sandbox", "Spawned", "demo_key", "running", "spawn"]
