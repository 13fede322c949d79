"""Text from an account, made safe for a log, a table or a terminal."""

from __future__ import annotations

from sync.telemetry.secrets import scrubbed

LONGEST = 2_000


def plain(value: object, *, most: int = LONGEST) -> str:
    """Return one printable line of at most `most` characters, without any known key.

    Each unprintable character becomes a space: a terminal would execute control characters,
    Postgres would refuse NUL and lone surrogates, and a line break would split the line.
    """
    text = scrubbed(str(value))[:most]
    return (text if text.isprintable() else _printable(text, kept="")).strip()


def plain_lines(text: str) -> str:
    """Return our own text that quotes an account, made safe like `plain`, with its line breaks."""
    return _printable(scrubbed(text), kept="\n")


def _printable(text: str, *, kept: str) -> str:
    return "".join(c if c.isprintable() or c in kept else " " for c in text)
