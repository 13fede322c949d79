"""A slot, and the purpose it is reserved for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Priority(Enum):
    """The purpose of a request; the value is its number in reserve.lua."""

    FEED = 1
    REFRESH = 2
    WALK = 3
    RECONCILE = 4


class Bucket(Enum):
    """The two request limits of the API."""

    DEFAULT = "default"
    TELEPHONY = "telephony"


def bucket_of(path: str) -> Bucket:
    """Return the limit that a method counts against: `/telephony/*` has its own."""
    method = path.removeprefix("/").removeprefix("api/v5/")
    return Bucket.TELEPHONY if method.split("/")[0] == "telephony" else Bucket.DEFAULT


@dataclass(frozen=True, slots=True)
class Slot:
    """The permission to send one request of `store` at `moment` (monotonic seconds).

    `at` is the same moment in microseconds of Redis's clock. `earliest` is the earliest monotonic
    time that the moment can have, given the clocks' bracket. `waited_seconds` is from the call to
    `moment`. `network_seconds`: how much later than `moment` the request is taken to arrive, as
    Redis has learned from refusals.
    """

    store: int
    bucket: Bucket
    priority: Priority
    number: int
    epoch: str
    at: int
    moment: float
    earliest: float
    waited_seconds: float
    network_seconds: float
