"""Command grant: give Postgres roles read access to crm."""

from __future__ import annotations

import click

from sync.commands.services import at_head
from sync.commands.shell import examples
from sync.database.engine import reading
from sync.errors import BadRequest
from sync.state import stores


@click.command(
    epilog=examples(
        "grant analyst",
        "grant shop_analyst --store shop",
        "grant contractor --mask",
        "grant contractor --revoke",
    )
)
@click.argument("role")
@click.option(
    "--store", "names", multiple=True, metavar="NAME", help="Only this store; repeatable."
)
@click.option("--mask", is_flag=True, help="Only crm_masked: personal data hashed or cut.")
@click.option("--revoke", is_flag=True, help="Take back what was granted here.")
def grant(role: str, names: tuple[str, ...], mask: bool, revoke: bool) -> None:
    """Let a Postgres role read crm: all of it, the rows of a store, or its masked views.

    The role must exist (CREATE ROLE … LOGIN). It cannot read the service's own tables. An earlier
    grant is replaced. --store uses row-level security. --mask uses the schema crm_masked: names,
    phones and e-mails are hashes that still join; comments and addresses are left out.
    """
    from sync.privacy import readers

    if revoke and (names or mask):
        raise BadRequest("--revoke takes everything back: give it alone.")
    engine = at_head().engine
    if revoke:
        had = readers.revoke(engine, role)
        click.echo(f"{role} has no access any more." if had else f"{role} was not a reader.")
        return
    with reading(engine) as connection:
        ids = [stores.by_name(connection, name).id for name in names]
    readers.grant(engine, role, store_ids=ids or None, is_masked=mask)
    what = "crm_masked" if mask else "crm"
    which = f", the rows of {', '.join(names)}" if names else ""
    click.echo(f"{role} may read {what}{which}.")
