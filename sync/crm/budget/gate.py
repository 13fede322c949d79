"""The gate in front of a request: waits for a slot of the budget while the connection is open."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from sync.crm.budget.limiter import Limiter, Stop
from sync.crm.budget.order import RequestOrder
from sync.crm.budget.slot import Bucket, Priority, Slot


class SlotGate:
    """The gate of one request: reserves slots until one is kept, and reports a late sending.

    `slot` is the slot in which the request was sent, None when nothing was sent; `is_waiting` stays
    true when that was because no slot came. `as_of` is the
    moment drawn when that slot was granted, at most 300 ms before the slot. With `turns`, the
    requests of one slice reserve slots in the order in which their gates were created. TryLater
    when no slot came within `give_up_after` seconds or `stop` was set.
    """

    def __init__(
        self,
        limiter: Limiter,
        *,
        store: int,
        bucket: Bucket,
        priority: Priority,
        give_up_after: float,
        draw: Callable[[], dt.datetime],
        stop: Stop | None = None,
        turns: RequestOrder | None = None,
    ) -> None:
        self.slot: Slot | None = None
        self.as_of: dt.datetime | None = None
        self.is_waiting = False
        self._turns = turns
        self._ticket = 0 if turns is None else turns.ticket()
        self._limiter = limiter
        self._store = store
        self._bucket = bucket
        self._work = priority
        self._give_up_after = give_up_after
        self._stop = stop
        self._draw = draw

    def before(self) -> None:
        # Called again when the server had closed the connection: the first slot is lost then.
        missed, self.slot = self.slot, None
        self.is_waiting = True
        while True:
            with self._turn():
                slot = self._limiter.reserve(
                    store=self._store,
                    bucket=self._bucket,
                    priority=self._work,
                    give_up_after=self._give_up_after,
                    stop=self._stop,
                    missed=missed,
                )
            self.as_of = self._draw()
            if self._limiter.wait(slot):
                self.slot, self.is_waiting = slot, False
                return
            missed = slot

    def _turn(self) -> AbstractContextManager[None]:
        if self._turns is None:
            return nullcontext()
        return self._turns.turn(self._ticket, give_up_after=self._give_up_after, stop=self._stop)

    def after(self) -> None:
        if self.slot is not None:
            self._limiter.sent(self.slot, self._limiter.lateness(self.slot))
