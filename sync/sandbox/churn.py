"""Churn: random saves in the accounts, so that lists shift and histories grow during a read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from random import Random
from threading import RLock

from sync.sandbox.account import Account
from sync.sandbox.knobs import Knobs
from sync.sandbox.php import Refusal
from sync.sandbox.registry import CHURN


class Churn:
    """Random saves of orders and customers, `churn_per_second` of them in all accounts together."""

    def __init__(self, seed: int, known: Mapping[str, Account], knobs: Knobs, lock: RLock) -> None:
        self._known, self._knobs, self._lock = known, knobs, lock
        self._rng = Random(f"{seed}/churn")
        self._task: asyncio.Task[None] | None = None
        self.counts: dict[str, int] = {}
        self.accounts: list[str] | None = None

    @property
    def runs(self) -> bool:
        return self._task is not None

    def start(self, accounts: list[str] | None = None) -> None:
        """Start on the running event loop; `accounts` None: all of them."""
        self.accounts = accounts
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._live())

    async def stop(self) -> dict[str, int]:
        """Stop, once no save is under way; return the counts and reset them to zero."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        counts, self.counts = self.counts, {}
        return counts

    async def _live(self) -> None:
        """Save at the pace of the knob, in small steps that follow the wall clock."""
        loop = asyncio.get_running_loop()
        before, owed = loop.time(), 0.0
        while True:
            await asyncio.sleep(0.02)
            now = loop.time()
            owed += (now - before) * self._knobs.churn_per_second
            before = now
            for _ in range(min(int(owed), 50)):
                self.once()
            owed = min(owed - int(owed), 1.0) if owed < 50 else owed - 50

    def once(self) -> str | None:
        """Do one save drawn from the mix; return its name, or None if there was nothing to do."""
        with self._lock:
            names = [n for n in self.accounts or self._known if n in self._known]
            if not names:
                return None
            account = self._known[self._rng.choice(names)]
            mix = self._knobs.churn_mix
            kind = self._rng.choices(list(mix), list(mix.values()))[0]
            if kind not in CHURN:
                raise ValueError(f"there is no mutation {kind!r} for churn")
            try:
                CHURN[kind](account, self._rng)
            except (Refusal, IndexError):
                return None
            self.counts[kind] = self.counts.get(kind, 0) + 1
            return kind

    def many(self, saves: int) -> dict[str, int]:
        """Do a number of saves at once: churn for tests that control the clock."""
        counts: dict[str, int] = {}
        for _ in range(saves):
            kind = self.once()
            if kind is not None:
                counts[kind] = counts.get(kind, 0) + 1
        return counts
