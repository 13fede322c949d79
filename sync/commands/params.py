"""Parse the arguments people type: dates, resources, and the source of an API key."""

from __future__ import annotations

import datetime as dt
import os
import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from sync.errors import BadRequest
from sync.resources import RESOURCES
from sync.state import operations
from sync.work.account import typed_key

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,80}")
_KEY_BYTES = 4_096
_TITLE = 100
_NOT_IN_TITLES = re.compile(
    r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
"""Control characters, halves of characters, and what turns the direction of the text around it.

The joiners U+200C and U+200D are parts of words and of emoji.
"""


class Day(click.ParamType[dt.date]):
    """A store-local day, `YYYY-MM-DD`."""

    name = "date"

    def convert(self, value: Any, param: Any, ctx: Any) -> dt.date:
        """Parse the text as a date, or fail with a message that shows the format."""
        if isinstance(value, dt.date):
            return value
        try:
            return dt.datetime.strptime(value, "%Y-%m-%d").date()  # noqa: DTZ007  a day has no zone
        except ValueError:
            self.fail(f"{value!r} is not a day; write it like 2024-01-31.", param, ctx)


DAY = Day()


def check_days(since: dt.date | None, until: dt.date | None) -> None:
    """Raise BadRequest for a range that ends before it begins, or that has not begun anywhere."""
    operations.require_past(since)
    if since is not None and until is not None and until < since:
        raise BadRequest(f"--until {until} is before --since {since}.")


def check_name(name: str) -> str:
    """Return a valid store name: letters, digits and . _ -, as typed in commands and in SQL."""
    if not _NAME.fullmatch(name):
        raise BadRequest(
            f"{name!r} cannot be a store's name in commands and SQL: write up to 63 letters, "
            "digits, dots, underscores or hyphens, e.g. shop-ru; any other text can be its --title"
        )
    return name


def check_title(title: str) -> str | None:
    """Return a store's name for people, of any one line of text; None for an empty one."""
    text = " ".join(title.split())
    if len(text) > _TITLE or _NOT_IN_TITLES.search(text):
        raise BadRequest(f"A title is one line of at most {_TITLE} characters.")
    return text or None


def check_resources(names: Sequence[str]) -> list[str]:
    """Return the names without duplicates; BadRequest suggests the nearest for an unknown name."""
    for name in names:
        if name not in RESOURCES:
            raise BadRequest(f"There is no resource {name!r}.{_hint(name)}")
    return list(dict.fromkeys(names))


def _hint(name: str) -> str:
    for resource in RESOURCES.values():
        if name in {child.name for child in resource.children}:
            return f" {name} comes with {resource.name!r}: name that."
    near = get_close_matches(name.replace("-", "_").lower(), RESOURCES, 1)
    return f" Did you mean {near[0]!r}?" if near else f" There are: {', '.join(RESOURCES)}."


def api_key(*, variable: str | None, file: str | None) -> str:
    """Return the API key from the given variable or file, from stdin, or from a silent prompt.

    It is never taken from the command line, which every user of the machine can read.
    """
    if variable is not None and file is not None:
        raise BadRequest("Give --api-key-env or --api-key-file, not both.")
    if variable is not None:
        return typed_key(_of_variable(variable), f"the variable {variable}")
    if file is not None and file != "-":
        return typed_key(_of_file(file), file)
    if file == "-" or not sys.stdin.isatty():
        return typed_key(sys.stdin.read(_KEY_BYTES), "stdin")
    return typed_key(click.prompt("API key", hide_input=True, type=str), "what was typed")


def piped_key() -> str | None:
    """Return the API key from stdin; None where that is a terminal, or empty."""
    text = "" if sys.stdin.isatty() else sys.stdin.read(_KEY_BYTES)
    return typed_key(text, "stdin") if text.strip() else None


def _of_variable(variable: str) -> str:
    # A key typed here by mistake must not be repeated on the screen.
    if not _VARIABLE.fullmatch(variable.upper()) or variable not in os.environ:  # noqa: TID251
        shown = variable if _VARIABLE.fullmatch(variable) else "that name"
        raise BadRequest(
            f"The environment has no variable {shown}; --api-key-env takes the name of the "
            "variable that holds the key, e.g. --api-key-env SHOP_KEY"
        )
    return os.environ[variable]  # noqa: TID251  the person names it


def _of_file(file: str) -> str:
    try:
        return Path(file).expanduser().read_text(encoding="utf-8-sig")[:_KEY_BYTES]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise BadRequest(f"The key file cannot be read: {reason}.") from None
