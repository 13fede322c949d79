"""Backups of an account: records, histories and the next ids of both, as they were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from threading import RLock

from sync.sandbox import records
from sync.sandbox.aggregates import Aggregates, Sums
from sync.sandbox.clock import Clock
from sync.sandbox.history import Entry, History
from sync.sandbox.store import Store
from sync.sandbox.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Backup:
    """An account as it was."""

    collections: dict[str, records.Backup]
    histories: dict[str, tuple[list[Entry], int]]
    sums: dict[int, Sums]
    counters: dict[str, int]


class Backups:
    """The backups made of an account, by number."""

    def __init__(
        self,
        *,
        store: Store,
        histories: Mapping[str, History],
        aggregates: Aggregates,
        counters: dict[str, int],
        timeline: Timeline,
        clock: Clock,
        lock: RLock,
    ) -> None:
        self._collections, self._histories = store.collections, histories
        self._aggregates, self._counters = aggregates, counters
        self._timeline, self._clock, self._lock = timeline, clock, lock
        self._made: list[Backup] = []

    def back_up(self) -> int:
        """Keep the account as it is; the number to restore it by."""
        with self._lock:
            self._made.append(
                Backup(
                    {name: c.back_up() for name, c in self._collections.items()},
                    {name: h.back_up() for name, h in self._histories.items()},
                    dict(self._aggregates.sums), dict(self._counters),
                )
            )  # fmt: skip
            return len(self._made) - 1

    def restore(self, backup: int = -1) -> int:
        """The account as it was at a backup: records, histories and the next ids of both.

        What happens from then on gets the ids of what was undone. How many records changed.
        """
        with self._lock:
            kept, now = self._made[backup], self._clock.now()
            past, changed = self._timeline.kept(now), 0
            before = {name: c.truth.live for name, c in self._collections.items()}
            for name, collection in self._collections.items():
                collection.restore(kept.collections[name])
            for name, history in self._histories.items():
                history.restore(kept.histories[name])
            self._aggregates.sums = dict(kept.sums)
            self._counters.clear()
            self._counters.update(kept.counters)
            for name, was in before.items():
                live = self._collections[name].truth.live
                for record_id in {**was, **live}:
                    if was.get(record_id) is live.get(record_id):
                        continue
                    changed += 1
                    if past is not None:
                        past.note(name, record_id, live.get(record_id), at=now)
            return changed
