"""`Kind`: a column's SQL type paired with the parser of its values, so that they cannot disagree.

Every parser takes a JSON value that is not null and a `Reading`. It returns a value for the column
or raises `Rejected` with the reason; the column is then NULL and the value is kept in
`sync.reject`. The API facts have evidence for the special cases (PHP's zero dates, numbers sent as
text, integers sent as floats).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from sync.declare.moments import ZERO_DATES, Zone, utc_of_local, utc_of_offset

SqlType = Literal["text", "bigint", "numeric", "boolean", "date", "timestamptz", "time", "jsonb"]

_INT64 = 2**63
_WHOLE = re.compile(r"[+-]?\d{1,19}")
# 0,500 and 1234,500 can only be fractions.
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_TIME = re.compile(r"(\d{2}):(\d{2})(?::(\d{2}))?")
# Postgres numeric takes 131072 digits before the point and 16383 after it; no amount needs them.
_NUMERIC_DIGITS = 1_000
# Moments recur within a page or two; 50,000 of them took 8 MB for every resource that is loaded.
_MEMO = 4_000


class Rejected(ValueError):
    """The value is not of the declared kind; the message gives the reason."""


@dataclass(slots=True)
class Reading:
    """The store's zone, which parsers need beside the value."""

    zone: Zone
    memo: dict[str, dt.datetime | None] = field(default_factory=dict)
    """A cache of local date-times and their instants: the same seconds occur again and again."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A column's type and its parser. `name` is stable: it is part of `content_hash`.

    So is `rules`, which counts the changes of what the parser makes of a value: rows that are there
    are made anew when it is raised.

    The parser accepts values of exactly the type `as_is` unchanged, so callers may skip it; those
    of `short` too, if they are short numbers (sync/records/jsonb.py).
    """

    name: str
    sql: SqlType
    parse: Callable[[Any, Reading], Any]
    as_is: type | None = None
    short: tuple[type, ...] = ()
    rules: int = 1


def _text(value: Any, _: Reading) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal):  # codes and ids that come as numbers
        return str(value)
    raise Rejected(f"expected text, got {_shape(value)}")


LONGEST_INDEXED = 500  # characters; a row of an index holds 2,700 bytes


def _bigint(value: Any, _: Reading) -> int:
    number: int | None = None
    if isinstance(value, bool):
        raise Rejected("expected a whole number, got a boolean")
    if isinstance(value, int):
        number = value
    elif isinstance(value, float | Decimal):
        whole = _decimal(value)
        # A huge exponent would give a huge int, so the value is checked before it is converted.
        if abs(whole.adjusted()) < 20 and whole == whole.to_integral_value():
            number = int(whole)
    elif isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        number = int(value)
    if number is None:
        raise Rejected(f"expected a whole number, got {_shape(value)}")
    if not -_INT64 <= number < _INT64:
        raise Rejected("the number does not fit 64 bits")
    return number


def _decimal(value: Any) -> Decimal:
    try:
        number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    except (InvalidOperation, ValueError, TypeError) as error:
        raise Rejected(f"expected a number, got {_shape(value)}") from error
    if not number.is_finite():
        raise Rejected("not a finite number")
    return number


def _numeric(value: Any, _: Reading) -> Decimal:
    if isinstance(value, bool):
        raise Rejected("expected a number, got a boolean")
    if isinstance(value, str):
        value = value.strip()
        if _THOUSANDS.fullmatch(value):
            raise Rejected("a comma before three digits may stand for a point or part thousands")
        value = value.replace(",", ".", 1)
    # Decimal accepts Python's notation 1_000, which no API sends as a number.
    if not isinstance(value, int | float | Decimal | str) or (
        isinstance(value, str) and "_" in value
    ):
        raise Rejected(f"expected a number, got {_shape(value)}")
    number = _decimal(value)
    if not is_storable(number):
        raise Rejected("the number is out of range")
    return number


def is_storable(number: Decimal) -> bool:
    """Tell whether Postgres can store the number: neither part of it has too many digits."""
    exponent = number.as_tuple().exponent
    return (
        isinstance(exponent, int)
        and exponent >= -_NUMERIC_DIGITS
        and number.adjusted() <= _NUMERIC_DIGITS
    )


_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


def _boolean(value: Any, _: Reading) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | Decimal | float) and value in {0, 1}:
        return bool(value)
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
    raise Rejected(f"expected true or false, got {_shape(value)}")


def _date(value: Any, _: Reading) -> dt.date | None:
    if not isinstance(value, str):
        raise Rejected(f"expected a date, got {_shape(value)}")
    if not value or value.startswith(ZERO_DATES):
        return None
    match = _DATE.match(value)
    rest = value[match.end() :] if match else ""
    # A date may be sent as a date-time, at any time of that day (pack shipmentDate).
    if match is None or (rest and rest[0] not in " T"):
        raise Rejected("expected a date like 2026-01-31")
    try:
        return dt.date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError as error:
        raise Rejected(f"not a date: {error}") from error


def _datetime(value: Any, reading: Reading) -> dt.datetime | None:
    if not isinstance(value, str):
        raise Rejected(f"expected a date-time, got {_shape(value)}")
    memo = reading.memo
    known = memo.get(value)  # a single read: another thread may clear the memo after it
    if known is not None:
        return known
    try:
        moment = utc_of_local(value, reading.zone)
    except ValueError as error:
        raise Rejected(str(error)) from error
    if len(memo) >= _MEMO:
        memo.clear()
    memo[value] = moment
    return moment


def _datetime_offset(value: Any, reading: Reading) -> dt.datetime | None:
    if not isinstance(value, str):
        raise Rejected(f"expected a date-time, got {_shape(value)}")
    try:
        return utc_of_offset(value, reading.zone)
    except ValueError as error:
        raise Rejected(str(error)) from error


def _time(value: Any, _: Reading) -> dt.time | None:
    if not isinstance(value, str):
        raise Rejected(f"expected a time of day, got {_shape(value)}")
    if not value:
        return None
    match = _TIME.fullmatch(value.strip())
    if match is None:
        raise Rejected("expected a time like 09:30")
    try:
        if match[1] == "24" and match[2] == "00":  # the end of a day; Postgres has no 24:00 here
            return dt.time(23, 59, 59)
        return dt.time(int(match[1]), int(match[2]), int(match[3] or 0))
    except ValueError as error:
        raise Rejected(f"not a time: {error}") from error


def _json(value: Any, _: Reading) -> Any:
    return value


def _map(value: Any, _: Reading) -> Any:
    return {} if value == [] else value  # PHP's empty map


def _shape(value: Any) -> str:
    """Describe an unexpected value without quoting it: the reject has the value beside the reason.

    Values are removed when a person is erased; reasons stay.
    """
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return "a boolean"
    return "text" if isinstance(value, str) else "a number"


_NUMERIC_RULES = 2  # one comma is not guessed
TEXT = Kind("text", "text", _text, str)
CODE = Kind("code", "text", _text, str)
ID = Kind("id", "bigint", _bigint, short=(int,))
INTEGER = Kind("integer", "bigint", _bigint, short=(int,))
NUMBER = Kind("number", "numeric", _numeric, short=(int, Decimal), rules=_NUMERIC_RULES)
MONEY = Kind("money", "numeric", _numeric, short=(int, Decimal), rules=_NUMERIC_RULES)
QUANTITY = Kind("quantity", "numeric", _numeric, short=(int, Decimal), rules=_NUMERIC_RULES)
BOOLEAN = Kind("boolean", "boolean", _boolean, bool)
DATE = Kind("date", "date", _date)
DATETIME = Kind("datetime", "timestamptz", _datetime)
MINUTE = Kind("minute", "timestamptz", _datetime)
DATETIME_OFFSET = Kind("datetime_offset", "timestamptz", _datetime_offset)
TIME = Kind("time", "time", _time)
JSON = Kind("json", "jsonb", _json)
MAP = Kind("map", "jsonb", _map)
