"""Command erase: remove a person's data and mask it whenever the CRM sends it again."""

from __future__ import annotations

import click

from sync.commands.services import at_head
from sync.commands.shell import examples
from sync.database.engine import attempts, reading
from sync.state import stores


@click.command(
    epilog=examples("erase shop --customer 4711 --dry-run", "erase shop --customer 4711 --yes")
)
@click.argument("name")
@click.option("--customer", type=click.IntRange(1), required=True, help="crm.customers.id")
@click.option("--dry-run", is_flag=True, help="Only show what would be changed.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(name: str, customer: int, dry_run: bool, yes: bool) -> None:
    """Take a person's data out of the mirror for good; amounts, dates and codes stay.

    Names, phones, e-mails, addresses, comments and custom fields are removed from the customer and
    their orders, histories, notes, tasks, files, raw and earlier contents. If the CRM sends them
    again, they are masked before they are written. The CRM itself is not touched: erase the person
    there too. Files exported earlier are not changed: export again with --full.
    """
    from sync.privacy import erasure

    engine = at_head().engine
    with reading(engine) as connection:
        store = stores.by_name(connection, name)
        touched = erasure.look(connection, store, customer)
    for each in touched:
        click.echo(f"  crm.{each.table}: {each.rows}")
    if dry_run:
        click.echo("Nothing was changed.")
        return
    if not yes:
        click.confirm(f"Erase customer {customer} of {name} for good?", abort=True)
    for attempt in attempts(engine):
        with attempt as connection:
            touched = erasure.erase(connection, store, customer)
    rows = sum(each.rows for each in touched)
    click.echo(f"Customer {customer} of {name} is erased: {rows} rows; new data will be masked.")
