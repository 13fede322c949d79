"""The API keys that this process has used, removed from everything that people can read.

A key is sent in one header only. But an account may quote it in an answer, a library in a debug
line, an exception in its message. So logs, Sentry events and traces pass through `scrubbed`, which
knows every key by its value.
"""

from __future__ import annotations

from threading import Lock
from typing import TypeVar, cast

T = TypeVar("T")
SHORTEST = 8
"""The least length of a key: a shorter text could be part of ordinary words."""
SHOWN = "[key]"

_known: set[str] = set()
_lock = Lock()


def keep_secret(text: str) -> None:
    """Remove this text from all output from now on."""
    if len(text) >= SHORTEST and text not in _known:
        with _lock:
            # A new set: readers have no lock and must not see a set while it changes.
            globals()["_known"] = _known | {text}


def scrubbed(value: T) -> T:
    """Return the value without any known key, in str, bytes, lists, tuples and dicts."""
    known = _known
    return cast(T, _scrubbed(value, known)) if known else value


def _scrubbed(value: object, known: set[str]) -> object:
    if isinstance(value, str):
        for secret in known:
            if secret in value:
                value = value.replace(secret, SHOWN)
        return value
    if isinstance(value, bytes):
        for secret in known:
            value = value.replace(secret.encode(), SHOWN.encode())
        return value
    if isinstance(value, dict):
        return {_scrubbed(k, known): _scrubbed(v, known) for k, v in value.items()}
    if isinstance(value, list):
        return [_scrubbed(each, known) for each in value]
    if isinstance(value, tuple):
        return tuple(_scrubbed(each, known) for each in value)
    return value
