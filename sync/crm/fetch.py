"""One request within the budget: prepare, wait for the slot on an open connection, send, report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from sync.crm.client import Account, Answer, CrmClient
from sync.crm.limiter import Limiter, Stop
from sync.crm.slot import Bucket, Slot, WorkClass, bucket_of
from sync.crm.turns import Turns
from sync.errors import OverLimit, SyncError, TryLater


def fetch(
    account: Account,
    path: str,
    params: Mapping[str, Any] | None = None,
    *,
    client: CrmClient,
    limiter: Limiter,
    store: int,
    work: WorkClass,
    give_up_after: float = 120.0,
    stop: Stop | None = None,
    granted: Callable[[Slot], None] | None = None,
) -> Answer:
    """GET `path` once, as soon as the budget lets this store and class.

    `granted` runs when the slot is known and before its moment, at most 300 ms ahead: the place to
    draw `as_of`. It runs again when that slot was missed. Raises what CrmClient.send raises, and
    TryLater when no slot came in `give_up_after` seconds or `stop` was set.
    """
    prepared = client.prepare(account, path, params)
    passage = Passage(
        limiter,
        store=store,
        bucket=bucket_of(path),
        work=work,
        give_up_after=give_up_after,
        stop=stop,
        granted=granted,
    )
    try:
        answer = client.send(prepared, gate=passage)
    except OverLimit as error:
        if passage.slot is not None:
            limiter.refused(passage.slot, after=error.after)
        raise
    except SyncError as error:
        # An answer of any other kind is an answer; silence is not.
        if passage.slot is not None and not isinstance(error, TryLater):
            limiter.served(passage.slot)
        raise
    if passage.slot is not None:
        limiter.served(passage.slot)
    return answer


class Passage:
    """The gate of one request: asks for slots until one is met, and reports a late sending.

    `slot` is the one the request was sent in, None when nothing was sent. With `turns`, requests
    of one slice ask in the order their passages were made.
    """

    def __init__(
        self,
        limiter: Limiter,
        *,
        store: int,
        bucket: Bucket,
        work: WorkClass,
        give_up_after: float,
        stop: Stop | None = None,
        granted: Callable[[Slot], None] | None = None,
        turns: Turns | None = None,
    ) -> None:
        self.slot: Slot | None = None
        self._turns = turns
        self._ticket = 0 if turns is None else turns.ticket()
        self._limiter = limiter
        self._store = store
        self._bucket = bucket
        self._work = work
        self._give_up_after = give_up_after
        self._stop = stop
        self._granted = granted

    def before(self) -> None:
        # Called again when the connection was found closed in front of the slot: that one is lost.
        missed, self.slot = self.slot, None
        while True:
            with self._turn():
                slot = self._limiter.reserve(
                    store=self._store,
                    bucket=self._bucket,
                    work=self._work,
                    give_up_after=self._give_up_after,
                    stop=self._stop,
                    missed=missed,
                )
            if self._granted is not None:
                self._granted(slot)
            if self._limiter.wait(slot):
                self.slot = slot
                return
            missed = slot

    def _turn(self) -> AbstractContextManager[None]:
        if self._turns is None:
            return nullcontext()
        return self._turns.turn(self._ticket, give_up_after=self._give_up_after, stop=self._stop)

    def after(self) -> None:
        if self.slot is not None:
            self._limiter.sent(self.slot, self._limiter.lateness(self.slot))
