"""Query strings in PHP's notation from Python mappings: `filter[ids][]=1&filter[ids][]=2`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import quote


def query_of(params: Mapping[str, Any]) -> str:
    """Return the encoded query string. Order is kept, None is left out, True is 1 and False is 0.

    ValueError for an empty list: without the parameter, `filter[ids]` would select the whole list.
    TypeError for a date-time: only the caller knows the store's zone.
    """
    return "&".join(
        f"{quote(name, safe='')}={quote(text, safe='')}" for name, text in _flat(params)
    )


def _flat(params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in params.items():
        yield from _pairs(name, value)


def _pairs(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if value is None:
        return
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _pairs(f"{name}[{key}]", inner)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        if not value:
            raise ValueError(f"{name} is an empty list, which the API would read as no filter")
        for index, inner in enumerate(value):
            # PHP would read `[][a]=1&[][b]=2` as two elements, so nested values get an index.
            nested = isinstance(inner, Mapping | Sequence) and not isinstance(inner, str | bytes)
            yield from _pairs(f"{name}[{index if nested else ''}]", inner)
    else:
        yield name, _text(name, value)


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value.isoformat()
    raise TypeError(f"{name} is a {type(value).__name__}; render it as text first")
