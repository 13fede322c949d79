"""Decompression of an answer's body, in small steps.

A few hundred compressed bytes can expand to gigabytes, above all with nested codings. So a single
coding is accepted, gzip or deflate, and one step never yields more than STEP_BYTES. The caller
checks size and time between two steps.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

STEP_BYTES = 256 * 1024
MAX_BODY_BYTES = 16 * 1024 * 1024
"""The most decoded bytes of one answer: a usual page has 0.2 to 1 MB."""
MOST_VALUES = 250_000
"""The most values of one answer's JSON: a hundred usual orders have ten thousand. A value costs up
to 250 bytes in memory, whatever it was in the answer: a million empty objects have 3 MB there."""
_GZIP = zlib.MAX_WBITS | 16
_RAW = -zlib.MAX_WBITS


def is_overfull(body: bytes) -> bool:
    """Tell whether a JSON text may hold more than MOST_VALUES values, without decoding it.

    Each value but the outermost follows a comma or a bracket. Those inside of strings count too:
    text has one in some thirty characters.
    """
    if len(body) < 2 * MOST_VALUES:
        return False
    return sum(body.count(each) for each in (b",", b"[", b"{")) > MOST_VALUES


class UnknownCoding(Exception):
    """The body has a coding that was not requested, or several codings."""


class Undecodable(Exception):
    """The body is not in the coding its headers name."""


class Decoder:
    """A decoder of one body. `codings` are the values of Content-Encoding."""

    def __init__(self, codings: Sequence[str]) -> None:
        named = [coding.strip().lower() for coding in codings if coding.strip()]
        if len(named) > 1 or not set(named) <= {"gzip", "deflate", "identity"}:
            raise UnknownCoding(", ".join(named))
        self._coding = named[0] if named else "identity"
        self._held = b""
        self._inflate = zlib.decompressobj(_GZIP) if self._coding == "gzip" else None

    def steps(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the decoded pieces of a received chunk; some may be empty. Raises Undecodable."""
        if self._coding == "identity":
            yield chunk
            return
        if self._inflate is None:
            self._held += chunk
            if len(self._held) < 2:
                return
            chunk = self._held
            self._inflate = zlib.decompressobj(_bits_of_deflate(chunk))
        while not self._inflate.eof:  # bytes after the end of the stream are ignored
            try:
                piece = self._inflate.decompress(chunk, STEP_BYTES)
            except zlib.error as error:
                raise Undecodable(str(error)) from None
            chunk = self._inflate.unconsumed_tail
            yield piece
            if not chunk and len(piece) < STEP_BYTES:
                return


def _bits_of_deflate(beginning: bytes) -> int:
    """Return zlib's window bits: `deflate` means zlib format, but some servers send it raw."""
    is_wrapped = beginning[0] & 0x0F == 8 and int.from_bytes(beginning[:2]) % 31 == 0
    return zlib.MAX_WBITS if is_wrapped else _RAW
