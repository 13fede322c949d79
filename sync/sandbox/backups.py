"""Backups of an account: records, histories and the next ids of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import RLock

from sync.sandbox import records
from sync.sandbox.aggregates import Aggregates, Sums
from sync.sandbox.clock import Clock
from sync.sandbox.history import Entry, History
from sync.sandbox.store import Store
from sync.sandbox.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy of an account at one moment."""

    collections: dict[str, records.Backup]
    histories: dict[str, tuple[list[Entry], int]]
    sums: dict[int, Sums]
    counters: dict[str, int]


@dataclass
class Backups:
    """The backups of an account, by number."""

    store: Store
    histories: Mapping[str, History]
    aggregates: Aggregates
    counters: dict[str, int]
    timeline: Timeline
    clock: Clock
    lock: RLock
    made: list[Backup] = field(default_factory=list)

    def back_up(self) -> int:
        """Copy the account; return the number to restore it by."""
        with self.lock:
            self.made.append(
                Backup(
                    {name: c.back_up() for name, c in self.store.collections.items()},
                    {name: h.back_up() for name, h in self.histories.items()},
                    dict(self.aggregates.sums), dict(self.counters),
                )
            )  # fmt: skip
            return len(self.made) - 1

    def restore(self, backup: int = -1) -> int:
        """Restore records, histories and the next ids of both; return how many records changed.

        Later records and entries get ids that were given before to what the restore undid.
        """
        with self.lock:
            kept, now = self.made[backup], self.clock.now()
            past, changed = self.timeline.kept(now), 0
            before = {name: c.truth.live for name, c in self.store.collections.items()}
            for name, collection in self.store.collections.items():
                collection.restore(kept.collections[name])
            for name, history in self.histories.items():
                history.restore(kept.histories[name])
            self.aggregates.sums = dict(kept.sums)
            self.counters.clear()
            self.counters.update(kept.counters)
            for name, was in before.items():
                live = self.store.collections[name].truth.live
                for record_id in {**was, **live}:
                    if was.get(record_id) is live.get(record_id):
                        continue
                    changed += 1
                    if past is not None:
                        past.note(name, record_id, live.get(record_id), at=now)
            return changed
