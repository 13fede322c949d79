"""What Postgres cannot store, and what it is given instead.

Text of a record may hold NUL characters and lone surrogates, which neither `text` nor `jsonb`
takes, and numbers may be larger than any `numeric`. Nearly no record does, so JSON is searched as
it stands and only what looks like it is taken apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec

from sync.declare.kinds import is_storable

encode = msgspec.json.Encoder(decimal_format="number", order="sorted").encode
"""A record as bytes, its members sorted: what `raw` holds and `content_hash` is made of."""

# Digits become 0, signs -, e and E e, all else a space: numbers too large for jsonb are searched
# for in this, a tenth of what regular expressions over all text would take.
_NUMERALS = bytes(
    48 if byte in b"0123456789" else 101 if byte in b"eE" else 45 if byte in b"+-" else 32
    for byte in range(256)
)
_LONG = b"0" * 1_000
_EXPONENTS = (b"0e0000", b"0e-0000")
_NUL_OR_SURROGATE = re.compile("[\x00\ud800-\udfff]")


def storable(record: Any) -> tuple[bytes, str, Any]:
    """The record as JSON that jsonb takes; what had to be changed, as text; the record changed."""
    try:
        raw = encode(record)
        if not _is_unstorable(raw):
            return raw, "", record
    except UnicodeEncodeError:  # a lone surrogate
        raw = b""
    changed = "; ".join(_unstorable_parts(record, ""))
    if not changed:  # text that only looked like it
        return raw, "", record
    cleaned = _clean(record)
    return encode(cleaned), changed, cleaned


def _unstorable_parts(value: Any, path: str) -> Iterator[str]:
    """Where a record holds what `_clean` replaces, and what that was."""
    if isinstance(value, dict):
        for name, member in value.items():
            if _NUL_OR_SURROGATE.search(name):
                yield f"{path or 'the record'}: a member named {name!a}"
            place = _NUL_OR_SURROGATE.sub("\ufffd", name)
            yield from _unstorable_parts(member, f"{path}.{place}" if path else place)
    elif isinstance(value, list):
        for number, member in enumerate(value):
            yield from _unstorable_parts(member, f"{path}[{number}]")
    elif isinstance(value, str):
        if _NUL_OR_SURROGATE.search(value):
            yield f"{path}: {value!a}"
    elif isinstance(value, Decimal) and not is_storable(value):
        yield f"{path}: {value}"


def _is_unstorable(raw: bytes) -> bool:
    """Whether JSON may hold a NUL or a number that jsonb does not take."""
    if b"\\u0000" in raw:
        return True
    numerals = raw.translate(_NUMERALS)
    if _LONG in numerals:
        return True
    for exponent in _EXPONENTS:
        at = numerals.find(exponent)
        while at >= 0:
            # A number stands after one of these, what else looks like one (a hash) in a text.
            if raw[: at + 1].rstrip(b"0123456789.-")[-1:] in b":,[":
                return True
            at = numerals.find(exponent, at + 1)
    return False


def _clean(value: Any) -> Any:
    """Replace what jsonb cannot hold: NULs and surrogates by U+FFFD, endless numbers by text."""
    if isinstance(value, str):
        return _NUL_OR_SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_clean(name): _clean(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_clean(member) for member in value]
    if isinstance(value, Decimal) and not is_storable(value):
        return str(value)
    return value
