"""Command versions: turn earlier contents of orders and customers on or off."""

from __future__ import annotations

import click

from sync.commands.services import at_head
from sync.commands.shell import examples, say
from sync.database.engine import attempts
from sync.rows import versions as contents
from sync.state import acts, stores


@click.command(epilog=examples("versions shop on --keep 365", "versions shop off"))
@click.argument("name")
@click.argument("turn", type=click.Choice(["on", "off"]))
@click.option("--keep", type=click.IntRange(1), metavar="DAYS", help="Days after a content ended.")
def versions(name: str, turn: str, keep: int | None) -> None:
    """Keep earlier contents of orders and customers in crm.order_versions and customer_versions.

    From now on each change keeps the replaced content, with the time it was valid from and until.
    Without --keep contents stay for ever, or as long as was set before. Off keeps what is there.
    """
    for attempt in attempts(at_head().engine):
        with attempt as connection:
            store = stores.by_name(connection, name)
            contents.switch(connection, store.id, on=turn == "on", keep_days=keep)
            acts.note(connection, f"versions {turn}", store=name)
    days = f", each for {keep} days after its end" if keep else ""
    say(f"{name}: earlier contents are kept {'from now on' if turn == 'on' else 'no more'}{days}.")
