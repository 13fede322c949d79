"""The secrets of this process, removed from everything that people can read.

API keys, passwords of servers, tokens. An API key is sent in one header only. But an account may
quote it in an answer, a library in a debug line, an exception in its message, each in a spelling of
its own. So logs, Sentry events and traces pass through `scrubbed`, which knows every secret by
its value, and finds it however it is escaped (secret_forms.py).
"""

from __future__ import annotations

from threading import Lock
from typing import TypeVar, cast

from sync.telemetry.secret_forms import HEAD, cut_out, forms_of

T = TypeVar("T")
SHORTEST = HEAD
"""The least length of a secret: a shorter text could be part of ordinary words."""
LONGEST_WORD = 15
"""A text of small letters alone that is no longer may be a word, and is not removed."""
SHOWN = "[key]"

_known: set[str] = set()
_forms: dict[str, tuple[str, ...]] = {}
_lock = Lock()


def keep_secret(text: str) -> None:
    """Remove this text from all output from now on."""
    if len(text) < SHORTEST or _is_word(text) or text in _known:
        return
    # Readers take no lock: an entry is replaced whole, and found before or after that.
    with _lock:
        for form in sorted(forms_of(text)):
            head = form[:HEAD]
            _forms[head] = tuple(dict.fromkeys((*_forms.get(head, ()), form)))
        _known.add(text)


def scrubbed(value: T) -> T:
    """Return the value without any known secret, in str, bytes, lists, tuples, sets and dicts."""
    return cast(T, _scrubbed(value)) if _forms else value


def _is_word(text: str) -> bool:
    return len(text) <= LONGEST_WORD and text.isalpha() and text.islower()


def _scrubbed(value: object) -> object:
    if isinstance(value, str):
        return cut_out(value, _forms, shown=SHOWN)
    if isinstance(value, bytes):
        text = value.decode("utf-8", "surrogateescape")
        return cut_out(text, _forms, shown=SHOWN).encode("utf-8", "surrogateescape")
    if isinstance(value, dict):
        return {_scrubbed(k): _scrubbed(v) for k, v in value.items()}
    if isinstance(value, list | set | frozenset):
        return type(value)(_scrubbed(each) for each in value)
    if isinstance(value, tuple):
        return tuple(_scrubbed(each) for each in value)
    return value
