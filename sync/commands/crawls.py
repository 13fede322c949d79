"""Commands plan, backfill, reconcile, rebuild: crawls a person asks for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import click
import sqlalchemy as sa

from sync.commands import params
from sync.commands.services import at_head
from sync.commands.shell import examples, say
from sync.commands.wait import wait
from sync.database.engine import attempts, reading
from sync.forecast import duration
from sync.poll_intervals import cadences, egress_addresses
from sync.settings import Settings
from sync.state import acts, operations, stores
from sync.state.operations import store_with_key
from sync.work import estimates
from sync.work.dispatching import working_addresses

_days = (
    click.option("--since", type=params.DAY, help="First creation day, in the store's zone."),
    click.option("--until", type=params.DAY, help="Last creation day, inclusive."),
)


@click.command(
    epilog=examples("plan shop", "plan shop orders --since 2024-01-01", "plan shop --lag 60")
)
@click.argument("name")
@click.argument("resources", nargs=-1, metavar="[RESOURCE]...")
@_days[0]
@_days[1]
@click.option(
    "--lag",
    type=click.IntRange(min=1),
    metavar="SECONDS",
    help="Wanted interval of every feed. Default: SYNC_FEED_SECONDS.",
)
def plan(
    name: str,
    resources: tuple[str, ...],
    since: dt.date | None,
    until: dt.date | None,
    lag: int | None,
) -> None:
    """Estimate the cost of a backfill: requests and minutes. Asks for the totals, queues nothing.

    The last line is about the feeds of all stores: how often the working egress addresses look at
    them, and how many addresses the lag given by --lag needs.
    """
    params.check_days(since, until)
    wanted = params.check_resources(resources)
    found = at_head()
    with reading(found.engine) as connection:
        known = store_with_key(connection, name)
    made = estimates.plan(found, known, wanted, days=(since, until))
    width = max(len(line.resource) for line in made.lines) if made.lines else 0
    say(f"{'resource':{width}}  {'records':>10}  {'requests':>9}")
    for line in made.lines:
        note = f"  {line.note}" if line.note else ""
        say(f"{line.resource:{width}}  {line.records:>10,}  {line.requests:>9,}{note}")
    say(made.words)
    with reading(found.engine) as connection:
        feeds = _feeds(connection, found.settings, lag)
    if feeds:
        say(feeds)


def _feeds(connection: sa.Connection, settings: Settings, lag: int | None) -> str | None:
    """Return `2 stores, 10 feeds: looked at every 15 s on average with 1 egress address; …`."""
    rows = connection.execute(
        sa.text(
            # Feeds whose load has not begun count too: they will be followed.
            "SELECT l.store_id, coalesce(f.changes_per_second, 0) FROM sync.lane AS l"
            " LEFT JOIN sync.feed AS f ON f.store_id = l.store_id AND f.resource = l.resource"
            " WHERE l.lane = 'feed' AND l.enabled AND l.parked_at IS NULL"
        )
    ).all()
    if not rows:
        return None
    addresses = working_addresses(connection, own=settings.egress)
    mean = cadences(
        [changes for _, changes in rows],
        requests_per_second=settings.rate_limit * addresses,
        floor_seconds=settings.feed_seconds,
        ceiling_seconds=settings.feed_max_seconds,
    ).mean_seconds
    wished = settings.feed_seconds if lag is None else lag
    needed = egress_addresses(
        len(rows), lag_seconds=wished, requests_per_second=settings.rate_limit
    )
    floor = f", and SYNC_FEED_SECONDS={wished:g}" if wished < settings.feed_seconds else ""
    return (
        f"{_several(len({store for store, _ in rows}), 'store')}, {_several(len(rows), 'feed')}:"
        f" looked at every {duration(mean)} on average with"
        f" {_several(addresses, 'egress address', 'egress addresses')}; every {duration(wished)}"
        f" would need {needed:,}{floor}."
    )


def _several(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


@click.command(
    epilog=examples(
        "backfill shop --wait", "backfill shop orders --since 2024-01-01 --until 2024-01-31"
    )
)
@click.argument("name")
@click.argument("resources", nargs=-1, metavar="[RESOURCE]...")
@_days[0]
@_days[1]
@click.option("--wait", "is_waiting", is_flag=True, help="Show progress until it is done.")
def backfill(
    name: str,
    resources: tuple[str, ...],
    since: dt.date | None,
    until: dt.date | None,
    is_waiting: bool,
) -> None:
    """Walk a store's lists again, wholly or by creation day; goes before scheduled walks.

    Unchanged rows are not written. Lists that cannot be cut by creation day are read whole.
    """
    params.check_days(since, until)
    _ask_for(name, resources, kind="backfill", days=(since, until), is_waiting=is_waiting)


@click.command(epilog=examples("reconcile shop", "reconcile shop orders --deep --wait"))
@click.argument("name")
@click.argument("resources", nargs=-1, metavar="[RESOURCE]...")
@click.option("--deep", is_flag=True, help="Compare ids and contents, not only counts.")
@click.option("--wait", "is_waiting", is_flag=True, help="Show progress until it is done.")
def reconcile(
    name: str,
    resources: tuple[str, ...],
    deep: bool,
    is_waiting: bool,
) -> None:
    """Count a store's lists against the mirror and walk what differs; runs nightly by itself."""
    _ask_for(name, resources, kind="reconcile", deep=deep, is_waiting=is_waiting)


@click.command(epilog=examples("rebuild", "rebuild shop orders"))
@click.argument("name", required=False)
@click.argument("resources", nargs=-1, metavar="[RESOURCE]...")
def rebuild(name: str | None, resources: tuple[str, ...]) -> None:
    """Recompute typed columns and children from raw, without requests.

    Happens by itself after a changed time zone or declaration. Without NAME: all stores.
    """
    wanted = params.check_resources(resources)
    for attempt in attempts(at_head().engine):
        with attempt as connection:
            if name is not None:
                known = [store_with_key(connection, name)]
                operations.require_enabled(known[0])
            else:
                known = [s for s in stores.every(connection) if s.enabled]
            queued = [
                operations.queue(connection, each, resource, kind="rebuild")
                for each in known
                for resource in operations.wanted(connection, each, wanted)
            ]
            acts.note(connection, "rebuild", store=name or "", detail=", ".join(wanted))
    say(f"{_crawls(len(queued))} queued.")


def _ask_for(
    name: str,
    names: Sequence[str],
    *,
    kind: str,
    days: tuple[dt.date | None, dt.date | None] = (None, None),
    deep: bool = False,
    is_waiting: bool,
) -> None:
    wanted = params.check_resources(names)
    for attempt in attempts(at_head().engine):
        with attempt as connection:
            known = store_with_key(connection, name)
            ids, parked = operations.ask_for(
                connection, known, wanted, kind=kind, days=days, deep=deep
            )
            chosen = [*wanted, *(str(day) for day in days if day), *(["deep"] if deep else [])]
            acts.note(connection, kind, store=name, detail=", ".join(chosen))
    say(f"{_crawls(len(ids))} queued.")
    for each in parked:
        say(f"{each} is parked; first: celery -A sync mirror retry {name} {each}", err=True)
    if is_waiting and ids:
        raise click.exceptions.Exit(wait(ids))
    if not is_waiting:
        say(f"Progress: celery -A sync mirror status {name} --watch")


def _crawls(count: int) -> str:
    return "1 crawl is" if count == 1 else f"{count} crawls are"
