"""What an account says, made fit for a log, a table, a terminal."""

from __future__ import annotations

from sync.telemetry.secrets import scrubbed

LONGEST = 2_000


def plain(value: object, *, most: int = LONGEST) -> str:
    """One printable line of at most so many characters, without any known key.

    Control characters would be obeyed by a terminal, NUL and lone surrogates refused by Postgres,
    and a line break would make two lines of one: each becomes a space.
    """
    text = scrubbed(str(value))[:most]
    return (text if text.isprintable() else _printable(text, kept="")).strip()


def plain_lines(text: str) -> str:
    """Text of our own that quotes an account, as `plain` makes it but with its lines."""
    return _printable(scrubbed(text), kept="\n")


def _printable(text: str, *, kept: str) -> str:
    return "".join(c if c.isprintable() or c in kept else " " for c in text)
