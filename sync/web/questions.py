"""Questions asked before something big is done from the page: what it does, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sync.forecast import duration
from sync.resources import RESOURCES
from sync.settings import Settings
from sync.state.status import StoreStatus

BIG = 600
"""Requests from which on a choice of lists is asked about: a minute of the whole budget."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question, its consequence and its cost, and the words on the button."""

    title: str
    text: str
    cost: str
    button: str


def question(
    what: str,
    told: StoreStatus,
    *,
    names: Sequence[str],
    settings: Settings,
    some_days: bool = False,
) -> Question | None:
    """Return the question before an action; None for an action that is not asked about."""
    store = told.store.name
    chosen = ", ".join(name for name in names if name) or f"all {len(told.wanted)} resources"
    requests = requests_of(told, names)
    minutes = duration(requests / settings.rate_limit)
    cost = (
        f"{'At most' if some_days else 'About'} {requests:,} requests of the shared budget:"
        f" {minutes} if nobody else needs it."
    )
    return {
        "disable": Question(
            f"Disable {store}?",
            "Its rows stay readable and are no longer updated. Enabling it again continues where "
            "it stopped, and reads what its histories tell meanwhile.",
            "No request. Analysts see from crm.coverage that it is disabled.",
            f"Disable {store}",
        ),
        "backfill": Question(
            f"Backfill {chosen} of {store}?",
            "The lists are read again from beginning to end, or the days chosen. Rows that are "
            "equal are not written; nothing is deleted by this.",
            cost,
            "Backfill",
        ),
        "reconcile": Question(
            f"Compare {chosen} of {store}, ids and contents?",
            "Every record is read and compared. What differs is read again, and what is proven to "
            "be gone in the CRM is marked deleted here.",
            cost,
            "Reconcile",
        ),
        "reset": Question(
            f"Load {chosen} of {store} anew?",
            "Its rows stay readable, but nothing is called complete until they are proven again.",
            cost,
            "Load anew",
        ),
        "rebuild": Question(
            f"Rebuild {chosen} of {store}?",
            "The columns are computed again from the stored JSON. Coverage waits until it is done.",
            "No request; Postgres writes every row whose columns change.",
            "Rebuild",
        ),
        "key": Question(
            f"Give {store} another key?",
            "Type a key of the same account; one of another account is refused. It is checked, "
            "encrypted and never shown again. The histories and lists go on where they are; a key "
            "that sees more sites has the lists read again.",
            "Three requests, for the account's name, zone and rights.",
            "Check it and use it",
        ),
        "pause": Question(
            f"Stop mirroring {chosen} of {store}?",
            "Its rows stay and are no longer updated, until it is turned on again.",
            "No request.",
            "Turn off",
        ),
        "resume": Question(
            f"Mirror {chosen} of {store}?",
            "What it depends on is turned on with it. It is loaded if it never was, and updated "
            "from then on.",
            "A request for each page of a list that is loaded, or for each record that it is of; "
            "none where it was loaded before.",
            "Turn on",
        ),
    }.get(what)


def requests_of(told: StoreStatus, names: Sequence[str]) -> int:
    """Return the requests that reading lists takes, by the rows that are here."""
    rows = {line.resource: line.expected or line.mirrored for line in told.wanted}
    total = 0
    for name in [each for each in names if each in RESOURCES] or list(rows):
        declared = RESOURCES[name]
        if declared.parent is not None:
            total += rows.get(declared.parent.resource, 0)
        else:
            total += max(1, math.ceil(rows.get(name, 0) / declared.page_size))
    return total
