"""Commands retry, approve, accept, reset, resource: answers to a line of `status`."""

from __future__ import annotations

import getpass

import click

from sync.commands import params
from sync.commands.services import at_head
from sync.commands.shell import examples, say
from sync.database.engine import attempts, reading
from sync.errors import BadRequest
from sync.state import acts, doubts, operations, rereads
from sync.state.operations import store_with_key


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
            acts.note(connection, "retry", store=name, detail=", ".join(wanted))
    lanes = "1 lane is" if released == 1 else f"{released} lanes are"
    say(f"{lanes} released." if released else "Nothing was parked or failing.")


@click.command(epilog=examples("approve shop statuses"))
@click.argument("name")
@click.argument("resource")
def approve(name: str, resource: str) -> None:
    """Confirm that rows which vanished in the CRM may be marked deleted.

    The list is read once more first, and what it shows again stays.
    """
    params.check_resources([resource])
    for attempt in attempts(at_head().engine):
        with attempt as connection:
            waited = operations.approve(connection, store_with_key(connection, name), resource)
            acts.note(connection, "approve", store=name, detail=f"{resource}: {waited}")
    say(f"Approved: {waited.partition(';')[0]}. {resource} is read again now.")


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
        say(f"  record {record} cannot be had: {error}")
    for doubt in found:
        say(f"  {doubt.days}: {doubt.detail} (since {doubt.since:%Y-%m-%d %H:%M} UTC)")
    if not yes:
        say("Nothing was accepted; to accept it, say --yes.")
        return
    who = by or getpass.getuser()
    ids = [doubt.id for doubt in found]
    for attempt in attempts(engine):
        with attempt as connection:
            done = operations.accept(connection, known, resource, ids, by=who, because=because)
            acts.note(connection, "accept", store=name, detail=f"{resource}: {because}")
    say(f"{done} accepted by {who}: {resource} of {name} is complete without.")


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
            dropped = operations.reset(connection, store_with_key(connection, name), resource)
            acts.note(connection, "reset", store=name, detail=resource)
    also = f" ({dropped} open crawls dropped)" if dropped else ""
    say(f"{resource} of {name} is loaded anew{also}; its rows stay readable.")


@click.command(epilog=examples("resource shop cost_items off", "resource shop cost_items on"))
@click.argument("name")
@click.argument("resource")
@click.argument("turn", type=click.Choice(["on", "off"]))
def resource(name: str, resource: str, turn: str) -> None:
    """Choose what a store mirrors. Rows of a resource turned off stay and are no longer updated."""
    params.check_resources([resource])
    for attempt in attempts(at_head().engine):
        with attempt as connection:
            changed = operations.turn(
                connection, store_with_key(connection, name), resource, is_on=turn == "on"
            )
            acts.note(connection, f"resource {turn}", store=name, detail=", ".join(changed))
    if changed:
        say(f"{name}: {', '.join(changed)} {'are' if len(changed) > 1 else 'is'} {turn}.")
    else:
        say(f"{name}: {resource} was {turn} already.")
