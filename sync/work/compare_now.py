"""One record as the CRM has it now, beside the row that is kept of it. Nothing is written."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sync.crm.budget.slot import Priority
from sync.declare import Resource, SinglePage
from sync.errors import BadRequest, NotFound
from sync.records.jsonb import storable
from sync.work.session import Session

MISSING = "–"


@dataclass(frozen=True, slots=True)
class Difference:
    """A value that differs: where in the record, what is kept, what the CRM has."""

    path: str
    here: Any
    there: Any


@dataclass(frozen=True, slots=True)
class Now:
    """The CRM's answer: `record` is None where it has none; `asked_at` is the send moment."""

    record: Any
    asked_at: dt.datetime


def read_now(api: Session, resource: Resource, key: Any) -> Now:
    """Request one record; BadRequest where the API gives no way to read it alone."""
    if resource.single and isinstance(key, int):
        path = resource.single.replace("{id}", str(key))
        try:
            reply = api.ask(path, {"by": "id"}, priority=Priority.FEED)
        except NotFound as absence:
            return Now(None, absence.sent_at or dt.datetime.now(dt.UTC))
        return Now(reply.data.get(resource.single_key), reply.as_of)
    if resource.is_followed and isinstance(key, int):
        asked: dict[str, Any] = {"filter": {"ids": [key]}, "limit": 100}
    elif isinstance(resource.listing, SinglePage) and resource.parent is None:
        asked = {}
    else:
        raise BadRequest(
            f"The API has no method for one record of {resource.name}; reconcile it instead."
        )
    reply = api.ask(resource.path, {**dict(resource.params), **asked}, priority=Priority.FEED)
    mine = [
        record
        for record in reply.records(resource)
        if isinstance(record, dict) and str(record.get(resource.key)) == str(key)
    ]
    return Now(mine[0] if mine else None, reply.as_of)


def differences(here: Any, there: Any, path: str = "") -> Iterator[Difference]:
    """Yield what differs between the record as it is kept and as the CRM sends it now.

    Members are compared by name, lists by place. What Postgres cannot store was replaced in what
    is kept, and is replaced here too.
    """
    if path == "":
        there = _as_kept(there)
    if isinstance(here, Mapping) and isinstance(there, Mapping):
        for name in sorted({*here, *there}):
            below = f"{path}.{name}" if path else str(name)
            yield from differences(here.get(name, MISSING), there.get(name, MISSING), below)
    elif isinstance(here, list) and isinstance(there, list) and len(here) == len(there):
        for number, (mine, other) in enumerate(zip(here, there, strict=True)):
            yield from differences(mine, other, f"{path}[{number}]")
    elif not _is_equal(here, there):
        yield Difference(path, here, there)


def _is_equal(here: Any, there: Any) -> bool:
    """Compare values as JSON has them: 10 and 10.0 are one number, 1 and true are not."""
    if isinstance(here, bool) or isinstance(there, bool):
        return here is there
    numbers = int | float
    if isinstance(here, numbers) and isinstance(there, numbers):
        return float(here) == float(there)
    return bool(here == there)


def _as_kept(record: Any) -> Any:
    import json

    return json.loads(storable(record).raw)
