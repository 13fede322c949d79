"""Every SYNC_ variable, parsed once; all mistakes are reported together.

Only `settings()` reads the environment. A new setting is one field of `Settings`: its type, its
default, a `description` of what to write, and an example. Messages and docs are derived from it.
Secrets may also come from a file: `SYNC_SECRET_KEY_FILE=/run/secrets/key`.

fields.py  Settings, and their creation from the environment: read this first
values.py  the checks of the values that an operator writes
"""

from __future__ import annotations

import os
from functools import cache

from sync.settings.fields import (
    FIELDS,
    FROM_FILE,
    PREFIX,
    Settings,
    unknown_warning,
    variable,
)
from sync.settings.values import GATEWAY, secret_bytes

__all__ = [
    "FIELDS",
    "FROM_FILE",
    "GATEWAY",
    "KEY_PREFIX",
    "PREFIX",
    "Settings",
    "forget",
    "secret_bytes",
    "settings",
    "unknown_warning",
    "variable",
]

KEY_PREFIX = "sync:"
"""The prefix of all our keys in Redis."""


@cache
def settings() -> Settings:
    """Return this process's settings, read from the environment on the first call."""
    return Settings.from_env(os.environ)


def forget() -> None:
    """Read the environment again on the next call (tests)."""
    settings.cache_clear()
