"""Commands about the service itself: migrate, health, demo."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from functools import partial

import click
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from sync.broker import fitness
from sync.commands.services import at_head, at_least_at_head, opened
from sync.commands.shell import ATTENTION, NotReady, examples, say
from sync.database import migrate as migrations
from sync.database.engine import reading
from sync.database.logins import settle_logins
from sync.database.patience import Say
from sync.errors import NeedsOperator, SyncError, TryLater
from sync.privacy import limits
from sync.privacy.readers import settle
from sync.settings import warnings
from sync.state import status as look
from sync.work.dispatching import housekeep
from sync.work.services import Services, require_secret_key

NAMED = 5


@click.command(epilog=examples("migrate", "migrate --doctor"))
@click.option("--doctor", is_flag=True, help="First check all that is needed, as `doctor` does.")
def migrate(doctor: bool) -> None:
    """Upgrade the database to this release's schema.

    Safe to repeat, to stop and to run twice at once: it only adds, and each revision commits for
    itself. It waits for locks in tries of 1.5 seconds, between which everybody passes, for ten
    minutes in all, and says which session is in the way. Resources that are new in this release
    are registered for the existing stores.
    """
    found = opened()
    tell = partial(say, err=True)
    telling = partial(_tell, found.engine, tell)
    if doctor:
        _require_preconditions(found, tell)
    for warning in warnings(found.settings):
        tell(warning)
    try:
        migrations.upgrade(found.urls.database_url, say=telling)
    except SyncError as error:
        raise NotReady(str(error)) from error
    at_head()
    left = housekeep(found)
    unsettled = _settle(found.engine, telling)
    settle_logins(found.engine, say=tell)
    say("The database is at this release's schema.")
    for problem in _in_the_way(found):
        say(f"Workers could not work yet. {problem}", err=True)
        raise click.exceptions.Exit(ATTENTION)
    if left:
        names = ", ".join(left[:NAMED]) + (f" and {len(left) - NAMED} more" if left[NAMED:] else "")
        say(
            f"This release's resources could not be registered for {names}: their tables were"
            " locked. Run migrate again, or leave it to the hourly housekeeping.",
            err=True,
        )
    if unsettled:
        tell(f"{unsettled}. What readers may read is as before; run migrate again.")
    if left or unsettled:
        raise click.exceptions.Exit(ATTENTION)


def _tell(engine: sa.Engine, tell: Say, text: str) -> None:
    """Say what is waited for, and end readers' sessions that are over their limits."""
    tell(text)
    try:
        for ended in limits.end_overdue(engine):
            tell(ended)
    except (SyncError, DBAPIError):  # an older schema has no readers
        return


def _require_preconditions(found: Services, tell: Say) -> None:
    """Say what does not hold, and stop before anything is changed where it is needed."""
    from sync.commands.doctor import lines
    from sync.work.preconditions import findings

    told = list(findings(found, has_schema=False))
    for line in lines(told):
        tell(line)
    if any(not each.holds and each.is_needed for each in told):
        raise click.exceptions.Exit(ATTENTION)


def _settle(engine: sa.Engine, tell: Say) -> str:
    """Bring views and grants of readers up to date; return why they could not be, or ""."""
    try:
        settle(engine, say=tell)
    except TryLater as error:
        return str(error)
    return ""


def _in_the_way(found: Services) -> Iterator[str]:
    """Yield what would keep workers from their work although the schema is there."""
    try:
        require_secret_key(found)
    except NeedsOperator as error:
        yield str(error)
    if found.settings.redis_url is not None:
        refusal = fitness.look(found.redis).refusal
        if refusal is not None:
            yield refusal


@click.command(
    hidden=True,
    epilog=examples("health --queue feeds --here"),
)
@click.option("--queue", type=click.Choice(["feeds", "crawls"]), required=True)
@click.option("--seconds", type=click.IntRange(1), default=60, show_default=True)
@click.option("--here", is_flag=True, help="Count only tasks of this host's processes.")
def health(queue: str, seconds: int, here: bool) -> None:
    """Check that a queue has been consumed lately: the health check of a container.

    A worker of this release that finds an older schema waits, and this says so. A schema that a
    later release has made since is no fault: it only adds.
    """
    host = socket.gethostname() if here else None
    with reading(at_least_at_head().engine) as connection:
        age = look.consumed_seconds_ago(connection, queue=queue, host=host)
    where = " of this host" if here else ""
    if age is None or age > seconds:
        since = "yet" if age is None else f"for {age:.0f} s"
        say(f"No worker{where} has taken work from the queue {queue} {since}.", err=True)
        raise click.exceptions.Exit(ATTENTION)
    say(f"A worker{where} took work from the queue {queue} {age:.0f} s ago.")


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
