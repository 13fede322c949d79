"""The encoding of the API: PHP's nested parameters in, PHP's JSON out."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

Json = dict[str, Any]

_BRACKETS = re.compile(r"\[([^\]]*)\]")


class Refusal(Exception):
    """An answer other than 200, with the body the API would send."""

    def __init__(self, status: int, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body: Json = {"success": False, "errorMsg": message, **more}


def nested(query: str) -> Json:
    """`filter[ids][]=1&filter[ids][]=2&limit=20` -> {"filter": {"ids": ["1", "2"]}, "limit": "20"}.

    As in PHP, a later value replaces an earlier one of the same name. `[0]`, `[1]` make a list
    as `[]` does: callers read both through `values`.
    """
    tree: Json = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        head, bracket, rest = name.partition("[")
        if not bracket:
            tree[name] = value
            continue
        path = [head, *_BRACKETS.findall("[" + rest)]
        here: Json = tree
        for step in path[:-1]:
            below = here.get(step)
            if not isinstance(below, dict):
                below = here[step] = {}
            here = below
        here[path[-1] or str(len(here))] = value
    return tree


def values(given: Any) -> list[str]:
    """Return the values of a parameter that may come alone, as `[]` or as `[0]`, `[1]`…"""
    if isinstance(given, dict):
        return [str(v) for v in given.values() if not isinstance(v, dict)]
    return [str(given)]


def loose(number: float) -> int | float:
    """Return a number as the API writes it: whole ones as int, others with at most two decimals."""
    rounded = round(number, 2)
    return int(rounded) if rounded == int(rounded) else rounded
