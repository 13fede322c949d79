"""why: one record, its version, what it waits for, its history; --fresh: the CRM's beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

import click

from sync.commands.services import asking_store, at_head
from sync.commands.shell import ATTENTION, examples, say, say_json
from sync.commands.status import utc_text
from sync.database.engine import reading
from sync.declare import Resource
from sync.errors import BadRequest
from sync.resources import RESOURCES
from sync.state import one_record
from sync.state.one_record import OneRecord
from sync.state.operations import store_with_key
from sync.telemetry import scrubbed
from sync.work.compare_now import Difference, Now, differences, read_now


@click.command(
    epilog=examples("why shop order 3650", "why shop customer 81 --fresh", "why shop status new")
)
@click.argument("name")
@click.argument("resource")
@click.argument("key")
@click.option("--fresh", is_flag=True, help="Read it from the CRM now and say what differs.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
def why(name: str, resource: str, key: str, fresh: bool, as_json: bool) -> None:
    """Tell all about one record: is it here, since when, from what, what does it wait for?

    KEY is its id or code, its number, or its id in the shop. Nothing is changed, also not by
    --fresh, which takes one request. Exit status 1: it is not here, or --fresh found a difference.
    """
    declared = _resource(resource)
    found = at_head()
    with reading(found.engine) as connection:
        store = store_with_key(connection, name)
        keys = one_record.keys(connection, store.id, declared, key)
        if not keys:
            raise BadRequest(f"{name} has no {declared.singular} with the number {key!r}.")
        if len(keys) > 1:
            ids = ", ".join(map(str, keys))
            raise BadRequest(f"Several {declared.name} are called {key!r}: name one of {ids}.")
        told = one_record.look_up(connection, store, declared, keys[0])
    now, differs = None, []
    if fresh:
        now = read_now(asking_store(found, store), declared, told.key)
        differs = list(differences((told.row or {}).get("raw"), now.record)) if now.record else []
    if as_json:
        say_json(_as_object(told, now, differs), default=str)
    else:
        for line in (*_lines(told), *(_compared(told, now, differs) if now else ())):
            say(line)
    is_right = told.is_live if now is None else not differs and told.is_live == bool(now.record)
    raise click.exceptions.Exit(0 if is_right else ATTENTION)


def _resource(name: str) -> Resource:
    found = one_record.resource_of(name)
    if found is None:
        singles = {each.singular for each in RESOURCES.values()}
        near = get_close_matches(name, sorted(singles | set(RESOURCES)), 1)
        hint = f" Did you mean {near[0]!r}?" if near else f" There are: {', '.join(RESOURCES)}."
        raise BadRequest(f"There is no resource {name!r}.{hint}")
    return found


def _lines(told: OneRecord) -> Iterator[str]:
    what = f"{told.resource.singular} {told.key} of {told.store.name}"
    row = told.row
    if row is None:
        yield f"{what} is not here."
    elif not told.is_live:
        yield f"{what} was deleted at {row['deleted_at']:%Y-%m-%d %H:%M:%S} UTC, as {_reason(row)}."
    else:
        named = [f"{n} {row[n]}" for n in ("number", "external_id") if row.get(n) is not None]
        yield f"{what} is here" + (f" ({', '.join(named)})." if named else ".")
    if row is not None:
        yield f"  as of         {utc_text(row['as_of'])}: {told.came}"
        yield f"  changed here  {utc_text(row['changed_at'])}"
        yield f"  first seen    {utc_text(row['first_seen_at'])}"
        digest = row["content_hash"]
        yield f"  hash          {bytes(digest).hex() if digest is not None else '–'}"
    if told.link:
        yield f"  in the CRM    {told.link}"
    for title, lines in (
        ("Waits for", told.waits),
        ("Read next", told.soon),
        ("Rejected in it", [f"{f}: {why}" for f, _, why, _ in told.rejects]),
        (
            "Its history, newest first",
            [f"{e.id}  {'–' if e.at is None else utc_text(e.at)}  {e.told}" for e in told.entries],
        ),
    ):
        if lines:
            yield f"{title}:"
            yield from (f"  {line}" for line in lines)
    if not told.waits:
        yield "It waits for nothing."


def _reason(row: Any) -> str:
    combined = row.get("combined_to")
    into = f", into {combined}" if combined else ""
    return {
        "history": "its history tells",
        "combined": f"it was combined{into}",
        "not_found": "the CRM answers 404 for it",
        "absent": "its list lacks it",
        "erased": "an erasure asked for",
    }.get(row["deleted_reason"], str(row["deleted_reason"]))


def _compared(told: OneRecord, now: Now, differs: list[Difference]) -> Iterator[str]:
    asked = utc_text(now.asked_at)
    if not now.record:
        yield f"The CRM has no such record (asked at {asked})." + (
            " The row here is live: it is found and marked deleted by its history or the next "
            "comparison." if told.is_live else ""
        )  # fmt: skip
        return
    if told.row is None or not told.is_live:
        yield f"The CRM has it (asked at {asked}), and it is not live here."
        return
    if not differs:
        yield f"The CRM has the same content (asked at {asked})."
        return
    yield f"The CRM has other content (asked at {asked}); here → there:"
    for each in differs:
        yield f"  {each.path}: {_shown(each.here)} → {_shown(each.there)}"


def _shown(value: Any) -> str:
    # Before it is cut: of a secret cut in two, half would stay.
    text = scrubbed(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= 200 else f"{text[:199]}…"


def _as_object(told: OneRecord, now: Now | None, differs: list[Difference]) -> dict[str, Any]:
    row = told.row
    moments = ("as_of", "changed_at", "first_seen_at", "deleted_at")
    return {
        "store": told.store.name,
        "resource": told.resource.name,
        "key": told.key,
        "here": row is not None,
        "live": told.is_live,
        **{n: None if not row or not row[n] else utc_text(row[n]) for n in moments},
        "deleted_reason": None if row is None else row["deleted_reason"],
        "came": told.came or None,
        "link": told.link or None,
        "waits": told.waits,
        "soon": told.soon,
        "rejects": [{"field": f, "value": v, "reason": why} for f, v, why, _ in told.rejects],
        "history": [
            {"id": e.id, "at": None if e.at is None else utc_text(e.at), "told": e.told}
            for e in told.entries
        ],
        "fresh": None
        if now is None
        else {
            "asked_at": utc_text(now.asked_at),
            "exists": bool(now.record),
            "differs": [{"path": d.path, "here": d.here, "there": d.there} for d in differs],
        },
    }
