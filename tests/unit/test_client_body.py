"""Bodies out of their coding: the same bytes however they were cut, and never many at once."""

from __future__ import annotations

import gzip
import itertools
import zlib
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.crm.body import STEP_BYTES, Decoder, Undecodable, UnknownCoding


def bare(data: bytes) -> bytes:
    """A stream without zlib's wrapping, which some servers call deflate."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKED = {
    "gzip": ("gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "bare deflate": ("deflate", bare),
    "nothing": ("identity", bytes),
}


def decoded(codings: list[str], chunks: Iterable[bytes]) -> bytes:
    decoder = Decoder(codings)
    return b"".join(piece for chunk in chunks for piece in decoder.steps(chunk))


@pytest.mark.parametrize("packed", PACKED.values(), ids=PACKED)
@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 400), max_size=6))
def test_a_body_is_the_same_wherever_it_was_cut(
    packed: tuple[str, type[bytes]], data: bytes, cuts: list[int]
) -> None:
    """Also inside the header of its coding."""
    coding, pack = packed
    sent = pack(data)
    edges = sorted({0, len(sent), *(min(cut, len(sent)) for cut in cuts)})
    chunks = [sent[begin:end] for begin, end in itertools.pairwise(edges)]
    assert decoded([coding], chunks) == data


@pytest.mark.parametrize("packed", list(PACKED.values())[:3], ids=list(PACKED)[:3])
def test_a_step_never_yields_much(packed: tuple[str, type[bytes]]) -> None:
    """Thirty megabytes from one chunk of thirty kilobytes come a quarter of a megabyte a step."""
    coding, pack = packed
    data = b" " * 30_000_000
    sizes = [len(piece) for piece in Decoder([coding]).steps(pack(data))]
    assert sum(sizes) == len(data)
    assert max(sizes) <= STEP_BYTES


def test_what_decodes_to_nothing_comes_back_after_each_chunk() -> None:
    """Else a stream of empty blocks would keep its reader from ever looking at the clock."""
    beginning = gzip.compress(b"")[:10]
    empty_block = b"\x00\x00\x00\xff\xff"
    decoder = Decoder(["gzip"])
    assert list(decoder.steps(beginning + empty_block * 10_000)) == [b""]
    assert list(decoder.steps(empty_block * 10_000)) == [b""]


def test_what_follows_the_end_is_not_part_of_the_body() -> None:
    assert decoded(["gzip"], [gzip.compress(b"{}") + b"more", b"and more"]) == b"{}"


@pytest.mark.parametrize("codings", [[], [""], ["identity"], ["IDENTITY"]])
def test_no_coding_leaves_bytes_as_they_are(codings: list[str]) -> None:
    assert decoded(codings, [b"{", b"}"]) == b"{}"


def test_a_codings_name_is_read_in_any_case() -> None:
    assert decoded([" GZip "], [gzip.compress(b"{}")]) == b"{}"


@pytest.mark.parametrize(
    "codings", [["gzip", "gzip"], ["gzip", "identity"], ["br"], ["zstd"], ["x"], ["deflate"] * 50]
)
def test_several_codings_or_another_are_refused(codings: list[str]) -> None:
    """Ten codings inside each other turn a line into more than any disk holds."""
    with pytest.raises(UnknownCoding):
        Decoder(codings)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_what_is_not_in_its_coding_is_told(coding: str) -> None:
    with pytest.raises(Undecodable):
        decoded([coding], [b"\xff\xff\xff\xff\xff\xff"])
