"""All that is known of the service at this moment, and the verdict on it.

The command `status`, its JSON and the status page look through here, so that they never disagree.
A server that does not answer is a fact like others: nothing here raises for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sync.broker import fitness
from sync.crm import Report
from sync.database.engine import reading
from sync.errors import NeedsOperator, SyncError, TryLater
from sync.resources import RESOURCES
from sync.state import heartbeat, stores
from sync.state import status as look
from sync.state.status import StoreStatus
from sync.telemetry import scrubbed
from sync.verdict import Facts, Verdict, judge
from sync.work import surroundings
from sync.work.services import Services, require_secret_key

QUEUES = ("feeds", "crawls")
SLOWED_SHARE = 0.8
"""The share of the limit below which a pace is told: a margin for the network is no trouble."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """The verdict, the stores it is about (those in need first), and the request budgets.

    `reports` is empty without Redis.
    """

    verdict: Verdict
    stores: list[StoreStatus] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)


def look_out(services: Services, name: str | None = None) -> Outlook:
    """Look at everything, or at one store and what it depends on.

    BadRequest for a store that does not exist.
    """
    redis = fitness.look(services.redis)
    try:
        with reading(services.engine) as connection:
            told = look.by_need(
                look.statuses(connection, look.chosen(connection, name), order=list(RESOURCES))
            )
            signs = heartbeat.signs(connection, queues=QUEUES)
            names = {each.id: each.name for each in stores.every(connection)}
    except TryLater as error:
        return Outlook(judge(Facts(postgres=scrubbed(str(error)))))
    reports = _reports(services) if redis.refusal is None else []
    waiting = sum(services.waiting(queue) for queue in QUEUES) if redis.refusal is None else 0
    return Outlook(
        judge(
            Facts(
                redis=redis.refusal or "",
                secret_key=_secret_key(services),
                consumed=signs.consumed,
                beat=signs.beat,
                workers=signs.workers,
                waiting=waiting,
                frozen={r.egress: r.frozen_seconds for r in reports if r.frozen_seconds},
                slowed={
                    r.egress: (r.pace, r.limit)
                    for r in reports
                    if r.pace < SLOWED_SHARE * r.limit and not r.frozen_seconds
                },
                paused={
                    names[store]: seconds
                    for report in reports
                    for store, seconds in report.paused_seconds.items()
                    if store in names and name in {None, names[store]}
                },
                dangers=surroundings.dangers(services, redis),
                stores=[each.facts for each in told],
            )
        ),
        told,
        reports,
    )


def _reports(services: Services) -> list[Report]:
    try:
        return list(services.limiter.reports())
    except TryLater:
        return []


def _secret_key(services: Services) -> str:
    try:
        require_secret_key(services)
    except NeedsOperator as error:
        return str(error)
    except SyncError:
        return ""
    return ""
