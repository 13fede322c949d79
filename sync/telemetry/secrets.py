"""API keys this process has had in its hands, taken out of whatever leaves it for people.

A key travels in one header and nowhere else; but an account may quote it in an answer, a library
in a debug line, an exception in its message. So logs, Sentry's events and traces pass through
`scrubbed`, which knows every key by its value.
"""

from __future__ import annotations

from threading import Lock
from typing import TypeVar, cast

T = TypeVar("T")
SHORTEST = 8
"""A shorter text is no key, and would be cut out of ordinary words."""
SHOWN = "[key]"

_known: set[str] = set()
_lock = Lock()


def keep_secret(text: str) -> None:
    """Take this text out of everything from now on."""
    if len(text) >= SHORTEST and text not in _known:
        with _lock:
            # A new set, so that a reader never sees one that is being changed.
            globals()["_known"] = _known | {text}


def scrubbed(value: T) -> T:
    """The value without any known key: texts, bytes, and what lists, tuples and dicts hold."""
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
