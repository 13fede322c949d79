"""Records as JSON, and replacement of values that Postgres cannot store.

Text of a record may hold NUL characters and lone surrogates, which neither `text` nor `jsonb`
accepts, and numbers may be too large for `numeric`. Such records are very rare. So the encoded JSON
is searched first, and a record is examined value by value only when the search finds something.
The same search tells whether all numbers of a record are short, so that they need no parsing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from sync.declare.kinds import is_storable

encode = msgspec.json.Encoder(decimal_format="number", order="sorted").encode
"""Encode a record as JSON with sorted members, for the `raw` column and the `content_hash`."""

# Digits become 0, signs become -, e and E become e, all else a space. Searching the result for
# large numbers takes a tenth of the time of regular expressions over the text.
_NUMERALS = bytes(
    48 if byte in b"0123456789" else 101 if byte in b"eE" else 45 if byte in b"+-" else 32
    for byte in range(256)
)
_LONG = b"0" * 1_000
_EXPONENTS = (b"0e0000", b"0e-0000")
_NOT_SHORT = b"0" * 19  # 18 digits fit a bigint
_NOT_SHORT_EXPONENTS = (b"0e000", b"0e-000")
_NUL_OR_SURROGATE = re.compile("[\x00\ud800-\udfff]")


@dataclass(slots=True)
class Encoded:
    """A record as JSON that jsonb accepts.

    `changed` is a text about what was replaced for that, "" for nothing. `is_short`: no number has
    19 digits or an exponent of three, so that all of them fit every column of numbers.
    """

    record: Any
    raw: bytes
    is_short: bool = False
    changed: str = ""


def storable(record: Any) -> Encoded:
    """Encode a record of the API; values that jsonb does not accept are replaced."""
    try:
        raw = encode(record)
    except UnicodeEncodeError:  # a lone surrogate
        raw = b""
    else:
        numerals = raw.translate(_NUMERALS)
        has_nul = b"\\u0000" in raw
        if not has_nul and _is_short(numerals, raw):
            return Encoded(record, raw, is_short=True)
        if not has_nul and not _has(numerals, raw, _LONG, _EXPONENTS):
            return Encoded(record, raw)
    changed = "; ".join(_unstorable_parts(record, ""))
    if not changed:  # the search was mistaken
        return Encoded(record, raw)
    cleaned = _clean(record)
    return Encoded(cleaned, encode(cleaned), changed=changed)


def stored(record: Any) -> Encoded:
    """Encode a record that comes from jsonb."""
    raw = encode(record)
    return Encoded(record, raw, is_short=_is_short(raw.translate(_NUMERALS), raw))


def _is_short(numerals: bytes, raw: bytes) -> bool:
    return not _has(numerals, raw, _NOT_SHORT, _NOT_SHORT_EXPONENTS)


def _unstorable_parts(value: Any, path: str) -> Iterator[str]:
    """Yield the path and value of everything in a record that `_clean` replaces."""
    if isinstance(value, dict):
        for name, member in value.items():
            if _NUL_OR_SURROGATE.search(name):
                yield f"{path or 'the record'}: a member named {name!r}"
            place = _NUL_OR_SURROGATE.sub("\ufffd", name)
            yield from _unstorable_parts(member, f"{path}.{place}" if path else place)
    elif isinstance(value, list):
        for number, member in enumerate(value):
            yield from _unstorable_parts(member, f"{path}[{number}]")
    elif isinstance(value, str):
        if _NUL_OR_SURROGATE.search(value):
            yield f"{path}: {value!r}"
    elif isinstance(value, Decimal) and not is_storable(value):
        yield f"{path}: {value}"


def _has(numerals: bytes, raw: bytes, digits: bytes, exponents: tuple[bytes, ...]) -> bool:
    """Tell whether JSON may hold a number with so many digits, or one with such an exponent."""
    if digits in numerals:
        return True
    for exponent in exponents:
        at = numerals.find(exponent)
        while at >= 0:
            # A number follows one of these characters; a similar text (a hash) is inside a string.
            if raw[: at + 1].rstrip(b"0123456789.-")[-1:] in b":,[":
                return True
            at = numerals.find(exponent, at + 1)
    return False


def _clean(value: Any) -> Any:
    """Replace NULs and lone surrogates by U+FFFD, and numbers too large for jsonb by text."""
    if isinstance(value, str):
        return _NUL_OR_SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_clean(name): _clean(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_clean(member) for member in value]
    if isinstance(value, Decimal) and not is_storable(value):
        return str(value)
    return value
