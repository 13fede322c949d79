"""store nudge: the URL that an account's trigger calls when something changed."""

from __future__ import annotations

import click

from sync.commands.services import at_head
from sync.commands.shell import examples, say
from sync.commands.status import utc_text
from sync.database.engine import attempts
from sync.errors import BadRequest
from sync.state import acts, nudges
from sync.state.operations import store_with_key

TRIGGER = (
    "In RetailCRM, as an administrator: Administration → Communications → Triggers, a new one for",
    "each of the events *order change* and *customer change*, with the action *HTTP request*:",
    "  address     {url}",
    "  method      POST",
    "  parameter   order = {{{{ order.getId() }}}}          (of a customer: customer = "
    "{{{{ customer.getId() }}}})",
)


@click.command(
    name="nudge",
    epilog=examples("store nudge shop --base https://mirror.example.com", "store nudge shop --off"),
)
@click.argument("name")
@click.option("--base", default="https://YOUR-MIRROR", show_default=True, metavar="URL",
              help="Where RetailCRM reaches the path /nudge/.")  # fmt: skip
@click.option("--rotate", is_flag=True, help="Make another URL; the one before ends at once.")
@click.option("--off", is_flag=True, help="Take no nudges of this store any more.")
def nudge(name: str, base: str, rotate: bool, off: bool) -> None:
    """Make the URL by which an account says that something changed: seconds become one.

    A nudge makes the store's feeds due now, at most once a second, and an order or customer that it
    names is read first. It is a hint and no fact: without it everything comes at its interval. The
    secret in the URL is shown once. Publish the path /nudge/ of the status page, and nothing else
    of it, where the account can reach it.
    """
    engine = at_head().engine
    for attempt in attempts(engine):
        with attempt as connection:
            store = store_with_key(connection, name)
            before = nudges.url_of(connection, store.id)
            if off:
                ended = nudges.remove(connection, store.id)
            elif before is not None and not rotate:
                break
            else:
                secret = nudges.make(connection, store.id)
            what = "nudge off" if off else "nudge rotated" if before else "nudge on"
            acts.note(connection, what, store=name)
    if off:
        say(f"{name} takes no nudges." if ended else f"{name} took none before.")
        return
    if before is not None and not rotate:
        last = "never" if before.last_at is None else utc_text(before.last_at)
        raise BadRequest(
            f"{name} has a URL since {utc_text(before.made_at)}: {before.came:,} nudges came, the "
            f"last one {last}, {before.acted:,} looks were made sooner. Its secret is not kept; "
            f"for another one: celery -A sync mirror store nudge {name} --rotate"
        )
    for line in TRIGGER:
        say(line.format(url=f"{base.rstrip('/')}/nudge/{secret}"))
