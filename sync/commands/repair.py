"""Commands retry, approve, accept, reset, resource: answers to a line of `status`."""

from __future__ import annotations

import getpass

import click
import sqlalchemy as sa

from sync.commands import params
from sync.commands.services import at_head
from sync.commands.shell import examples
from sync.database.engine import attempts, reading
from sync.declare import HistoryFeed, SinceId
from sync.errors import BadRequest
from sync.resources import RESOURCES
from sync.state import accounts, coverage, doubts, lanes, operations, rereads, stores
from sync.state.operations import require_selected, store_with_key
from sync.state.stores import Store


@click.command(epilog=examples("retry shop", "retry shop orders"))
@click.argument("name")
@click.argument("resource", required=False)
def retry(name: str, resource: str | None) -> None:
    """Release what is parked or keeps failing, so that it is retried at once."""
    wanted = params.check_resources([resource] if resource else [])
    for attempt in attempts(at_head().engine):
        with attempt as connection:
            known = store_with_key(connection, name)
            released = operations.retry(connection, known, wanted[0] if wanted else None)
    lanes = "1 lane is" if released == 1 else f"{released} lanes are"
    click.echo(f"{lanes} released." if released else "Nothing was parked or failing.")


@click.command(epilog=examples("approve shop statuses"))
@click.argument("name")
@click.argument("resource")
def approve(name: str, resource: str) -> None:
    """Let a refresh mark the rows it found absent as deleted; the list is read once more first."""
    params.check_resources([resource])
    for attempt in attempts(at_head().engine):
        with attempt as connection:
            waited = operations.approve(connection, store_with_key(connection, name), resource)
    click.echo(f"Approved: {waited.partition(';')[0]}. {resource} is read again now.")


@click.command(
    epilog=examples(
        "accept shop orders",
        'accept shop orders --because "order 7 is counted but never shown" --by Ann --yes',
    )
)
@click.argument("name")
@click.argument("resource")
@click.option("--because", default="", help="Reason why it cannot be mended; analysts can read it.")
@click.option("--by", default="", help="Who accepts it; your login name by default.")
@click.option("--yes", is_flag=True, help="Accept the listed doubts; without it nothing is done.")
def accept(name: str, resource: str, because: str, by: str, yes: bool) -> None:
    """Accept a doubt that cannot be mended, so that coverage goes on without it.

    Lists the open doubts, and does nothing more without --yes. Analysts see accepted doubts in
    crm.known_gaps. If the difference changes later, that is a new doubt.
    """
    params.check_resources([resource])
    engine = at_head().engine
    with reading(engine) as connection:
        known = store_with_key(connection, name)
        found = doubts.open_doubts(connection, known.id, resource)
        failing = rereads.failing(connection, known.id, resource)
    if not found and not failing:
        raise BadRequest(f"Nothing of {resource} is in doubt.")
    for record, error in failing.items():
        click.echo(f"  record {record} cannot be had: {error}")
    for doubt in found:
        click.echo(f"  {doubt.days}: {doubt.detail} (since {doubt.since:%Y-%m-%d %H:%M} UTC)")
    if not yes:
        click.echo("Nothing was accepted; to accept it, say --yes.")
        return
    who = by or getpass.getuser()
    ids = [doubt.id for doubt in found]
    for attempt in attempts(engine):
        with attempt as connection:
            done = operations.accept(connection, known, resource, ids, by=who, because=because)
    click.echo(f"{done} accepted by {who}: {resource} of {name} is complete without.")


@click.command(epilog=examples("reset shop orders"))
@click.argument("name")
@click.argument("resource")
def reset(name: str, resource: str) -> None:
    """Load a resource from the start. Its rows stay readable; coverage waits for the new proof.

    The feed and its bookmark stay: changes made meanwhile are followed as before.
    """
    params.check_resources([resource])
    for attempt in attempts(at_head().engine):
        with attempt as connection:
            known = store_with_key(connection, name)
            require_selected(connection, known, resource)
            lanes.fence(connection, known.id, resource)
            dropped = accounts.drop_crawls(connection, known.id, resource)
            coverage.withdraw(connection, known.id, resource)
            lanes.release_parked(connection, known.id, resource)
            accounts.load_anew(connection, known.id, RESOURCES[resource])
    also = f" ({dropped} open crawls dropped)" if dropped else ""
    click.echo(f"{resource} of {name} is loaded anew{also}; its rows stay readable.")


@click.command(epilog=examples("resource shop cost_items off", "resource shop cost_items on"))
@click.argument("name")
@click.argument("resource")
@click.argument("turn", type=click.Choice(["on", "off"]))
def resource(name: str, resource: str, turn: str) -> None:
    """Choose what a store mirrors. Rows of a resource turned off stay and are no longer updated."""
    params.check_resources([resource])
    for attempt in attempts(at_head().engine):
        with attempt as connection:
            changed = _turn(connection, store_with_key(connection, name), resource, turn)
    if changed:
        click.echo(f"{name}: {', '.join(changed)} {'are' if len(changed) > 1 else 'is'} {turn}.")
    else:
        click.echo(f"{name}: {resource} was {turn} already.")


def _turn(connection: sa.Connection, known: Store, resource: str, turn: str) -> list[str]:
    """Turn a resource on, with those it needs, or off; return the names that were changed."""
    stores.register(connection, [known.id], RESOURCES.values())
    selected = accounts.selected(connection, known.id)
    names = _needed(resource) if turn == "on" else [resource]
    if turn == "off":
        _require_unneeded(resource, selected)
    changed = [each for each in names if (each in selected) != (turn == "on")]
    coverage.select(connection, known.id, changed, is_on=turn == "on")
    lanes.set_lanes(connection, known.id)
    for each in changed:
        if turn == "on" and _is_unloaded(connection, known, each):
            accounts.load_anew(connection, known.id, RESOURCES[each])
    return changed


def _needed(name: str) -> list[str]:
    """Return the resources to turn on for this one, dependencies first.

    A list needs its history, a history needs the list of its records, and a resource that is read
    once per parent needs the parent.
    """
    changes, listing = RESOURCES[name].changes, RESOURCES[name].listing
    if isinstance(listing, SinceId):
        return [listing.target, name]
    parent = RESOURCES[name].parent
    before = _needed(parent.resource) if parent is not None else []
    return [*before, *([changes.by] if isinstance(changes, HistoryFeed) else []), name]


def _require_unneeded(name: str, selected: list[str]) -> None:
    if name == "credentials":
        raise BadRequest(
            "credentials say what the key may see, which decides what an absence means"
        )
    for other in selected:
        changes = RESOURCES[other].changes if other in RESOURCES else None
        if isinstance(changes, HistoryFeed) and changes.by == name and other != name:
            raise BadRequest(f"{other} is followed by {name}: turn {other} off first.")


def _is_unloaded(connection: sa.Connection, known: Store, name: str) -> bool:
    return bool(
        connection.execute(
            sa.text(
                "SELECT c.proven_as_of IS NULL AND c.complete_as_of IS NULL AND NOT EXISTS ("
                " SELECT FROM sync.crawl AS w WHERE w.store_id = c.store_id"
                " AND w.resource = c.resource AND w.state IN ('pending', 'running'))"
                " FROM sync.coverage AS c WHERE c.store_id = :s AND c.resource = :r"
            ),
            {"s": known.id, "r": name},
        ).scalar()
    )
