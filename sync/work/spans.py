"""The places of a list, and the requests that cover them, whatever size their pages have. No I/O.

A checkpoint and the API's pages count places: page 3 of a hundred records is the places 200 to 299.
The size that is asked for is an attribute of a request alone. Where pages of a hundred fail, the
same places are covered by pages of fifty, of twenty, or by ids:

    page 3 of 100           [200, 300) by 100
    the request failed      [200, 250) by 50, then [250, 300) by 100
    the first came          [250, 300) by 50, when that is the size kept by now
"""

from __future__ import annotations

from dataclasses import dataclass, replace

SIZES = (250, 100, 50, 20)
"""The sizes that the API accepts, somewhere at least."""
BY_ID = 0
"""In place of a size: no page comes, and the records are requested by their ids."""


@dataclass(frozen=True, slots=True)
class Span:
    """The places of a list from `first` to before `end`, to be read in pages of `size` records.

    `kept` is the size that was known to come when the reading of these places began.
    """

    first: int
    end: int
    size: int
    kept: int

    @property
    def number(self) -> int:
        """The page that shows the first place."""
        return self.first // self.size + 1

    @property
    def reach(self) -> int:
        """The place after the last one that the next request settles."""
        return self.end if self.size == BY_ID else min(self.end, self.number * self.size)

    @property
    def skipped(self) -> int:
        """The number of records on that page before the first place."""
        return self.first % self.size

    @property
    def is_by_id(self) -> bool:
        """True when no page of any size comes."""
        return self.size == BY_ID


Spans = tuple[Span, ...]
"""The rest of a page, in order; the next request is for the first place."""


def spans_of(
    page: int, page_size: int, *, size: int, kept: int | None = None, done: int = 0
) -> Spans:
    """Return what is to be read of a page of `page_size` records, after `done` of them."""
    first, end = page_size * (page - 1), page_size * page
    return (Span(first + done, end, size, size if kept is None else kept),)


def rest(spans: Spans, *, total: int | None, size: int) -> Spans:
    """Return what is left of a page after its next request succeeded.

    `total` is the length of the list according to that request, None when places are not records
    (the API chose another size than it was asked for). `size` is the one kept by now.
    """
    head, others = spans[0], spans[1:]
    left = list(others)
    if head.reach < head.end:
        left.insert(0, replace(head, first=head.reach))
    if total is not None:
        left = [each for each in left if each.first < total]
    return tuple(replace(each, size=min(each.size, size)) for each in left)


def smaller(spans: Spans, *, by_ids: bool) -> Spans | None:
    """Return a page's spans with a smaller first request; None when there is no smaller one."""
    head, others = spans[0], spans[1:]
    size = size_below(head.size, by_ids=by_ids)
    if size is None:
        return None
    parts = [Span(head.first, head.reach, size, head.kept)]
    if head.reach < head.end:
        parts.append(replace(head, first=head.reach))
    return (*parts, *others)


def size_below(size: int, *, by_ids: bool) -> int | None:
    """Return the next smaller size, BY_ID after the smallest where ids can be asked for."""
    below = [each for each in SIZES if each < size]
    if below:
        return below[0]
    return BY_ID if by_ids and size != BY_ID else None


def size_above(size: int, *, usual: int) -> int:
    """Return the next larger size, at most the usual one."""
    return min((each for each in SIZES if size < each <= usual), default=usual)


def pages_in(total: int, page_size: int) -> int:
    """Return the number of pages of a list."""
    return -(-total // page_size)
