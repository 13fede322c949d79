"""Decoding loses nothing and falls over nothing."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.crm.decode import decode

SCALARS = st.none() | st.booleans() | st.integers() | st.text() | st.decimals(allow_nan=False)


def written(value: Any) -> str:
    """JSON as a careful server would write it: decimals as their digits."""
    if isinstance(value, Decimal):
        text = format(value, "f")
        return text if value.is_finite() else "0"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{written(v)}" for k, v in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


DIGITS = st.from_regex(
    r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,4})?", fullmatch=True
)


@given(DIGITS)
def test_a_number_is_exactly_what_was_written(text: str) -> None:
    value = decode(text.encode())
    assert isinstance(value, int | Decimal)
    assert not isinstance(value, bool)
    assert value == Decimal(text)
    if isinstance(value, Decimal):
        assert value.as_tuple() == Decimal(text).as_tuple()


@given(
    st.recursive(
        SCALARS.filter(lambda v: not isinstance(v, Decimal) or v.is_finite()),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_any_document_comes_back(value: Any) -> None:
    try:
        body = written(value).encode()
    except UnicodeEncodeError:  # a lone surrogate drawn as text: below
        return
    assert decode(body) == value


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"1395.16", Decimal("1395.16")),
        (b"0.1", Decimal("0.1")),
        (b"1.0", Decimal("1.0")),
        (b"1e400", Decimal("1e400")),
        (b"-1E-400", Decimal("-1e-400")),
        (b"12345678901234567890123", 12345678901234567890123),
        (b"18446744073709551616", 2**64),
        (b"-9223372036854775809", -(2**63) - 1),
        (b"1" * 5000, Decimal("1" * 5000)),
        (b"1e99999999999999999999", "1e99999999999999999999"),
        (b'"\\u0000"', "\x00"),
        (b'"a\\ud800b"', "a\ud800b"),
        (b'"\\udc00"', "\udc00"),
        (b'"\\ud83d\\ude00"', "😀"),
        (b'"\xff"', "\udcff"),
        (b'"a\nb"', "a\nb"),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b'{"a": [1.5, "\\ud800", 1e400]}', {"a": [Decimal("1.5"), "\ud800", Decimal("1e400")]}),
    ],
)
def test_quirks(body: bytes, value: Any) -> None:
    decoded = decode(body)
    assert decoded == value
    assert type(decoded) is type(value)


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"a": 1', b"[1,", b'"abc', b"NaN", b"{} x", b"[" * 100_000]
)
def test_what_is_no_whole_document_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the message is the decoder's
        decode(body)
