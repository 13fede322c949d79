"""Marks, by which a text tells that it is about a person, and their spellings. Pure.

A mark is a whole name or address, a phone or an e-mail: a first name alone stands in the records
of others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from urllib.parse import quote

SHORTEST = 6
"""Characters of a mark: shorter ones are found anywhere."""


def marks_in(texts: Iterable[str]) -> tuple[str, ...]:
    """Return those of the texts that are long enough to tell a person."""
    return tuple(sorted({text for text in texts if len(text) >= SHORTEST}))


def spellings(mark: str) -> set[str]:
    """Return a mark as it is, with JSON's escapes, once more escaped, percent-coded, and in hex.

    In lower case, as whatever they are looked for in must be.
    """
    in_json = json.dumps(mark)[1:-1]
    plain = {mark, in_json, in_json.replace("\\", "\\\\"), quote(mark), quote(mark, safe="")}
    hexed = {each.encode().hex() for each in (mark, in_json)}
    return {each.lower() for each in plain | hexed}
