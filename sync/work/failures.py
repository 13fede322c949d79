"""The policy after a failure, the same for every lane.

| error | meaning | consequence |
|---|---|---|
| LeaseLost | taken over, or the zone changed | released if still held; due at once |
| TryLater while the process ends | none | released; due at once |
| TryLater, Refused | the request was not served | 1, 2, 4 … 60 s, or as asked, at most an hour |
| MissingScope, Unavailable | the API does not offer it | odd; then unavailable, tried again daily |
| WithoutParents | its parents are off or unavailable | unavailable, looked at in 5 minutes |
| NoSuchAccount | the host answers, but no API | odd; then the store stops for 15 minutes |
| WrongKey, AccessChanged | a person has to restore the key's access | the store stops for a day |
| UnexpectedData | not as declared | odd, its body kept; then parked until `retry` |
| any other NeedsOperator | a retry cannot help | parked until `retry` |

*Odd*: one such answer is not a fact. The request is repeated after 10, 40 and 160 s; the answer is
believed when it has come ODD_TIMES times, over at least ODD_SECONDS. The lane keeps the count
(`sync.lane.odd_answer`) through other failures and commits. A slice that ends well, or another kind
of odd answer, resets it.

A bug (an error that is no SyncError) parks its lane at once. So do CRASHES deaths of the worker in
a row (slices.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from sync import failpoints
from sync.crawl import retry_seconds
from sync.errors import (
    AccessChanged,
    LeaseLost,
    MissingScope,
    NeedsOperator,
    NoSuchAccount,
    SyncError,
    TryLater,
    Unavailable,
    UnexpectedData,
    WrongKey,
)
from sync.state.lanes import SILENCE_SECONDS, Odd
from sync.work.per_parent.parents import WITHOUT_PARENTS_SECONDS, WithoutParents

DAY_SECONDS = 86_400.0
MAINTENANCE_SECONDS = failpoints.scaled(900)
"""The wait before the next request to an account whose host answered without an API."""
PAUSE_SECONDS = 3_600.0
"""The longest wait that an account may ask for: one more request costs little."""
ODD_TIMES = 4
ODD_SECONDS = failpoints.scaled(120)
ODD_PAUSE_SECONDS = failpoints.scaled(10)
_ODD = (MissingScope, Unavailable, NoSuchAccount, UnexpectedData)


@dataclass(frozen=True, slots=True)
class Next:
    """The consequence of a failure for a lane.

    `again_in`: seconds until the lane is due. `odd`: the kind of odd answer to count.
    `stopped_for`: seconds for which the whole store stops.
    """

    again_in: float = 0.0
    is_failure: bool = True
    parked: bool = False
    unavailable: bool = False
    odd: str | None = None
    stopped_for: float | None = None


def after_failure(
    error: SyncError,
    *,
    attempts: int,
    odd: Odd | None = None,
    is_stopping: bool = False,
    jitter: float = 0.5,
) -> Next:
    """Return the consequence of an error.

    `attempts` is the number of attempts in a row, `odd` the odd answers counted before, `jitter` a
    random number from 0 to 1.
    """
    if isinstance(error, LeaseLost) or (is_stopping and isinstance(error, TryLater)):
        return Next(is_failure=False)
    if isinstance(error, WithoutParents):
        return Next(WITHOUT_PARENTS_SECONDS, unavailable=True)
    if isinstance(error, _ODD):
        kind = type(error).__name__
        before = odd if odd is not None and odd.kind == kind else Odd(kind, 0, 0.0)
        if before.times + 1 < ODD_TIMES or before.seconds < ODD_SECONDS:
            pause = ODD_PAUSE_SECONDS * 4 ** min(before.times, ODD_TIMES - 2)
            return Next(pause * (0.75 + jitter / 2), odd=kind)
    if isinstance(error, MissingScope | Unavailable):
        return Next(DAY_SECONDS, unavailable=True)
    if isinstance(error, NoSuchAccount):
        return Next(MAINTENANCE_SECONDS, stopped_for=MAINTENANCE_SECONDS)
    if isinstance(error, WrongKey | AccessChanged):
        return Next(DAY_SECONDS, stopped_for=DAY_SECONDS)
    if isinstance(error, UnexpectedData | NeedsOperator):
        return Next(parked=True)
    asked = error.after if isinstance(error, TryLater) else None
    own = retry_seconds(attempts, jitter=jitter, most=SILENCE_SECONDS)
    return Next(max(min(asked or 0.0, PAUSE_SECONDS), own))
