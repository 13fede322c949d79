"""The request budget's state in Redis: its keys, its scripts and its reports.

The Lua scripts make all decisions; budget.lua is the first part of each. Only limiter.py calls
them.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import redis
from redis.exceptions import NoScriptError, RedisError

from sync.crm.budget.slot import Bucket, Priority, Slot
from sync.errors import TryLater

_KEYS = ("pace", "turn", "seen", "wturn", "wseen", "store:", "use", "known", "sent", "down")
_BIN_SECONDS = 10  # of the `use` bins in budget.lua
MOST_EGRESSES = 50
"""The most addresses in reports: a mirror has a few, but a shared Redis may hold any number."""
_SCANS, _KEYS_A_SCAN = 100, 1000
_PACE = re.compile(r"sync:limit:\{([A-Za-z0-9._-]{1,64}):[a-z]+\}:pace")


@dataclass(frozen=True, slots=True)
class Ask:
    """One call of reserve.lua. `doubtful`: Redis may have been replaced or its clock changed."""

    store: int
    bucket: Bucket
    priority: Priority
    waited_seconds: float = 0.0
    missed: Slot | None = None
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """A slot `micros` after `now`, or the time to ask again. Microseconds of Redis's clock."""

    granted: bool
    micros: int
    now: int
    paused: bool = False
    number: int = 0
    epoch: str = ""
    network_micros: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """The requests of one store and class. The counts expire after a week without a request."""

    granted: int
    waited_ms: int
    refused: int

    @property
    def mean_wait_seconds(self) -> float:
        """The mean time from the call to the slot's moment."""
        return self.waited_ms / 1000 / max(self.granted, 1)


@dataclass(frozen=True, slots=True)
class Report:
    """The state of one bucket of one egress address.

    `pace` is requests per second now. `frozen_seconds` is how long nobody may send, because every
    store with work is paused. `used_last_*` is the share of the limit that was granted in the last
    whole minute or hour. `lost` counts slots given up, `late` slots sent late, `overdue` those
    whose report came after the dependent slot had been granted.
    """

    egress: str
    bucket: Bucket
    limit: float
    pace: float
    frozen_seconds: float
    stores_with_work: int
    used_last_minute: float
    used_last_hour: float
    lost: int
    late: int
    overdue: int
    usage: Mapping[tuple[int, Priority], Usage] = field(default_factory=dict)
    paused_seconds: Mapping[int, float] = field(default_factory=dict)


class Budget:
    """The scripts on one Redis. Every method raises TryLater when Redis cannot be reached.

    `redis_now` replaces Redis's clock in tests; it returns microseconds.
    """

    def __init__(
        self,
        server: redis.Redis,
        *,
        egress: str,
        limits: Mapping[Bucket, float],
        redis_now: Callable[[], int] | None = None,
    ) -> None:
        self._server = server
        self._egress = egress
        self._limits = dict(limits)
        self._redis_now = redis_now
        self._reserve = _Script("reserve.lua")
        self._feedback = _Script("feedback.lua")
        self._report = _Script("report.lua")

    def reserve(self, ask: Ask) -> Reply:
        args = [ask.store, ask.priority.value, math.floor(ask.waited_seconds * 1000)]
        missed = ["", ""] if ask.missed is None else [ask.missed.number, ask.missed.epoch]
        answer = self._run(
            self._reserve, ask.bucket, ask.store, [*args, int(ask.doubtful), *missed],
            # A Redis that does not know the script is new, or was restarted with an older state.
            unknown=[*args, 1, *missed],
        )  # fmt: skip
        if not answer[0]:
            return Reply(granted=False, micros=answer[1], now=answer[2], paused=answer[3] == 1)
        return Reply(
            granted=True,
            micros=answer[1],
            now=answer[2],
            number=answer[3],
            epoch=_text(answer[4]),
            network_micros=answer[5],
        )

    def tell(self, slot: Slot, what: str, micros: int) -> bool:
        """Report an outcome that feedback.lua names; True: a refused request may go again."""
        args = [slot.store, slot.priority.value, slot.number, slot.epoch, slot.at, what, micros]
        return bool(self._run(self._feedback, slot.bucket, slot.store, args))

    def report(self, bucket: Bucket) -> Report:
        now, pace, working, lost, late, overdue, use, known = self._run(self._report, bucket, 0, [])
        stores = [int(store) for store in known]
        usage: dict[tuple[int, Priority], Usage] = {}
        paused: dict[int, float] = {}
        for store, counts in zip(stores, self._counts(bucket, stores), strict=True):
            for priority in Priority:
                c = priority.value
                seen = Usage(*(counts.get(f"{name}{c}", 0) for name in "gwx"))
                if seen.granted or seen.refused:
                    usage[store, priority] = seen
            ends = max(counts.get("pu", 0), counts.get("af", 0))
            if ends > now:
                paused[store] = (ends - now) / 1e6
        bins = dict(_text(entry).split(":") for entry in use)
        current = now // (_BIN_SECONDS * 1_000_000)

        def share(count: int) -> float:
            slots = sum(int(bins.get(str(current - back), 0)) for back in range(1, count + 1))
            return slots / (count * _BIN_SECONDS * self._limits[bucket])

        return Report(
            egress=self._egress,
            bucket=bucket,
            limit=self._limits[bucket],
            pace=float(pace),
            frozen_seconds=0.0 if working or not paused else min(paused.values()),
            stores_with_work=working,
            used_last_minute=share(6),
            used_last_hour=share(360),
            lost=lost,
            late=late,
            overdue=overdue,
            usage=usage,
            paused_seconds=paused,
        )

    def others(self) -> list[Budget]:
        """Return the budgets of the other addresses that share this Redis.

        Redis does not store limits, so the other addresses are reported with this one's limits.
        """
        return [
            Budget(self._server, egress=egress, limits=self._limits, redis_now=self._redis_now)
            for egress in sorted(self._egresses() - {self._egress})[: MOST_EGRESSES - 1]
        ]

    def _egresses(self) -> set[str]:
        found: set[str] = set()
        cursor = 0
        try:
            for _ in range(_SCANS):
                cursor, keys = self._server.scan(  # type: ignore[misc]
                    cursor, match="sync:limit:{*}:pace", count=_KEYS_A_SCAN
                )
                for key in keys:
                    if (named := _PACE.fullmatch(_text(key))) is not None:
                        found.add(named[1])
                if not cursor:
                    break
        except RedisError as error:
            raise _away(error) from error
        return found

    def _counts(self, bucket: Bucket, stores: list[int]) -> list[dict[str, int]]:
        names = [f"{name}{priority.value}" for priority in Priority for name in "gwx"]
        names += ["pu", "af"]
        try:
            with self._server.pipeline(transaction=False) as pipe:
                for store in stores:
                    pipe.hmget(self._prefix(bucket) + f"store:{store}", names)
                found: list[list[Any]] = pipe.execute()
        except RedisError as error:
            raise _away(error) from error
        return [
            {
                name: int(float(_text(value)))
                for name, value in zip(names, row, strict=True)
                if value
            }
            for row in found
        ]

    def _prefix(self, bucket: Bucket) -> str:
        # The braces keep one budget's keys on one node of a cluster.
        return f"sync:limit:{{{self._egress}:{bucket.value}}}:"

    def _run(
        self,
        script: _Script,
        bucket: Bucket,
        store: int,
        args: list[Any],
        *,
        unknown: list[Any] | None = None,
    ) -> Any:
        """Run a script, with the arguments `unknown` when Redis does not have it loaded."""
        prefix = self._prefix(bucket)
        keys = [f"{prefix}{name}{store if name == 'store:' else ''}" for name in _KEYS]
        now = "" if self._redis_now is None else self._redis_now()
        head = [*keys, now, repr(float(self._limits[bucket]))]
        try:
            try:
                return self._server.evalsha(script.sha, len(keys), *head, *args)
            except NoScriptError:
                return self._server.eval(script.text, len(keys), *head, *(unknown or args))
        except RedisError as error:
            raise _away(error) from error


class _Script:
    def __init__(self, name: str) -> None:
        files = resources.files("sync.crm.budget")
        parts = [files.joinpath(part).read_text("utf-8") for part in ("budget.lua", name)]
        self.text = "\n".join(parts)
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


def _away(error: RedisError) -> TryLater:
    return TryLater(f"the request budget's Redis did not serve us: {type(error).__name__}: {error}")


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
