"""A history method: entries by ascending id, stubs, late publication, retention, hidden entries."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from sync.sandbox.knobs import Knobs


@dataclass(slots=True)
class Entry:
    """One history entry. `body` is everything after `createdAt`, without braces."""

    id: int
    at: float
    created_at: str
    owner: int
    site: str | None
    body: bytes
    whole: bytes | None = None  # the full object of a `created` record, rendered when asked for
    customer: int | None = None
    contact: int | None = None
    seen_at: float = 0.0  # when it is published, perhaps after its save's commit
    key: str | None = None  # the API key that wrote it


def is_chosen(entry_id: int, share: float) -> bool:
    """Tell whether an entry is in the share; depends on the id alone, so the knob may change."""
    return share > 0 and (entry_id * 2654435761) % 4294967296 < share * 4294967296


class History:
    """The entries of one history method."""

    def __init__(self, subject: str, *, first_id: int = 1) -> None:
        self.subject = subject  # key of the object that entries are about
        self.entries: list[Entry] = []
        self.next_id = first_id
        self._late: dict[int, float] = {}  # by id: when it is published; kept for the replicas
        self._late_owner: dict[int, float] = {}  # by record: when its last save commits
        self._furthest = 0.0  # the lag of the replica that is furthest behind
        self._narrowed: dict[tuple[str, ...], tuple[int, list[Entry]]] = {}

    def append(
        self, entry: Entry, *, now: float, committed: float, delay: float = 0.0,
        replicas: Iterable[float] = (),
    ) -> int:  # fmt: skip
        """Allot the next id; the entry is published `delay` seconds after its save is committed.

        Saves of one record are committed in order; delays may reorder the publication.
        """
        entry.id = self.next_id
        self.next_id += 1
        self.entries.append(entry)
        committed = max(committed, self._late_owner.get(entry.owner, 0.0))
        if committed > now:
            self._late_owner[entry.owner] = committed
        self._furthest = max(0.0, *replicas) if replicas else 0.0
        entry.seen_at = committed + delay
        if entry.seen_at + self._furthest > now:
            self._late[entry.id] = entry.seen_at
        return entry.id

    def _unseen(self, now: float, replica: float) -> set[int]:
        """Return the ids of entries that a replica so many seconds behind does not show yet."""
        if not self._late:
            return set()
        kept = now - self._furthest
        self._late = {i: at for i, at in self._late.items() if at > kept}
        self._late_owner = {i: at for i, at in self._late_owner.items() if at > now}
        return {i for i, at in self._late.items() if at > now - replica}

    def pending(self, now: float) -> int:
        """Count the entries that some replica does not show yet."""
        return len(self._unseen(now, self._furthest))

    def newest_id(self, now: float) -> int:
        """Return the id of the newest published entry; 0 when there is none."""
        unseen = self._unseen(now, 0.0)
        for entry in reversed(self.entries):
            if entry.id not in unseen:
                return entry.id
        return 0

    def of_sites(self, sites: tuple[str, ...] | None) -> list[Entry]:
        """Return the entries a key sees; those of selective keys are cached and only extended."""
        if sites is None:
            return self.entries
        upto, kept = self._narrowed.get(sites, (0, []))
        kept += [e for e in self.entries[upto:] if e.site is None or e.site in sites]
        self._narrowed[sites] = len(self.entries), kept
        return kept

    def remaining(
        self, entries: list[Entry], *, since: int, now: float, replica: float = 0.0, knobs: Knobs,
        sieve: Callable[[Entry], bool] | None,
    ) -> tuple[int, Iterator[Entry]]:  # fmt: skip
        """Return the number of `entries` after `since` (totalCount), and those a page may show."""
        unseen = self._unseen(now, replica)
        start = bisect_right(entries, since, key=lambda e: e.id)
        if knobs.history_retention is not None:
            oldest = now - knobs.history_retention
            start = max(start, bisect_left(entries, oldest, key=lambda e: e.at))
        if sieve is not None:
            later = range(start, len(entries))
            total = sum(sieve(entries[i]) and entries[i].id not in unseen for i in later)
        elif start < len(entries):
            total = len(entries) - start - self._within(entries, unseen, entries[start].id)
        else:
            total = 0
        return total, self._shown(entries, start, unseen, knobs, sieve)

    def _within(self, entries: list[Entry], unseen: set[int], first: int) -> int:
        """Count the unseen entries, from id `first` on, that are among these."""
        late = [i for i in unseen if i >= first]
        if entries is self.entries:
            return len(late)
        found = (bisect_left(entries, i, key=lambda e: e.id) for i in late)
        return sum(
            n < len(entries) and entries[n].id == i for n, i in zip(found, late, strict=True)
        )

    def _shown(
        self, entries: list[Entry], start: int, unseen: set[int], knobs: Knobs,
        sieve: Callable[[Entry], bool] | None,
    ) -> Iterator[Entry]:  # fmt: skip
        share = knobs.history_hidden_share
        for i in range(start, len(entries)):
            entry = entries[i]
            if entry.id in unseen or is_chosen(entry.id, share):
                continue
            if sieve is None or sieve(entry):
                yield entry

    # --- a backup

    def back_up(self) -> tuple[list[Entry], int]:
        """Copy the entries and the next id; pending entries count as published."""
        return list(self.entries), self.next_id

    def restore(self, backup: tuple[list[Entry], int]) -> None:
        """Restore the entries of a backup; later ids will be given to other entries."""
        entries, self.next_id = backup
        self.entries = list(entries)
        self._late.clear()
        self._late_owner.clear()
        self._narrowed.clear()
