"""`celery -A sync mirror …`: the commands an operator types.

shell.py     the group: commands found by name, errors as one line and an exit status
services.py  connections a command needs: Postgres at this release's schema, a store's API
params.py    arguments: dates, resources, where an API key comes from
stores.py    store add, set, list, check, enable, disable, remove
crawls.py    plan, backfill, reconcile, rebuild
wait.py      --wait: progress of crawls until they are done
status.py    status, --json, --watch
tables.py    the tables that status prints
doctor.py    doctor: what has to be so, each with its cure; probe: what a live account answers
nudge.py     store nudge: the URL that an account's trigger calls
why.py       one record: its version, what it waits for, its history; --fresh
budget.py    the request budget: use, waits and refusals, by address and by store
repair.py    retry, approve, accept, reset, resource
grant.py     read access of Postgres roles
export.py    crm as Parquet files
publish.py   crm for logical replication
erase.py     a person's data removed and masked from then on; the list of erased persons
versions.py  earlier contents of orders and customers, on or off
rotate.py    rotate-key
sandbox.py   sandbox: a made-up RetailCRM, for people who write an integration
web.py       web: the status page, metrics, health checks
service.py   migrate, health, demo

Exit status of every command: 0 all well, 1 something needs attention, 2 wrong usage, 3 could not
find out (Postgres, Redis or the account cannot be reached).
"""

from sync.commands.shell import Shell, examples

mirror = Shell(
    name="mirror",
    help="Mirror RetailCRM / Simla.com accounts into Postgres.",
    # The texts of --help stand here, so that it imports no command; "" hides a command.
    places={
        "doctor": ("doctor:doctor", "Check everything the mirror needs, each with its cure."),
        "migrate": ("service:migrate", "Upgrade the database to this release's schema."),
        "store": ("stores:store", "Add, change, check and remove accounts."),
        "plan": ("crawls:plan", "Estimate the cost of a backfill: requests, minutes."),
        "backfill": ("crawls:backfill", "Walk lists again, wholly or by creation day."),
        "reconcile": ("crawls:reconcile", "Count against the CRM and repair what differs."),
        "status": ("status:status", "Show how far, how fresh, and what needs a person."),
        "probe": ("doctor:probe", "Try on a live account what is known from papers."),
        "why": ("why:why", "Tell all about one record, and why it is so."),
        "budget": ("budget:budget", "Show who uses the request budget, waits, is refused."),
        "retry": ("repair:retry", "Release what was parked or keeps failing."),
        "approve": (
            "repair:approve",
            "Confirm that rows which vanished in the CRM may be deleted.",
        ),
        "accept": ("repair:accept", "Accept a doubt that cannot be mended."),
        "reset": ("repair:reset", "Load a resource again; its rows stay readable."),
        "resource": ("repair:resource", "Turn a resource of a store on or off."),
        "rebuild": ("crawls:rebuild", "Recompute columns from raw, without requests."),
        "grant": ("grant:grant", "Let a Postgres role read crm, or parts of it."),
        "export": ("export:export", "Write a store's rows to files."),
        "publish": ("publish:publish", "Publish crm for logical replication."),
        "erase": ("erase:erase", "Take a person's data out of the mirror for good."),
        "suppression": ("erase:suppression", "Save or restore the list of erased persons."),
        "versions": ("versions:versions", "Keep earlier contents of orders and customers."),
        "demo": ("service:demo", "Show it all on this machine, with a made-up RetailCRM."),
        "sandbox": ("sandbox:sandbox", "Serve a made-up RetailCRM, to read and to write."),
        "health": ("service:health", ""),
        "web": ("web:web", "Serve the status page, metrics and health checks."),
        "rotate-key": ("rotate:rotate_key", "Encrypt API keys again with another SYNC_SECRET_KEY."),
    },
    epilog=examples("store add shop https://shop.retailcrm.ru", "status"),
)

__all__ = ["mirror"]
