"""What an error says, without the rows it happened to.

Postgres explains an error with what it has at hand: behind the first line come DETAIL and CONTEXT
with values, often a whole row, and of a value it cannot read the first line quotes that. None of
it may leave for a log, a report, a status page. Errors of the database are told by what they have
(`orig` of SQLAlchemy's, `sqlstate` of psycopg's): whoever logs need not load a driver.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

LONGEST = 300
_QUOTE = re.compile(r"""(?:^|(?<=\s))["']""")


def told(error: BaseException) -> str:
    """An error's type, SQLSTATE and first line: "UniqueViolation 23505: duplicate key …"."""
    origin = _origin(error)
    name = " ".join(filter(None, (type(origin).__name__, getattr(origin, "sqlstate", None))))
    return f"{name}: {first_line(origin)}"


def first_line(error: BaseException) -> str:
    """The first line of an error's message; of one about a value, up to the value."""
    origin = _origin(error)
    line = next(iter(str(origin).strip().splitlines()), "")
    if _is_of_database(origin) and any(c.__name__ == "DataError" for c in type(origin).__mro__):
        before, *value = _QUOTE.split(line, maxsplit=1)
        line = f"{before}…" if value else before
    return line[:LONGEST]


def without_rows(text: str, error: BaseException | None) -> str:
    """A text about an error, a traceback say, with what database errors in it say cut short."""
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
    """An error, and what it came from or holds."""
    left, seen = [error], set[int]()
    while left:
        each = left.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            left += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]
