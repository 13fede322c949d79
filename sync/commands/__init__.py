"""`celery -A sync mirror …`: the commands an operator types.

shell.py     the group: commands found by name, errors as one line and an exit status
services.py  connections a command needs: Postgres at this release's schema, a store's API
params.py    arguments: dates, resources, where an API key comes from
stores.py    store add, set, list, check, enable, disable, remove
crawls.py    plan, backfill, reconcile, rebuild
wait.py      --wait: progress of crawls until they are done
status.py    status, --json, --watch
budget.py    the request budget: use, waits and refusals, by address and by store
repair.py    retry, approve, accept, reset, resource
grant.py     read access of Postgres roles
export.py    crm as Parquet files
erase.py     a person's data removed and masked from then on
versions.py  earlier contents of orders and customers, on or off
rotate.py    rotate-key
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
        "migrate": ("service:migrate", "Upgrade the database to this release's schema."),
        "store": ("stores:store", "Add, change, check and remove accounts."),
        "plan": ("crawls:plan", "Estimate the cost of a backfill: requests, minutes."),
        "backfill": ("crawls:backfill", "Walk lists again, wholly or by creation day."),
        "reconcile": ("crawls:reconcile", "Count against the CRM and repair what differs."),
        "status": ("status:status", "Show how far, how fresh, and what needs a person."),
        "budget": ("budget:budget", "Show who uses the request budget, waits, is refused."),
        "retry": ("repair:retry", "Release what was parked or keeps failing."),
        "approve": ("repair:approve", "Let a refresh mark absent rows as deleted."),
        "accept": ("repair:accept", "Accept a doubt that cannot be mended."),
        "reset": ("repair:reset", "Load a resource again; its rows stay readable."),
        "resource": ("repair:resource", "Turn a resource of a store on or off."),
        "rebuild": ("crawls:rebuild", "Recompute columns from raw, without requests."),
        "grant": ("grant:grant", "Let a Postgres role read crm, or parts of it."),
        "export": ("export:export", "Write a store's rows to files."),
        "erase": ("erase:erase", "Take a person's data out of the mirror for good."),
        "versions": ("versions:versions", "Keep earlier contents of orders and customers."),
        "demo": ("service:demo", "Show it all on this machine, with a made-up RetailCRM."),
        "health": ("service:health", ""),
        "web": ("web:web", "Serve the status page, metrics and health checks."),
        "rotate-key": ("rotate:rotate_key", "Encrypt API keys again with another SYNC_SECRET_KEY."),
    },
    epilog=examples("store add shop https://shop.retailcrm.ru", "status"),
)

__all__ = ["mirror"]
