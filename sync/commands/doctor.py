"""doctor: every precondition, each with its cure; probe: what a live account answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from sync.commands.services import asking_store, at_head, opened
from sync.commands.shell import ATTENTION, NotReady, examples, say, say_json
from sync.database.engine import reading
from sync.errors import NeedsOperator
from sync.state.operations import store_with_key
from sync.work.preconditions import Finding, findings
from sync.work.probing import Answer, probe_account


@click.command(epilog=examples("doctor", "doctor --all", "doctor --no-reach"))
@click.option("--all", "show_all", is_flag=True, help="Also what is as it should be.")
@click.option("--no-reach", is_flag=True, help="Do not connect to the accounts' hosts.")
@click.option(
    "--before-migrate", is_flag=True, help="The schema is not there yet, and is not looked for."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
def doctor(show_all: bool, no_reach: bool, before_migrate: bool, as_json: bool) -> None:
    """Check everything that the mirror needs: servers, rights, settings, clocks, disk, network.

    Changes nothing, and uses no request of the budget. Exit status 0: all of it holds, or only
    advice is left; 1: something has to be mended first; 3: the settings cannot be read.
    """
    found = opened()
    try:
        found.urls  # noqa: B018  starts the embedded servers, where they are used
    except NeedsOperator as error:
        raise NotReady(str(error)) from error
    told = list(findings(found, has_schema=not before_migrate, reach=not no_reach))
    if as_json:
        say_json(_as_object(told))
    else:
        for line in lines(told, show_all=show_all):
            say(line)
    is_wrong = any(not each.holds and each.is_needed for each in told)
    raise click.exceptions.Exit(ATTENTION if is_wrong else 0)


def lines(told: list[Finding], *, show_all: bool = False) -> Iterator[str]:
    """Yield the verdict first, then what is wrong, then what could be better."""
    wrong = [each for each in told if not each.holds and each.is_needed]
    advice = [each for each in told if not each.holds and not each.is_needed]
    holds = sum(each.holds for each in told)
    if wrong:
        yield f"{len(wrong)} of {len(told)} preconditions do not hold:"
    else:
        yield f"Ready: {holds} of {len(told)} checks hold" + (
            f", {len(advice)} could be better." if advice else "."
        )
    for mark, some in (("NO ", wrong), ("-- ", advice)):
        for each in some:
            yield f"{mark} {each.what}" + (f": {each.found}" if each.found else "")
            if each.cure:
                yield f"      {each.cure}"
    if show_all:
        for each in told:
            if each.holds:
                yield f"ok  {each.what}" + (f" ({each.found})" if each.found else "")


def _as_object(told: list[Finding]) -> dict[str, Any]:
    return {
        "ready": all(each.holds or not each.is_needed for each in told),
        "checks": [
            {
                "what": each.what,
                "holds": each.holds,
                "needed": each.is_needed,
                "found": each.found or None,
                "cure": each.cure or None,
            }
            for each in told
        ],
    }


@click.command(epilog=examples("probe shop", "probe shop --json > shop-probe.json"))
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, fit to be sent to us.")
def probe(name: str, as_json: bool) -> None:
    """Try on a live account what is known of the API from papers alone: about twenty requests.

    Reads only. The answers hold no personal data: counts, ids' order, names of headers and fields.
    What contradicts this service's picture of the API is said at once, and nothing is changed by
    it. Exit status 0: as expected; 1: something is otherwise.
    """
    found = at_head()
    with reading(found.engine) as connection:
        store = store_with_key(connection, name)
    told = list(probe_account(asking_store(found, store), zone=store.zone))
    if as_json:
        say_json({"answers": [_answer(each) for each in told]})
    else:
        for line in _table(told):
            say(line)
    others = any(each.holds is False for each in told)
    raise click.exceptions.Exit(ATTENTION if others else 0)


def _answer(each: Answer) -> dict[str, Any]:
    return {
        "assumption": each.assumption,
        "holds": each.holds,
        "answer": each.answer,
        "consequence": each.consequence or None,
    }


def _table(told: list[Answer]) -> Iterator[str]:
    others = [each for each in told if each.holds is False]
    unknown = sum(each.holds is None for each in told)
    yield f"{len(told)} assumptions: {len(told) - len(others) - unknown} hold, {len(others)} do" + (
        f" not, {unknown} could not be told."
    )
    for each in sorted(told, key=lambda a: a.holds is not False):
        mark = {True: "as expected", False: "OTHERWISE", None: "not known"}[each.holds]
        yield f"{mark:11}  {each.assumption}: {each.answer}"
        if each.holds is False:
            yield f"             {each.consequence}"
