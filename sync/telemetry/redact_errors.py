"""Messages of database errors, without the rows in them.

Postgres adds DETAIL and CONTEXT with values after the first line of a message, often a whole row;
and the first line quotes a value that cannot be parsed. None of these values may appear in a log, a
report or on the status page. Database errors are recognised by their attributes (`orig` in
SQLAlchemy, `sqlstate` in psycopg), so this module imports no driver.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sync.telemetry.secrets import scrubbed

LONGEST = 300
_QUOTE = re.compile(r"""(?:^|(?<=\s))["']""")


def told(error: BaseException) -> str:
    """Return type, SQLSTATE and first line: "UniqueViolation 23505: duplicate key …"."""
    origin = _origin(error)
    name = " ".join(filter(None, (type(origin).__name__, getattr(origin, "sqlstate", None))))
    return f"{name}: {first_line(origin)}"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, cut before a value that it quotes."""
    origin = _origin(error)
    line = next(iter(str(origin).strip().splitlines()), "")
    if _is_of_database(origin) and any(c.__name__ == "DataError" for c in type(origin).__mro__):
        before, *value = _QUOTE.split(line, maxsplit=1)
        line = f"{before}…" if value else before
    return scrubbed(line)[:LONGEST]  # a secret that is cut is not found any more


def without_rows(text: str, error: BaseException | None) -> str:
    """Return a text about `error`, for example a traceback, with database messages shortened."""
    for each in _chain(error):
        origin = _origin(each)
        if _is_of_database(origin):
            line = first_line(origin)
            for said in (str(each), str(origin)):
                if said and said != line:
                    text = text.replace(said, line).replace(repr(said)[1:-1], line)
    return text


def _origin(error: BaseException) -> BaseException:
    origin = getattr(error, "orig", None)
    return origin if isinstance(origin, BaseException) else error


def _is_of_database(error: BaseException) -> bool:
    return hasattr(error, "sqlstate")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, its causes and contexts, and the members of exception groups."""
    left, seen = [error], set[int]()
    while left:
        each = left.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            left += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]
