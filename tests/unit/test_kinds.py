"""Kinds: what each takes, what it makes of it, and what it refuses with a reason."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.crm.decode import decode
from sync.declare import (
    BOOLEAN,
    CODE,
    DATE,
    DATETIME,
    DATETIME_OFFSET,
    ID,
    INTEGER,
    JSON,
    MAP,
    MINUTE,
    MONEY,
    NUMBER,
    QUANTITY,
    TEXT,
    TIME,
    Kind,
    Reading,
    Rejected,
)
from sync.declare.moments import zone_of

KINDS = (
    BOOLEAN,
    CODE,
    DATE,
    DATETIME,
    DATETIME_OFFSET,
    ID,
    INTEGER,
    JSON,
    MAP,
    MINUTE,
    MONEY,
    NUMBER,
    QUANTITY,
    TEXT,
    TIME,
)
WHOLE, NUMERIC = (ID, INTEGER), (MONEY, NUMBER, QUANTITY)
BIGGEST, SMALLEST = 2**63 - 1, -(2**63)


def read(kind: Kind, value: Any) -> Any:
    return kind.parse(value, Reading(zone_of("Europe/Madrid")))


def refusal(kind: Kind, value: Any) -> str:
    with pytest.raises(Rejected) as refused:
        read(kind, value)
    return str(refused.value)


def test_names_of_kinds_are_unique() -> None:
    """A kind's name is part of content_hash: two kinds of one name could be swapped unnoticed."""
    assert len({kind.name for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", ""),
        (" as sent ", " as sent "),
        ("Иванов 👩‍👩‍👧", "Иванов 👩‍👩‍👧"),
        (16, "16"),  # codes that look like numbers come as numbers
        (Decimal("20.00"), "20.00"),
        (1.5, "1.5"),
        (True, "true"),
        (False, "false"),
    ],
)
@pytest.mark.parametrize("kind", [TEXT, CODE])
def test_text_takes_scalars_as_they_are_written(kind: Kind, value: Any, text: str) -> None:
    assert read(kind, value) == text


@pytest.mark.parametrize("kind", [TEXT, CODE])
def test_text_refuses_objects_and_lists(kind: Kind) -> None:
    assert refusal(kind, {"code": "main"}) == "expected text, got an object"
    assert refusal(kind, ["a"]) == "expected text, got a list"


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (7, 7),
        ("7", 7),  # telephony ids and cart items are numbers in quotes
        (" 7 ", 7),
        ("+7", 7),
        ("-7", -7),
        ("0010", 10),
        (7.0, 7),
        (Decimal("7.0"), 7),
        (Decimal("7E+2"), 700),
        (BIGGEST, BIGGEST),
        (str(BIGGEST), BIGGEST),
        (Decimal(BIGGEST), BIGGEST),
        (SMALLEST, SMALLEST),
        (str(SMALLEST), SMALLEST),
    ],
)
@pytest.mark.parametrize("kind", WHOLE)
def test_whole_numbers_come_as_int_text_or_float(kind: Kind, value: Any, number: int) -> None:
    assert read(kind, value) == number
    assert type(read(kind, value)) is int


@pytest.mark.parametrize("value", [BIGGEST + 1, str(BIGGEST + 1), SMALLEST - 1, Decimal("9.3E18")])
@pytest.mark.parametrize("kind", WHOLE)
def test_what_does_not_fit_64_bits_is_refused_and_never_wraps(kind: Kind, value: Any) -> None:
    assert refusal(kind, value) == "the number does not fit 64 bits"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (True, "a boolean"),
        (7.5, "a number"),
        (Decimal("7.5"), "a number"),
        (Decimal("1E+400"), "a number"),  # must not become an int of 400 digits
        (Decimal("1E-400"), "a number"),
        ("7.0", "text"),
        ("", "text"),
        ("1_0", "text"),
        ("9" * 20, "text"),
        ("0x10", "text"),
        ([], "a list"),
        ({}, "an object"),
    ],
)
@pytest.mark.parametrize("kind", WHOLE)
def test_what_is_no_whole_number_is_refused(kind: Kind, value: Any, reason: str) -> None:
    """The reason says what kind of value came and never quotes it."""
    assert refusal(kind, value) == f"expected a whole number, got {reason}"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "NaN", "-Infinity", "sNaN"])
def test_infinities_are_no_numbers(value: Any) -> None:
    assert refusal(MONEY, value) == "not a finite number"
    assert refusal(ID, value)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1395.16, "1395.16"),
        (0.1, "0.1"),  # a float by way of its shortest text, never its binary expansion
        (Decimal("1395.160"), "1395.160"),
        (12, "12"),
        (-12, "-12"),
        (10**15, "1000000000000000"),
        (Decimal("1000000000000000.01"), "1000000000000000.01"),
        ("1395.16", "1395.16"),
        (" 1395.16 ", "1395.16"),
        ("1395,16", "1395.16"),
        ("-0", "-0"),
        (Decimal("1E+400"), "1E+400"),
        (2**64, "18446744073709551616"),
    ],
)
@pytest.mark.parametrize("kind", NUMERIC)
def test_numbers_keep_every_digit(kind: Kind, value: Any, number: str) -> None:
    parsed = read(kind, value)
    assert isinstance(parsed, Decimal)
    assert str(parsed) == number


@pytest.mark.parametrize(
    "value",
    [
        Decimal("1E+1001"),
        Decimal("1E-1001"),
        Decimal("0E-20000"),  # zero, but of more digits than Postgres holds
        Decimal("0E+2000"),
        Decimal("0." + "1" * 1001),
        10**1001,
        "1E+1001",
    ],
)
@pytest.mark.parametrize("kind", NUMERIC)
def test_numbers_beyond_what_postgres_holds_are_refused(kind: Kind, value: Any) -> None:
    """One of them would make the whole page's statement fail."""
    assert refusal(kind, value) == "the number is out of range"


@pytest.mark.parametrize(
    "value", [True, [], {}, "none", "", "12 EUR", "1_000", "1,234.50", "0x10", "٣ items"]
)
@pytest.mark.parametrize("kind", NUMERIC)
def test_what_is_no_number_is_refused(kind: Kind, value: Any) -> None:
    assert refusal(kind, value).startswith("expected a number, got ")


@pytest.mark.parametrize(
    ("text", "number"),
    [("1,5", "1.5"), ("0,500", "0.500"), ("1234,567", "1234.567"), ("12,3456", "12.3456")],
)
@pytest.mark.parametrize("kind", NUMERIC)
def test_a_comma_is_a_point_where_it_can_be_nothing_else(
    kind: Kind, text: str, number: str
) -> None:
    """1,234 is one and a bit, or a thousand: it is refused and not guessed."""
    assert str(read(kind, text)) == number
    for ambiguous in ("1,234", "-12,500", "999,000"):
        assert refusal(kind, ambiguous).startswith("a comma before three digits")


@given(
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30),
    st.sampled_from(NUMERIC),
)
def test_a_decimal_survives_from_the_wire_to_the_column(number: Decimal, kind: Kind) -> None:
    """decode → kind changes neither value nor scale."""
    text = str(number)
    assert str(read(kind, decode(text.encode()))) == text
    assert str(read(kind, text)) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_becomes_the_decimal_it_is_written_as(number: float) -> None:
    assert float(read(MONEY, number)) == number
    assert read(MONEY, number) == Decimal(repr(number))


@pytest.mark.parametrize(
    ("value", "truth"),
    [
        (True, True),
        (False, False),
        (1, True),
        (0, False),
        (1.0, True),
        (Decimal(0), False),
        ("1", True),
        ("0", False),
        ("true", True),
        (" False ", False),
        ("yes", True),
        ("no", False),
        ("on", True),
        ("OFF", False),
    ],
)
def test_booleans_come_in_phps_clothes(value: Any, truth: bool) -> None:
    assert read(BOOLEAN, value) is truth


@pytest.mark.parametrize("value", [2, -1, Decimal("0.5"), "", "maybe", [], {}])
def test_what_is_neither_true_nor_false_is_refused(value: Any) -> None:
    assert refusal(BOOLEAN, value).startswith("expected true or false, got ")


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("2026-01-31", dt.date(2026, 1, 31)),
        ("2024-02-29", dt.date(2024, 2, 29)),
        ("2026-01-31 23:59:59", dt.date(2026, 1, 31)),  # a pack's day in its history
        ("2026-01-31T00:00:00+03:00", dt.date(2026, 1, 31)),
        ("0001-01-01", dt.date(1, 1, 1)),
        ("9999-12-31", dt.date(9999, 12, 31)),
        ("", None),
        ("0000-00-00", None),
        ("0000-00-00 00:00:00", None),
        ("-0001-11-30", None),
        ("-0001-11-30 00:00:00", None),
    ],
)
def test_dates(value: str, day: dt.date | None) -> None:
    """A calendar day has no zone; PHP's zero dates are none."""
    assert read(DATE, value) == day


@pytest.mark.parametrize("value", ["31.01.2026", "2026-1-31", "2026-01-31x", "today"])
def test_what_does_not_look_like_a_date_is_refused(value: str) -> None:
    assert refusal(DATE, value) == "expected a date like 2026-01-31"


@pytest.mark.parametrize("value", ["2026-02-30", "2023-02-29", "0000-01-01", "2026-00-10"])
def test_days_that_are_not_in_the_calendar_are_refused(value: str) -> None:
    assert refusal(DATE, value).startswith("not a date: ")


def test_local_date_times_are_read_in_the_stores_zone_and_remembered() -> None:
    """Pages repeat the same seconds: a value read once is not read again."""
    reading = Reading(zone_of("Europe/Madrid"))
    moment = DATETIME.parse("2026-07-01 12:00:00", reading)
    assert moment == dt.datetime(2026, 7, 1, 10, tzinfo=dt.UTC)
    assert DATETIME.parse("2026-07-01 12:00:00", reading) is moment
    assert MINUTE.parse("2026-07-01 12:00", reading) == moment
    assert DATETIME.parse("0000-00-00 00:00:00", reading) is None
    assert DATETIME.parse("0000-00-00 00:00:00", reading) is None


def test_what_is_remembered_does_not_grow_without_end() -> None:
    reading = Reading(zone_of("Europe/Madrid"), {str(n): None for n in range(50_000)})
    DATETIME.parse("2026-07-01 12:00:00", reading)
    assert list(reading.memo) == ["2026-07-01 12:00:00"]


def test_an_offset_is_obeyed() -> None:
    moment = read(DATETIME_OFFSET, "2024-05-08 15:10:30-05:00")
    assert moment == dt.datetime(2024, 5, 8, 20, 10, 30, tzinfo=dt.UTC)


@pytest.mark.parametrize("kind", [DATETIME, MINUTE, DATETIME_OFFSET])
@pytest.mark.parametrize("value", ["tomorrow", "2026-02-30 00:00:00", "2026-01-3112"])
def test_what_is_no_date_time_is_refused(kind: Kind, value: str) -> None:
    assert refusal(kind, value)


@pytest.mark.parametrize("kind", [DATE, DATETIME, MINUTE, DATETIME_OFFSET, TIME])
@pytest.mark.parametrize("value", [1700000000, True, {"date": "2026-01-31"}, [], Decimal(5)])
def test_moments_are_text_or_refused(kind: Kind, value: Any) -> None:
    """A number is no moment: seconds or milliseconds would be a guess."""
    assert refusal(kind, value).startswith("expected a ")


@pytest.mark.parametrize(
    ("value", "time"),
    [
        ("09:30", dt.time(9, 30)),
        ("09:30:15", dt.time(9, 30, 15)),
        (" 00:00 ", dt.time(0)),
        ("24:00", dt.time(23, 59, 59)),
        ("", None),
    ],
)
def test_times_of_day(value: str, time: dt.time | None) -> None:
    assert read(TIME, value) == time


@pytest.mark.parametrize("value", ["9:30", "09:60", "25:00", "24:01", "after lunch", "09:30 PM"])
def test_what_is_no_time_of_day_is_refused(value: str) -> None:
    assert refusal(TIME, value)


@pytest.mark.parametrize("value", [{}, {"a": [1]}, [], [1], "text", 1, True])
def test_json_is_kept_as_sent(value: Any) -> None:
    assert read(JSON, value) == value


def test_phps_empty_list_is_an_empty_map() -> None:
    """PHP cannot tell an empty map from an empty list, so the column would change type."""
    assert read(MAP, []) == {}
    assert read(MAP, {"nps": 9}) == {"nps": 9}
    assert read(MAP, ["a"]) == ["a"]


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False)  # JSON has neither
    | st.floats()
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(JSON_VALUES.filter(lambda value: value is not None), st.sampled_from(KINDS))
def test_every_value_is_taken_or_refused_in_words(value: Any, kind: Kind) -> None:
    """Whatever the API sends, a kind gives a value of its SQL type, None, or the reason why not."""
    types: dict[str, Any] = {
        "text": str,
        "bigint": int,
        "numeric": Decimal,
        "boolean": bool,
        "date": dt.date,
        "timestamptz": dt.datetime,
        "time": dt.time,
        "jsonb": object,
    }
    try:
        parsed = read(kind, value)
    except Rejected as why:
        parsed = None
        reason = str(why)
    else:
        reason = "taken"
    assert reason
    assert parsed is None or isinstance(parsed, types[kind.sql])
