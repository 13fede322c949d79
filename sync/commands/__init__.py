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
        "plan": ("crawls:plan", "What a backfill would cost: requests, minutes."),
        "backfill": ("crawls:backfill", "Walk lists again, wholly or by creation day."),
        "reconcile": ("crawls:reconcile", "Count against the CRM and repair what differs."),
        "status": ("status:status", "How far, how fresh, and what needs a person."),
        "budget": ("budget:budget", "Who uses the request budget, waits for it, is refused."),
        "retry": ("repair:retry", "Release what was parked or keeps failing."),
        "approve": ("repair:approve", "Let a refresh tombstone what it found absent."),
        "accept": ("repair:accept", "Accept what is in doubt and cannot be mended."),
        "reset": ("repair:reset", "Load a resource anew; its rows stay readable."),
        "resource": ("repair:resource", "Turn a resource of a store on or off."),
        "rebuild": ("crawls:rebuild", "Typed columns anew from raw, without a request."),
        "grant": ("grant:grant", "Let a Postgres role read crm, or parts of it."),
        "export": ("export:export", "Write a store's rows to files."),
        "erase": ("erase:erase", "Take a person's data out of the mirror for good."),
        "versions": ("versions:versions", "Keep what orders and customers held before."),
        "demo": ("service:demo", "All of it on this machine, with a made-up RetailCRM."),
        "health": ("service:health", ""),
        "web": ("web:web", "Serve the status page, metrics and health checks."),
        "rotate-key": ("rotate:rotate_key", "Seal API keys anew with another SYNC_SECRET_KEY."),
    },
    epilog=examples("store add shop https://shop.retailcrm.ru", "status"),
)

__all__ = ["mirror"]
