"""JSON of the API to Python values without losing a digit.

Numbers become `int` (of any size) or `Decimal` exactly as written (`1395.16`, `1.0`, `1E+400`),
never `float`. Strings stay as sent: NUL stays `\\x00`, a lone surrogate stays one code point
(`"\\ud800"` is `'\\ud800'`; storable.py replaces it, because UTF-8 and jsonb cannot hold it), and a
byte that is not UTF-8 becomes a lone surrogate of U+DC80…DCFF. The last of repeated keys counts.

Measured on Python 3.11, 896 KB of orders / 162 KB of history, best of 7:

    orjson (floats; rounds beyond 64 bits, refuses 1e400)   1.96 / 0.29 ms
    msgspec with float_hook=Decimal                         3.00 / 0.38 ms   <- exact, chosen
    json with parse_float=Decimal                           5.00 / 0.79 ms
    orjson, guarded by a search for long numbers            8.02 / 1.35 ms

`json` decodes what msgspec refuses: lone surrogates, integers of thousands of digits.
"""

from __future__ import annotations

import json
from decimal import Decimal, DecimalException
from typing import Any

import msgspec

_FAST = msgspec.json.Decoder(float_hook=Decimal)


def decode(body: bytes | str) -> Any:
    """Decode one JSON document. ValueError when it is cut, empty or nested too deeply."""
    try:
        return _FAST.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, DecimalException, RecursionError):
        pass
    try:
        return json.loads(
            body if isinstance(body, str) else body.decode("utf-8-sig", "surrogateescape"),
            strict=False,
            parse_float=_decimal,
            parse_int=_integer,
            parse_constant=_refuse,
        )
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None


def _decimal(text: str) -> Any:
    """Return a Decimal, or the text itself when the exponent has more than 18 digits."""
    try:
        return Decimal(text)
    except DecimalException:
        return text


def _integer(text: str) -> Any:
    """Return an int; a Decimal from 4,300 digits on, which CPython's int refuses to parse."""
    return int(text) if len(text) < 4300 else Decimal(text)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
