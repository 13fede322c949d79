"""Commands about the service itself: migrate, health, demo."""

from __future__ import annotations

import socket

import click

from sync.commands.services import at_head, opened
from sync.commands.shell import ATTENTION, NotReady, examples
from sync.database import migrate as migrations
from sync.database.engine import reading
from sync.errors import SyncError
from sync.privacy.readers import settle
from sync.state import status as look
from sync.work.dispatching import housekeep

NAMED = 5


@click.command(epilog=examples("migrate"))
def migrate() -> None:
    """Upgrade the database to this release's schema.

    Safe to repeat and to run twice at once: it only adds. Resources that are new in this release
    are registered for the existing stores.
    """
    found = opened()
    try:
        url = found.urls.database_url
        migrations.upgrade(url)
    except SyncError as error:
        raise NotReady(str(error)) from error
    at_head()
    left = housekeep(found)
    settle(found.engine)
    click.echo("The database is at this release's schema.")
    if left:
        names = ", ".join(left[:NAMED]) + (f" and {len(left) - NAMED} more" if left[NAMED:] else "")
        click.echo(
            f"This release's resources could not be registered for {names}: their tables were"
            " locked. Run migrate again, or leave it to the hourly housekeeping.",
            err=True,
        )
        raise click.exceptions.Exit(ATTENTION)


@click.command(
    hidden=True,
    epilog=examples("health --queue feeds --here"),
)
@click.option("--queue", type=click.Choice(["feeds", "crawls"]), required=True)
@click.option("--seconds", type=click.IntRange(1), default=60, show_default=True)
@click.option("--here", is_flag=True, help="Count only tasks of this host's processes.")
def health(queue: str, seconds: int, here: bool) -> None:
    """Check that a queue has been consumed lately: the health check of a container."""
    host = socket.gethostname() if here else None
    with reading(at_head().engine) as connection:
        age = look.consumed_seconds_ago(connection, queue=queue, host=host)
    where = " by this host" if here else ""
    if age is None or age > seconds:
        told = "never" if age is None else f"{age:.0f} s ago"
        click.echo(f"The queue {queue} was last consumed{where}: {told}.", err=True)
        raise click.exceptions.Exit(ATTENTION)
    click.echo(f"The queue {queue} was consumed{where} {age:.0f} s ago.")


@click.command(epilog=examples("demo", "demo --stay"))
@click.option("--stay", is_flag=True, help="Stay up until Ctrl-C.")
def demo(stay: bool) -> None:
    """Show the whole service on this machine: servers, a made-up RetailCRM, a load, SQL queries.

    With STORE_URL and API_KEY in the environment it mirrors that account instead. A second run
    resumes from the data folder.
    """
    from sync.demo import run

    found = opened()
    raise click.exceptions.Exit(run(found.settings, stay=stay))
