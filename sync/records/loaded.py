"""The source of records that are loaded, the way of unchanged ones, and the counts of a load."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from enum import Enum

Key = int | str


class Source(Enum):
    """The source of records; decides whether `expected`, the API's own total, moves with them."""

    NEWS = "news"  # shown or told since: it does, for no total comes with them
    WALK = "walk"  # a list read whole, which was there before: its total comes with it
    LOAD = "load"  # as WALK, for the first time: new rows cause no re-reads


class Unchanged(Enum):
    """The way of a row whose content is the same as before."""

    DROPPED = "dropped"  # without a write
    MOVED = "moved"  # its `as_of` moves: else what went from A to B and back could end as B
    COMPARED = "compared"  # its columns are compared: a person may have altered them here


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
