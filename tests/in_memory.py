"""The folder of a run of tests, for the servers that they start: in memory where there is room.

A test's database is a copy of some 2,000 files. On a disk that is most of what a test costs.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

SHARED = Path("/dev/shm")  # noqa: S108  the servers' data is that of tests
NEEDED_BYTES = 4 << 30
"""More than the servers of a run have been seen to take."""

run: Path
"""What is in it goes with the run; or with the next one, where a run was killed (conftest.py)."""


def folder() -> Path | None:
    """Return the root of a file system in memory; None where there is none, or too little of it."""
    if not os.access(SHARED, os.W_OK) or shutil.disk_usage(SHARED).free < NEEDED_BYTES:
        return None  # a container has 64 MB of it, unless it is given more
    told = re.search(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text("ascii"))
    return SHARED if told and int(told[1]) * 1024 >= 2 * NEEDED_BYTES else None
