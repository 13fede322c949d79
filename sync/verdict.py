"""The judgement of the whole service: is it well, and if not, what first. No I/O.

The command `status`, its JSON and the status page show what `judge` says of the same facts. Causes
come in the order in which a person should look at them: a server that does not answer before a
store that is refused, a refused store before one of its lists, what mends itself last. What follows
from another cause is counted with it and is no line of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from sync.forecast import Way, duration

QUIET_SECONDS = 25.0
"""A queue gets a message every five seconds: one that was not consumed for so long has no worker,
and a beat that was not heard of for so long is gone."""
NAMED = 3
"""Names in a sentence; the others are counted."""
SEVERAL = 3
"""Stores that say the same from which on it is one line."""
WORKERS = "celery -A sync worker -Q feeds,crawls"
BEAT = "celery -A sync beat"


class Need(IntEnum):
    """Kinds of trouble, by who has to look at them first."""

    POSTGRES = 1
    REDIS = 2
    SECRET_KEY = 3
    WORKER = 4
    BEAT = 5
    STOPPED = 10  # a whole store waits for a person
    APPROVAL = 11  # rows vanished from a list: a person confirms
    PARKED = 12  # not tried again until `retry`
    DOUBT = 13  # compared in vain: a person accepts it or mends the CRM
    OVERDUE = 14  # a list was not read for longer than its interval
    HIDDEN = 15  # the key does not see it, or not all of it
    NEW = 20  # no worker has run yet
    LIMIT = 21  # refused with 503, so that nobody sends for a while
    FAILING = 22  # tried again by itself
    UNREAD = 23  # single records that cannot be had, requested again by itself
    DANGER = 24  # around the service: works now, should be changed

    @property
    def is_down(self) -> bool:
        """True when nothing at all goes on."""
        return self <= Need.BEAT

    @property
    def is_for_a_person(self) -> bool:
        """True when it does not mend itself."""
        return self < Need.NEW

    @property
    def is_passing(self) -> bool:
        """True when it mends itself."""
        return Need.NEW < self < Need.DANGER

    @property
    def word(self) -> str:
        """The name in JSON."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something wrong with a resource, or with a store as a whole (`resource` is empty).

    `text` is the whole sentence with its cure. `reason` is the part that others may share with it.
    """

    resource: str
    text: str
    need: Need = Need.FAILING
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """Facts about a store. `load` is its first load, None when there is none.

    `resources` is the number of resources that it mirrors.
    """

    name: str
    enabled: bool = True
    troubles: Sequence[Trouble] = ()
    load: Way | None = None
    resources: int = 0
    rows: int = 0
    lag_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts about the service: empty texts are good news.

    consumed   seconds since a worker took something from each queue; None for never
    beat       seconds since a worker took something that beat sent regularly; None for never
    workers    processes that have a heartbeat
    waiting    messages in the queues
    frozen     seconds for which nobody may send, by address
    slowed     requests a second allowed now, and by the API, where refusals have slowed an address
    paused     seconds for which a store may not send after refusals, by name
    dangers    sentences about what should be changed around the service
    """

    postgres: str = ""
    redis: str = ""
    secret_key: str = ""
    consumed: Mapping[str, float | None] = field(default_factory=dict)
    beat: float | None = None
    workers: int = 0
    waiting: int = 0
    frozen: Mapping[str, float] = field(default_factory=dict)
    slowed: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    paused: Mapping[str, float] = field(default_factory=dict)
    dangers: Sequence[str] = ()
    stores: Sequence[StoreFacts] = ()


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that is wrong, and all that depends on it.

    `places` are (store, resource) with an empty resource for a whole store; none for the service.
    `depends` is the number of resources that wait for it.
    """

    need: Need
    text: str
    places: tuple[tuple[str, str], ...] = ()
    depends: int = 0
    command: str = ""

    @property
    def stores(self) -> list[str]:
        """The stores concerned, each once."""
        return list(dict.fromkeys(store for store, _ in self.places))

    @property
    def resources(self) -> list[str]:
        """The resources concerned, each once; none for whole stores."""
        return list(dict.fromkeys(resource for _, resource in self.places if resource))

    @property
    def where(self) -> str:
        """`shop orders and 4 more`; empty for the service as a whole."""
        stores, resources = self.stores, self.resources
        if not stores:
            return ""
        if len(stores) > 1:
            return _named(stores, "store")
        return " ".join([stores[0], _named(resources, "")]).strip()

    @property
    def line(self) -> str:
        """The cause as one line for people."""
        told = f"{self.where}: {self.text}" if self.where else self.text
        return f"{told} ({self.depends} resources wait for it)" if self.depends > 1 else told


@dataclass(frozen=True, slots=True)
class Verdict:
    """The first line, and its causes in order.

    `level`: down, attention, waiting (it mends itself), new (no worker yet), loading, well, empty.
    """

    level: str
    text: str
    causes: tuple[Cause, ...] = ()

    @property
    def is_trouble(self) -> bool:
        """True when somebody should look: the exit status of `status` is 1."""
        return self.level in {"down", "attention", "waiting"}


def judge(facts: Facts) -> Verdict:
    """Return the verdict on the service."""
    enabled = [each for each in facts.stores if each.enabled]
    service = list(_of_service(facts, is_asked=bool(enabled)))
    downs = [cause for cause in service if cause.need.is_down]
    causes = _of_stores(enabled, hidden=_follow(downs))
    ordered = sorted([*service, *causes], key=lambda cause: cause.need)
    if downs:
        first = downs[0]
        return Verdict("down", first.text, tuple(ordered))
    if not facts.stores:
        return Verdict("empty", "No store has been added yet.", tuple(ordered))
    level, text = _words(enabled, ordered, of=len(facts.stores))
    return Verdict(level, text, tuple(ordered))


def _of_service(facts: Facts, *, is_asked: bool) -> list[Cause]:
    """Return what is wrong with the service itself; what a lost server explains is left out."""
    found: list[Cause] = []
    if facts.postgres:
        return [Cause(Need.POSTGRES, f"Postgres does not answer: {facts.postgres}")]
    if facts.redis:
        found.append(
            Cause(Need.REDIS, f"Redis does not answer, so nothing is requested: {facts.redis}")
        )
    if facts.secret_key:
        found.append(Cause(Need.SECRET_KEY, facts.secret_key))
    if not facts.redis and is_asked:
        found += _of_workers(facts)
    for egress, seconds in facts.frozen.items():
        found.append(
            Cause(
                Need.LIMIT,
                f"RetailCRM refused requests from the address {egress} (503): nobody sends for "
                f"{duration(seconds)} more, then slower. Nothing is lost.",
            )
        )
    for egress, (pace, limit) in facts.slowed.items():
        found.append(
            Cause(
                Need.LIMIT,
                f"Refusals (503) have slowed requests from the address {egress} to {pace:.1f} of "
                f"{limit:g} a second; the pace recovers by itself.",
            )
        )
    found += [
        Cause(
            Need.LIMIT,
            f"its account refuses requests (503): it is asked again in {duration(seconds)}, by "
            "itself",
            places=((store, ""),),
        )
        for store, seconds in facts.paused.items()
    ]
    found += [Cause(Need.DANGER, text) for text in facts.dangers]
    return found


def _of_workers(facts: Facts) -> list[Cause]:
    """Say what does not run: a worker, or beat."""
    ages = {queue: math.inf if age is None else age for queue, age in facts.consumed.items()}
    if ages and all(math.isinf(age) for age in ages.values()):
        text = f"No worker has taken work yet. Start both: {WORKERS}, and {BEAT}"
        return [Cause(Need.NEW, text, command=WORKERS)]
    silent = {queue: age for queue, age in ages.items() if age > QUIET_SECONDS}
    is_beat_gone = facts.beat is not None and facts.beat > QUIET_SECONDS
    # Slices that end and dispatches after nudges are signs of a queue too. Without beat they are
    # the only ones, so that one queue may fall silent before the other while a worker takes both.
    if is_beat_gone and (not silent or (facts.workers and not facts.waiting)):
        return [_beat(facts.beat or 0.0)]
    if not silent:
        return []
    if len(silent) < len(ages):
        [(queue, age)] = silent.items()
        since = "yet" if math.isinf(age) else f"for {duration(age)}"
        return [
            Cause(
                Need.WORKER,
                f"No worker has taken work from the queue {queue} {since}: celery -A sync worker "
                f"-Q {queue}",
                command=f"celery -A sync worker -Q {queue}",
            )
        ]
    age = max(age for age in silent.values() if not math.isinf(age))
    if facts.workers and not facts.waiting:
        return [_beat(facts.beat or age)]  # beat was never heard of, or fell silent just now
    also = "" if facts.waiting else f", and beat has sent none: {BEAT}, and"
    return [
        Cause(
            Need.WORKER,
            f"No worker has taken work for {duration(age)}{also or ':'} {WORKERS}",
            command=WORKERS,
        )
    ]


def _beat(seconds: float) -> Cause:
    return Cause(
        Need.BEAT,
        f"Beat has sent nothing for {duration(seconds)}, so no new work begins: {BEAT}",
        command=BEAT,
    )


def _follow(downs: Sequence[Cause]) -> frozenset[Need]:
    """Return the needs that are consequences while these last: no lines of their own."""
    if not downs:
        return frozenset()
    return frozenset({Need.FAILING, Need.OVERDUE, Need.UNREAD, Need.LIMIT})


def _of_stores(enabled: Sequence[StoreFacts], *, hidden: frozenset[Need]) -> list[Cause]:
    groups: dict[tuple[Need, str, str], list[tuple[str, Trouble]]] = {}
    shared: dict[tuple[Need, str], set[str]] = {}
    for store in enabled:
        for trouble in store.troubles:
            key = (trouble.need, trouble.reason or trouble.text)
            shared.setdefault(key, set()).add(store.name)
    for store in enabled:
        for trouble in store.troubles:
            if trouble.need in hidden:
                continue
            key = (trouble.need, trouble.reason or trouble.text)
            owner = "" if len(shared[key]) >= SEVERAL else store.name
            groups.setdefault((*key, owner), []).append((store.name, trouble))
    sizes = {store.name: store.resources for store in enabled}
    return [_grouped(need, reason, members, sizes) for (need, reason, _), members in groups.items()]


def _grouped(
    need: Need, reason: str, members: Sequence[tuple[str, Trouble]], sizes: Mapping[str, int]
) -> Cause:
    places = tuple((store, trouble.resource) for store, trouble in members)
    depends = sum(sizes[store] for store, trouble in members if not trouble.resource)
    if len(members) == 1:
        return Cause(need, members[0][1].text, places, depends, _command(need, places))
    command = _command(need, places)
    text = f"{reason}; then: {command}" if command and need is Need.PARKED else reason
    if need is Need.FAILING:
        text = f"{reason}; tried again by itself"
    return Cause(need, text, places, depends, command)


def _command(need: Need, places: Sequence[tuple[str, str]]) -> str:
    """Return the command that answers a cause in one store; empty where there is none."""
    verb = {Need.PARKED: "retry", Need.APPROVAL: "approve", Need.DOUBT: "accept"}.get(need)
    stores = {store for store, _ in places}
    if verb is None or len(stores) != 1:
        return ""
    store, resource = places[0]
    if len(places) > 1:
        return f"celery -A sync mirror retry {store}" if need is Need.PARKED else ""
    return f"celery -A sync mirror {verb} {store} {resource}"


def _words(enabled: Sequence[StoreFacts], causes: Sequence[Cause], *, of: int) -> tuple[str, str]:
    """Return the level and the first line of a service that works."""
    mine = [cause for cause in causes if cause.places and cause.need is not Need.LIMIT]
    people = [cause for cause in mine if cause.need.is_for_a_person]
    if chosen := people or mine:
        names = list(dict.fromkeys(name for cause in chosen for name in cause.stores))
        one = len(names) == 1
        said = (
            "fails, and is tried again by itself"
            if one
            else ("fail, and are tried again by themselves")
        )
        if people:
            said = "needs a person" if one else "need a person"
        level = "attention" if people else "waiting"
        return level, f"{len(names)} of {_stores(of)} {said}: {chosen[0].line}"
    if any(cause.need is Need.NEW for cause in causes):
        return "new", next(c.text for c in causes if c.need is Need.NEW)
    limits = [cause for cause in causes if cause.need is Need.LIMIT]
    also = f" {limits[0].line}" if limits else ""
    loads = [each for each in enabled if each.load is not None]
    if loads:
        return "loading", f"Loading {_loading(loads)}. Nothing needs a person.{also}"
    if not enabled:
        return "well", f"{_stores(of)}, all disabled: nothing is read from them."
    rows = sum(each.rows for each in enabled)
    lags = [each.lag_seconds for each in enabled if each.lag_seconds is not None]
    late = f", {duration(max(lags))} behind at most" if lags else ""
    return "well", f"All is well: {_stores(len(enabled))}, {rows:,} rows{late}.{also}"


def _loading(loads: Sequence[StoreFacts]) -> str:
    told = [
        f"{each.name} ({each.load.words})" if each.load and each.load.words else each.name
        for each in loads
    ]
    return _named(told, "store")


def _stores(count: int) -> str:
    return f"{count:,} store{'s' if count != 1 else ''}"


def _named(names: Sequence[str], what: str) -> str:
    """`a, b, c and 4 more`; with `what`, many are counted first: `12 stores (a, b, c, …)`."""
    if len(names) <= NAMED:
        return ", ".join(names)
    if what:
        return f"{len(names)} {what}s ({', '.join(names[:NAMED])}, …)"
    return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"
