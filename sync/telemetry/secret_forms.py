"""The forms in which a secret may stand in a text, and the places where it does. Pure.

A secret is looked for as it is, in base64 and in hex; and again after each layer of escapes that
the text has is undone: JSON's and Python's `\\u0041`, `\\x41`, `\\"`, percent codes, HTML's
entities. What is cut out are the characters of the text as it was, so that the rest stays as it is.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from urllib.parse import unquote_to_bytes

HEAD = 8
"""The first characters of a form, by which it is looked up."""
MOST_LAYERS = 5
_BACKSLASH = (
    r"\\u[0-9a-fA-F]{4}|\\U000[01][0-9a-fA-F]{4}|\\U0010[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|\\."
)
# One character of UTF-8 each: the codes of its bytes.
_NEXT = "%[89abAB][0-9a-fA-F]"
_PERCENT = (
    rf"%[0-7][0-9a-fA-F]|%[c-dC-D][0-9a-fA-F]{_NEXT}|%[eE][0-9a-fA-F](?:{_NEXT}){{2}}"
    rf"|%[fF][0-7](?:{_NEXT}){{3}}"
)
_ENTITY = r"&(?:amp|lt|gt|quot|apos|#\d{1,7}|#[xX][0-9a-fA-F]{1,6});"
_KINDS = tuple(re.compile(each, re.DOTALL) for each in (_BACKSLASH, _PERCENT, _ENTITY))
_ESCAPE = re.compile("|".join((_BACKSLASH, _PERCENT, _ENTITY)), re.DOTALL)

Forms = Mapping[str, tuple[str, ...]]
"""Forms of secrets by their heads."""
Span = tuple[int, int]


def forms_of(secret: str) -> set[str]:
    """Return what to look for: forms that no undoing of escapes leads to."""
    encoded = secret.encode("utf-8", "surrogatepass")
    # Undoing the escapes of a text also undoes what only looks like one in the secret itself.
    found = {secret, encoded.decode("latin-1"), _in_units(secret)}
    for _ in range(2):
        found |= {each.sub(_meant, form) for each in (*_KINDS, _ESCAPE) for form in found}
    if " " in secret:
        found |= {form.replace(" ", "+") for form in found}
    found |= {form.rstrip("\\") for form in found}  # what follows may seem to be escaped by it
    found |= {encoded.hex(), encoded.hex().upper()}
    for shift in range(3):
        # The characters that hold nothing but bits of the secret, wherever it begins.
        text = base64.b64encode(bytes(shift) + encoded).decode()
        inside = text[-(-8 * shift // 6) : 8 * (shift + len(encoded)) // 6]
        found |= {inside, inside.replace("+", "-").replace("/", "_")}
    return {form for form in found if len(form) >= HEAD}


def _in_units(text: str) -> str:
    """Return a text with halves of surrogate pairs as characters, as their escapes give them."""
    units = memoryview(text.encode("utf-16-le", "surrogatepass")).cast("H")
    return "".join(map(chr, units))


def cut_out(text: str, forms: Forms, *, shown: str) -> str:
    """Return the text with `shown` in place of every secret."""
    layer, is_hit = text, next(_hits(text, forms), None) is not None
    for _ in range(MOST_LAYERS):
        if is_hit or not _ESCAPE.search(layer):
            break
        layer = _ESCAPE.sub(_meant, layer)
        is_hit = next(_hits(layer, forms), None) is not None
    return _without(text, sorted(_spans(text, forms)), shown) if is_hit else text


def _without(text: str, spans: list[Span], shown: str) -> str:
    pieces, end = [], 0
    for first, last in spans:
        if first >= end:
            pieces += [text[end:first], shown]
        end = max(end, last)
    return "".join([*pieces, text[end:]])


def _spans(text: str, forms: Forms) -> Iterator[Span]:
    """Yield the places of secrets in a text, whatever layer of its escapes they appear in."""
    layer, places = text, list(pairwise(range(len(text) + 1)))
    yield from _hits(text, forms)
    for _ in range(MOST_LAYERS):
        if not _ESCAPE.search(layer):
            return
        layer, places = _undone(layer, places)
        for first, last in _hits(layer, forms):
            yield places[first][0], places[last - 1][1]


def _hits(text: str, forms: Forms) -> Iterator[Span]:
    for at in [at for at in range(len(text) - HEAD + 1) if text[at : at + HEAD] in forms]:
        for form in forms[text[at : at + HEAD]]:
            if text.startswith(form, at):
                yield at, at + len(form)


def _undone(text: str, places: list[Span]) -> tuple[str, list[Span]]:
    """Undo one layer of escapes; return the text and the place of each of its characters."""
    pieces: list[str] = []
    kept: list[Span] = []
    end = 0
    for match in _ESCAPE.finditer(text):
        meant = _meant(match)
        pieces += [text[end : match.start()], meant]
        kept += places[end : match.start()]
        kept += [(places[match.start()][0], places[match.end() - 1][1])] * len(meant)
        end = match.end()
    return "".join([*pieces, text[end:]]), kept + places[end:]


def _meant(match: re.Match[str]) -> str:
    """Return the character that an escape stands for."""
    written = match[0]
    return _MEANT[written[0]](written)


def _unslashed(written: str) -> str:
    if len(written) == 2:
        return written[1]
    digits = written[2:]
    return chr(int(digits, 16))


def _unquoted(written: str) -> str:
    return unquote_to_bytes(written).decode("utf-8", "replace")


_MEANT: dict[str, Callable[[str], str]] = {
    "\\": _unslashed, "%": _unquoted, "&": html.unescape,
}  # fmt: skip
