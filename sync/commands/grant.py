"""Command grant: give Postgres roles read access to crm, and limits."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import click
import sqlalchemy as sa
from psycopg.errors import InsufficientPrivilege
from sqlalchemy.exc import ProgrammingError

from sync.commands.services import at_head
from sync.commands.shell import ATTENTION, examples, say
from sync.database.engine import reading
from sync.errors import BadRequest, NeedsOperator
from sync.state import stores
from sync.telemetry.redact_errors import first_line


class Amount(click.ParamType[str]):
    """A number with one of some units of Postgres."""

    def __init__(self, name: str, units: str) -> None:
        self.name = name
        self._pattern = re.compile(rf"\d{{1,9}}({units})")
        self._units = units.replace("|", ", ")

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """Return the text as Postgres takes it."""
        if not self._pattern.fullmatch(value):
            self.fail(f"{value!r} is not a number with one of {self._units}", param, ctx)
        return str(value)


TIME, SIZE = Amount("time", "ms|s|min|h"), Amount("size", "kB|MB|GB|TB")


@click.command(
    epilog=examples(
        "grant analyst",
        "grant shop_analyst --store shop",
        "grant contractor --mask --connections 3 --statement-timeout 2min",
        "grant contractor --revoke",
    )
)
@click.argument("role")
@click.option(
    "--store", "names", multiple=True, metavar="NAME", help="Only this store; repeatable."
)
@click.option("--mask", is_flag=True, help="Only crm_masked: personal data hashed or cut.")
@click.option("--connections", type=click.IntRange(0), help="Connections at once; 10 by default.")
@click.option("--statement-timeout", type=TIME, help="The longest statement; 10min by default.")
@click.option(
    "--idle-timeout", type=TIME, help="The longest idle of an open transaction; 5min by default."
)
@click.option("--temp-files", type=SIZE, help="Temporary files of a session; 5GB by default.")
@click.option("--no-limits", is_flag=True, help="Take all four limits away.")
@click.option("--revoke", is_flag=True, help="Take back what was granted here.")
def grant(
    role: str,
    names: tuple[str, ...],
    mask: bool,
    connections: int | None,
    statement_timeout: str | None,
    idle_timeout: str | None,
    temp_files: str | None,
    no_limits: bool,
    revoke: bool,
) -> None:
    """Let a Postgres role read crm: all of it, the rows of a store, or its masked views.

    The role must exist (CREATE ROLE … LOGIN). It cannot read the service's own tables. An earlier
    grant is replaced. --store uses row-level security. --mask uses the schema crm_masked: names,
    phones and e-mails are hashes that still join; comments and addresses are left out.

    A role without limits gets the default ones; those that it has are kept, unless an option says
    otherwise.
    """
    from sync.privacy import limits, readers

    asked = limits.Limits(connections, statement_timeout, idle_timeout, temp_files)
    has_limits = asked != limits.Limits()
    if revoke and (names or mask or has_limits or no_limits):
        raise BadRequest("--revoke takes everything back: give it alone.")
    if no_limits and has_limits:
        raise BadRequest("--no-limits takes all limits away: give it without any of them.")
    engine = at_head().engine
    if revoke:
        _revoke(engine, role)
        return
    with reading(engine) as connection:
        ids = [stores.by_name(connection, name).id for name in names]
    try:
        readers.grant(
            engine, role, store_ids=ids or None, is_masked=mask, say=partial(say, err=True)
        )
    except ProgrammingError as error:
        if not isinstance(error.orig, InsufficientPrivilege):
            raise
        raise NeedsOperator(
            f"{role} was not granted all of it: {first_line(error)}. Only the role that owns crm"
            " can grant it: run the command with that role's SYNC_DATABASE_URL."
        ) from error
    if unread := readers.unread(engine, role):
        raise NeedsOperator(unread)
    what = "crm_masked" if mask else "crm"
    which = f", the rows of {', '.join(names)}" if names else ""
    say(f"{role} may read {what}{which}.")
    for line in limits.lift(engine, role) if no_limits else limits.settle(engine, role, asked):
        say(line)


def _revoke(engine: sa.Engine, role: str) -> None:
    """Take everything back; exit status 1, and the reasons, when the role may still read."""
    from sync.privacy import limits, readers

    had = readers.revoke(engine, role)
    left = readers.remaining(engine, role)
    if not had:
        say(f"{role} was not a reader.")
    elif not left:
        say(f"{role} has no access any more.")
        for line in limits.forget(engine, role):
            say(line)
    for line in left or ():
        say(line)
    if left:
        raise click.exceptions.Exit(ATTENTION)
