"""Every SYNC_ variable, parsed once; all mistakes are reported together.

Only `settings()` reads the environment. A new setting is one field of `Settings`: its type, its
default, a `description` of what to write, and an example. Messages and docs are derived from it.
Secrets may also come from a file: `SYNC_SECRET_KEY_FILE=/run/secrets/key`.

fields.py  Settings, and their creation from the environment: read this first
values.py  the checks of the values that an operator writes
server_urls.py  the one parser of the URLs of Postgres and Redis
surroundings.py  variables that are not ours: certificates and proxies
redis_address.py  SYNC_REDIS_URL taken apart
"""

from __future__ import annotations

import os
from functools import cache

from sync.settings import surroundings, values
from sync.settings.fields import (
    FIELDS,
    FROM_FILE,
    PREFIX,
    Settings,
    unknown_mistake,
    variable,
    warnings,
)
from sync.settings.surroundings import Proxy
from sync.settings.values import GATEWAY, secret_bytes
from sync.telemetry.secrets import keep_secret

__all__ = [
    "FIELDS",
    "FROM_FILE",
    "GATEWAY",
    "KEY_PREFIX",
    "PREFIX",
    "Settings",
    "forget",
    "proxy",
    "secret_bytes",
    "settings",
    "unknown_mistake",
    "variable",
    "warnings",
]

KEY_PREFIX = "sync:"
"""The prefix of all our keys in Redis."""


@cache
def settings() -> Settings:
    """Return this process's settings, read from the environment on the first call.

    Their secrets are kept out of all output from then on.
    """
    found = Settings.from_env(os.environ)
    for name in FROM_FILE:
        value = getattr(found, name)
        for secret in values.secrets_in(value.get_secret_value()) if value else ():
            keep_secret(secret)
    return found


def proxy() -> Proxy | None:
    """Return the proxy to other machines that the environment names, None without one."""
    return surroundings.proxy(os.environ)


def forget() -> None:
    """Read the environment again on the next call (tests)."""
    settings.cache_clear()
