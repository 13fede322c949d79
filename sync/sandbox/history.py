"""A history method: entries by ascending id, stubs, late commits, retention, hidden rows."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sync.sandbox.knobs import Knobs


@dataclass(slots=True)
class Entry:
    """One history record. `body` is everything after `createdAt`, without braces."""

    id: int
    at: float
    created_at: str
    owner: int
    site: str | None
    body: bytes
    whole: bytes | None = None  # the full object of a `created` record, rendered when asked for
    customer: int | None = None
    contact: int | None = None


def is_hidden(entry_id: int, share: float) -> bool:
    """Decided by the id alone, so that the knob can be turned at any time."""
    return share > 0 and (entry_id * 2654435761) % 4294967296 < share * 4294967296


class History:
    """The entries of one history method."""

    def __init__(self, name: str, *, first_id: int = 1) -> None:
        self.name = name
        self.entries: list[Entry] = []
        self.next_id = first_id
        self._late: dict[int, tuple[float, Entry]] = {}  # by id: when its transaction commits
        self._late_owner: dict[int, float] = {}
        self._narrowed: dict[tuple[str, ...], tuple[int, list[Entry]]] = {}

    def append(self, entry: Entry, *, now: float, committed: float) -> int:
        """Allot the next id; the entry is seen when its save is committed."""
        entry.id = self.next_id
        self.next_id += 1
        self.entries.append(entry)
        committed = max(committed, self._late_owner.get(entry.owner, 0.0))
        if committed > now:
            self._late[entry.id] = committed, entry
            self._late_owner[entry.owner] = committed
        return entry.id

    def settle(self, now: float) -> None:
        """Forget the commits that have happened."""
        if self._late:
            self._late = {i: late for i, late in self._late.items() if late[0] > now}
            self._late_owner = {i: at for i, at in self._late_owner.items() if at > now}

    def pending(self, now: float) -> int:
        self.settle(now)
        return len(self._late)

    def newest_id(self, now: float) -> int:
        """Id of the newest entry anybody may see; 0 when there is none."""
        self.settle(now)
        for entry in reversed(self.entries):
            if entry.id not in self._late:
                return entry.id
        return 0

    def of_sites(self, sites: tuple[str, ...] | None) -> list[Entry]:
        """The entries a key sees; they only grow, so those of a selective key are kept."""
        if sites is None:
            return self.entries
        upto, kept = self._narrowed.get(sites, (0, []))
        kept += [e for e in self.entries[upto:] if e.site is None or e.site in sites]
        self._narrowed[sites] = len(self.entries), kept
        return kept

    def remaining(
        self,
        entries: list[Entry],
        *,
        since: int,
        now: float,
        knobs: Knobs,
        sieve: Callable[[Entry], bool] | None,
    ) -> tuple[int, Iterator[Entry]]:
        """How many of `entries` follow `since` (totalCount), and those a page may show."""
        self.settle(now)
        start = bisect_right(entries, since, key=lambda e: e.id)
        if knobs.history_retention is not None:
            oldest = now - knobs.history_retention
            start = max(start, bisect_left(entries, oldest, key=lambda e: e.at))
        if sieve is not None:
            later = range(start, len(entries))
            total = sum(sieve(entries[i]) and entries[i].id not in self._late for i in later)
        elif start < len(entries):
            total = len(entries) - start - self._late_within(entries, entries[start].id)
        else:
            total = 0
        return total, self._shown(entries, start, knobs, sieve)

    def _late_within(self, entries: list[Entry], first: int) -> int:
        """How many entries from id `first` on are not committed yet."""
        late = [i for i in self._late if i >= first]
        if entries is self.entries:
            return len(late)
        found = (bisect_left(entries, i, key=lambda e: e.id) for i in late)
        return sum(
            n < len(entries) and entries[n].id == i for n, i in zip(found, late, strict=True)
        )

    def _shown(
        self,
        entries: list[Entry],
        start: int,
        knobs: Knobs,
        sieve: Callable[[Entry], bool] | None,
    ) -> Iterator[Entry]:
        share = knobs.history_hidden_share
        for i in range(start, len(entries)):
            entry = entries[i]
            if entry.id in self._late or is_hidden(entry.id, share):
                continue
            if sieve is None or sieve(entry):
                yield entry
