"""Makes Python sleep in a process that libfaketime shows another time.

Its clock_nanosleep takes the deadlines of `time.sleep`, which are of the monotonic clock, for those
of the shifted one, and fails with EINVAL. select takes durations.
"""

from __future__ import annotations

import select
import time


def _sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


time.sleep = _sleep
