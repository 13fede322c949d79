"""A slot, and what it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class WorkClass(Enum):
    """What a request is for; the value is its number in reserve.lua."""

    FEED = 1
    REFRESH = 2
    WALK = 3
    RECONCILE = 4


class Bucket(Enum):
    """The API's two limits."""

    DEFAULT = "default"
    TELEPHONY = "telephony"


def bucket_of(path: str) -> Bucket:
    """The limit a method counts against: `/telephony/*` has its own."""
    method = path.removeprefix("/").removeprefix("api/v5/")
    return Bucket.TELEPHONY if method.split("/")[0] == "telephony" else Bucket.DEFAULT


@dataclass(frozen=True, slots=True)
class Slot:
    """Leave to send one request of `store` at `moment` (monotonic seconds).

    `at` is the same moment in microseconds of Redis's clock, `earliest` in monotonic seconds at
    the early end of what is known about the two clocks. `waited_seconds` is from ask to `moment`.
    `recovering`: the store is slowed after a refusal, so its successes are worth a report.
    """

    store: int
    bucket: Bucket
    work: WorkClass
    number: int
    epoch: str
    at: int
    moment: float
    earliest: float
    waited_seconds: float
    recovering: bool
