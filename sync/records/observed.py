"""The reason for reading records, and the counts of a load."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from enum import Enum

Key = int | str


class Origin(Enum):
    """The reason for reading a record; decides the effect of an unchanged row and of a new one."""

    LOAD = "load"  # as WALK, of a first load: new rows cause no re-reads
    WALK = "walk"  # an unchanged row is dropped without a write
    SHOWN = "shown"  # as WALK, and new rows raise `expected`: no total comes with them
    REREAD = "reread"  # read for a feed: as_of moves even when the content is equal
    DEEP = "deep"  # compared column by column: a person may have changed the row here


@dataclass(slots=True)
class Loaded:
    """The counts of a batch. `refused` are keys whose content differed and lost to newer knowledge.

    `named` are records of other resources, by resource, that changed rows refer to now or referred
    to before. `concluded` is the number of tombstones that no history told of. `keys` are those of
    the rows that were written or deleted; `left` are live rows that became tombstones or left their
    creation day, with that day.
    """

    seen: int = 0
    inserted: int = 0
    changed: int = 0
    revived: int = 0
    deleted: int = 0
    concluded: int = 0
    refused: list[Key] = field(default_factory=list)
    named: dict[str, set[int]] = field(default_factory=dict)
    keys: set[Key] = field(default_factory=set)
    left: dict[Key, dt.date | None] = field(default_factory=dict)

    @property
    def written(self) -> int:
        """Rows that were inserted, changed or revived."""
        return self.inserted + self.changed + self.revived

    @property
    def live_delta(self) -> int:
        """The growth of the number of live rows."""
        return self.inserted + self.revived - self.deleted

    def add(self, other: Loaded) -> None:
        """Add another batch's counts to these."""
        for name in ("seen", "inserted", "changed", "revived", "deleted", "concluded"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.refused += other.refused
        self.keys |= other.keys
        self.left |= other.left
        for name, ids in other.named.items():
            self.named.setdefault(name, set()).update(ids)
