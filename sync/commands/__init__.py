"""`celery -A sync mirror …`: what an operator types.

shell.py    the group: commands found by name, errors as one line and an exit status
desk.py     what a command has at hand: Postgres at this release's schema, a store's API
words.py    arguments: dates, resources, where an API key comes from
stores.py   store add, set, list, check, enable, disable, remove
crawls.py   plan, backfill, reconcile, rebuild
wait.py     --wait: how a crawl comes along, until it is done
status.py   status, --json, --watch
repair.py   retry, approve, reset, resource
grant.py    who reads what
export.py   crm as Parquet files
erase.py    a person is taken out, and kept out
versions.py earlier contents of orders and customers, on or off
service.py  migrate, health, demo

Exit status of every command: 0 well, 1 something needs attention, 2 wrong usage, 3 it could not
find out (Postgres, Redis or the account out of reach).
"""

from sync.commands.shell import Shell, examples

mirror = Shell(
    name="mirror",
    help="Mirror RetailCRM / Simla.com accounts into Postgres.",
    places={
        "migrate": "service:migrate",
        "store": "stores:store",
        "plan": "crawls:plan",
        "backfill": "crawls:backfill",
        "reconcile": "crawls:reconcile",
        "status": "status:status",
        "retry": "repair:retry",
        "approve": "repair:approve",
        "reset": "repair:reset",
        "resource": "repair:resource",
        "rebuild": "crawls:rebuild",
        "grant": "grant:grant",
        "export": "export:export",
        "erase": "erase:erase",
        "versions": "versions:versions",
        "demo": "service:demo",
        "health": "service:health",
        "web": "web:web",
        "rotate-key": "rotate:rotate_key",
    },
    epilog=examples("store add shop https://shop.retailcrm.ru", "status"),
)

__all__ = ["mirror"]
