"""What follows a failure: one policy for every lane.

| error | what it means | what happens |
|---|---|---|
| LeaseLost | taken over, or the zone changed | given back if still ours; due at once |
| TryLater while the process ends | nothing | given back; due at once |
| TryLater, Refused | we could not be served | 1, 2, 4 … 60 s, or as it asked, an hour at most |
| MissingScope, Unavailable | the API does not give it | odd; then unavailable, asked again daily |
| WithoutParents | what it belongs to is off or unavailable | unavailable, looked at in 5 minutes |
| NoSuchAccount | the host answers, but no API | odd; then the store stops for 15 minutes |
| WrongKey, AccessChanged | a person has to give the key its access | the store stops for a day |
| UnexpectedData | not what was declared | odd, its body kept; then parked until `retry` |
| any other NeedsOperator | trying again cannot help | parked until `retry` |

*Odd*: one such answer is not a fact. It is asked for again after 10, 40 and 160 s, and believed
when it has come ODD_TIMES times, over ODD_SECONDS at least. The lane counts it, through other
failures and through what is committed meanwhile (`sync.lane.odd_answer`), until a slice ends well
or another kind of odd answer comes.

A bug, which is no SyncError, parks its lane at once, and so do CRASHES deaths of its worker in a
row (slices.py).
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
from sync.state.lease import Odd
from sync.work.per_parent.parents import WITHOUT_PARENTS_SECONDS, WithoutParents

DAY_SECONDS = 86_400.0
MAINTENANCE_SECONDS = failpoints.scaled(900)
"""Until an account whose host answered no API at all is asked again."""
PAUSE_SECONDS = 3_600.0
"""The longest an account may put us off: looking once more costs one request."""
BACKOFF_SECONDS = 60.0
ODD_TIMES = 4
ODD_SECONDS = failpoints.scaled(120)
ODD_PAUSE_SECONDS = failpoints.scaled(10)
_ODD = (MissingScope, Unavailable, NoSuchAccount, UnexpectedData)


@dataclass(frozen=True, slots=True)
class Next:
    """What becomes of a lane after a failure.

    `again_in`: seconds until it is due. `odd`: the kind of odd answer to be counted.
    `stopped_for`: seconds for which the whole store is left alone.
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
    """What follows an error: of the `attempts`-th attempt in a row, after these odd answers.

    `jitter` is a random number from 0 to 1.
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
    own = retry_seconds(attempts, jitter=jitter, most=BACKOFF_SECONDS)
    return Next(max(min(asked or 0.0, PAUSE_SECONDS), own))
