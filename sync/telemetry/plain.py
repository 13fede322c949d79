"""What an account says, made fit for a line: of a log, of a table, of a terminal."""

from __future__ import annotations

from sync.telemetry.secrets import scrubbed

LONGEST = 2_000


def plain(value: object, *, most: int = LONGEST) -> str:
    """One printable line of at most so many characters, without any known key.

    Control characters would be obeyed by a terminal, NUL and lone surrogates refused by Postgres,
    and a line break would make two lines of one: each becomes a space.
    """
    text = scrubbed(str(value))[:most]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    return text.strip()
