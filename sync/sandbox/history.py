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
        self._late: dict[int, float] = {}  # entry id -> when its transaction commits
        self._late_owner: dict[int, float] = {}

    def append(self, entry: Entry, *, now: float, committed: float) -> int:
        """Allot the next id; the entry is seen when its save is committed."""
        entry.id = self.next_id
        self.next_id += 1
        self.entries.append(entry)
        committed = max(committed, self._late_owner.get(entry.owner, 0.0))
        if committed > now:
            self._late[entry.id] = committed
            self._late_owner[entry.owner] = committed
        return entry.id

    def settle(self, now: float) -> None:
        """Forget the commits that have happened."""
        if self._late:
            self._late = {i: at for i, at in self._late.items() if at > now}
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

    def remaining(
        self, *, since: int, now: float, knobs: Knobs, sieve: Callable[[Entry], bool] | None
    ) -> tuple[int, Iterator[Entry]]:
        """How many entries follow `since` (what totalCount says), and those a page may show."""
        self.settle(now)
        start = bisect_right(self.entries, since, key=lambda e: e.id)
        if knobs.history_retention is not None:
            oldest = now - knobs.history_retention
            start = max(start, bisect_left(self.entries, oldest, key=lambda e: e.at))
        late = self._late
        if sieve is None:
            first = self.entries[start].id if start < len(self.entries) else 0
            total = len(self.entries) - start - sum(1 for i in late if first <= i)
            return total, self._shown(start, knobs, None)
        total = sum(
            1
            for i in range(start, len(self.entries))
            if sieve(self.entries[i]) and self.entries[i].id not in late
        )
        return total, self._shown(start, knobs, sieve)

    def _shown(
        self, start: int, knobs: Knobs, sieve: Callable[[Entry], bool] | None
    ) -> Iterator[Entry]:
        share, late = knobs.history_hidden_share, self._late
        for i in range(start, len(self.entries)):
            entry = self.entries[i]
            if entry.id in late or is_hidden(entry.id, share):
                continue
            if sieve is None or sieve(entry):
                yield entry
