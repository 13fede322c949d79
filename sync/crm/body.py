"""The bytes of an answer out of their coding, in steps too small to hurt.

A few hundred bytes on the wire can stand for gigabytes, and so can codings inside each other. So
one coding is taken, of the two that are asked for, and a step never yields more than STEP_BYTES,
whatever is in it: who reads looks at size and time between two.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

STEP_BYTES = 256 * 1024
_GZIP = zlib.MAX_WBITS | 16
_RAW = -zlib.MAX_WBITS


class UnknownCoding(Exception):
    """The body is in a coding nobody asked for, or in several."""


class Undecodable(Exception):
    """The body is not in the coding its headers name."""


class Decoder:
    """Takes a body's chunks as received. `codings` are the values of Content-Encoding."""

    def __init__(self, codings: Sequence[str]) -> None:
        named = [coding.strip().lower() for coding in codings if coding.strip()]
        if len(named) > 1 or not set(named) <= {"gzip", "deflate", "identity"}:
            raise UnknownCoding(", ".join(named))
        self._coding = named[0] if named else "identity"
        self._held = b""
        self._inflate = zlib.decompressobj(_GZIP) if self._coding == "gzip" else None

    def steps(self, chunk: bytes) -> Iterator[bytes]:
        """What a chunk holds, piece by piece, also empty ones; Undecodable when it is wrong."""
        if self._coding == "identity":
            yield chunk
            return
        if self._inflate is None:
            self._held += chunk
            if len(self._held) < 2:
                return
            chunk = self._held
            self._inflate = zlib.decompressobj(_bits_of_deflate(chunk))
        while not self._inflate.eof:  # what follows the end belongs to nothing
            try:
                piece = self._inflate.decompress(chunk, STEP_BYTES)
            except zlib.error as error:
                raise Undecodable(str(error)) from None
            chunk = self._inflate.unconsumed_tail
            yield piece
            if not chunk and len(piece) < STEP_BYTES:
                return


def _bits_of_deflate(beginning: bytes) -> int:
    """`deflate` means zlib's wrapping; some servers send the bare stream under the same name."""
    is_wrapped = beginning[0] & 0x0F == 8 and int.from_bytes(beginning[:2]) % 31 == 0
    return zlib.MAX_WBITS if is_wrapped else _RAW
