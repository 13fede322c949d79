"""manifest.json of an export: the files there are, and how far each resource has come.

It is replaced as a whole after each part: a reader sees the last finished one. Beside it are
current.sql, which makes views in DuckDB of the files that the manifest names, and schema.json with
the tables' keys and the columns' types and notes.

    runs        number, the change number it goes up to, whether it is a full one, when it ended
    resources   exported_to: changes up to this number are in the files;
                running: the range of the run that is going on, and its last key
    scales      of each column of numbers: the most places after the point so far
    files       path, table, run, rows, and numbers that did not fit (left_empty)
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sync.analysts import current
from sync.analysts.parquet import MONTH
from sync.analysts.places import Place
from sync.errors import BadRequest, NeedsOperator
from sync.resources import RESOURCES

NAME, VIEWS, SCHEMA = "manifest.json", "current.sql", "schema.json"
FORMAT = 2
_BY_TIME = 1
"""The format of releases that followed `changed_at`: its files are there until a whole run ends."""
_PATH = re.compile(rf"\w+/({MONTH}=(\d{{4}}-\d\d|none)/)?\d{{6}}-\d{{5}}\.parquet", re.ASCII)


@dataclass(frozen=True, slots=True)
class Settled:
    """A store's row of `crm.changes`: up to `until` no change can appear any more."""

    until: int
    first: int


@dataclass(frozen=True, slots=True)
class Progress:
    """The next part of a resource: records changed after `since` (or all), keys after `last`."""

    run: int
    part: int
    since: int | None
    last: Any

    @property
    def name(self) -> str:
        """The name of the part's files."""
        return f"{self.run:06d}-{self.part:05d}"


class Manifest:
    """The manifest of one store's files."""

    def __init__(self, place: Place, told: dict[str, Any]) -> None:
        self.place = place
        self._told = told

    @classmethod
    def read(cls, place: Place, *, store_name: str, store_id: int) -> Manifest:
        """Read the manifest, or make a new one; BadRequest for another store's folder."""
        text = place.read(NAME)
        if text is None:
            new = {"format": FORMAT, "store": store_name, "store_id": store_id, "runs": [],
                   "resources": {}, "scales": {}, "files": []}  # fmt: skip
            return cls(place, new)
        try:
            told = json.loads(text)
            if told["format"] == _BY_TIME:
                told |= {"format": FORMAT, "resources": {}, "scales": {}}
            known = told["format"], told["store"], told["store_id"]
            odd = [file["path"] for file in told["files"] if not _PATH.fullmatch(file["path"])]
            _require_progress(told)
        except (ValueError, KeyError, TypeError) as error:
            raise NeedsOperator(
                f"{place.address}/{NAME} is not a manifest of an export: {error}"
            ) from error
        if known != (FORMAT, store_name, store_id):
            raise BadRequest(
                f"{place.address} holds the export of another store or release: {known}."
            )
        if odd:  # files of earlier runs are removed by their names here
            raise NeedsOperator(
                f"{place.address}/{NAME} names a file that no export wrote: {odd[0]!r}"
            )
        return cls(place, told)

    @property
    def files(self) -> list[dict[str, Any]]:
        """The current files of the export."""
        return list(self._told["files"])

    @property
    def resources(self) -> list[str]:
        """The names of the resources that were exported here, some perhaps in part."""
        return list(self._told["resources"])

    def begin(self, settled: Settled | None, resources: Sequence[str], *, is_full: bool) -> None:
        """Begin a run; a resource whose run was stopped goes on with that one, unless this is full.

        A full run is asked for after an erasure, of which the parts that are there may not know.
        Without a word of what is settled (a restored database before its first change) everything
        is exported, and will be again.
        """
        runs = self._told["runs"]
        number = runs[-1]["run"] + 1 if runs else 1
        until = settled.until if settled else None
        runs.append({"run": number, "until": until, "full": is_full, "ended_at": None})
        for name in resources:
            about = self._told["resources"].setdefault(name, {"exported_to": None})
            running = about.get("running")
            if (
                running is not None
                and not is_full
                and _counts(running["until"], settled)
                and (running["full"] or _counts(running["since"], settled))
            ):
                continue
            since = about["exported_to"]
            whole = is_full or not _counts(since, settled)
            about["running"] = {
                "run": number,
                "full": whole,
                "part": 1,
                "since": None if whole else since,
                "until": until,
                "last": None,
            }
        self._save()

    def progress(self, resource: str) -> Progress | None:
        """Return the next part of a resource; None when the run is done with it."""
        running = self._told["resources"].get(resource, {}).get("running")
        if running is None:
            return None
        return Progress(running["run"], running["part"], running["since"], running["last"])

    def scales(self, table: str, found: Mapping[str, int]) -> dict[str, int]:
        """Return the places after the point to write a table's numbers with.

        They are those found or those of before, whichever are more, so that a column's type changes
        only when it has to.
        """
        known: dict[str, int] = self._told["scales"].setdefault(table, {})
        known |= {name: max(scale, known.get(name, 0)) for name, scale in found.items()}
        return known

    def advance(self, resource: str, *, files: list[dict[str, Any]], last: Any) -> None:
        """Record a written part; `last` is its last key, None when it was the run's last part."""
        about = self._told["resources"][resource]
        running = about["running"]
        names = {file["path"] for file in files}
        kept = [file for file in self._told["files"] if file["path"] not in names]
        if last is not None:
            running |= {"part": running["part"] + 1, "last": last}
        else:
            about |= {"exported_to": running["until"], "running": None}
            if running["full"]:  # its files replace those of earlier runs
                kept = [f for f in kept if f["resource"] != resource or f["run"] == running["run"]]
        self._told["files"] = kept + files
        self._save()
        if last is None:
            self._remove_unnamed(RESOURCES[resource].tables)

    def end(self, schema: Mapping[str, Any]) -> None:
        """Mark the run as ended; `schema` tells the tables that were exported."""
        text = self.place.read(SCHEMA)
        tables = (json.loads(text) if text else {}) | dict(schema)
        self.place.write(SCHEMA, json.dumps(tables, ensure_ascii=False, indent=1))
        self._told["runs"][-1]["ended_at"] = dt.datetime.now(dt.UTC).isoformat()
        self._save()

    def _remove_unnamed(self, tables: Iterable[str]) -> None:
        """Remove what was replaced, and what runs left that were killed: it may have people."""
        named = {file["path"] for file in self._told["files"]}
        for table in tables:
            for name in self.place.names(table):
                if name not in named and _PATH.fullmatch(name):
                    self.place.remove(name)

    def _save(self) -> None:
        self.place.write(VIEWS, current.views(self._told["files"], prefix=self.place.prefix))
        self.place.write(NAME, json.dumps(self._told, ensure_ascii=False, indent=1))


def _counts(number: int | None, settled: Settled | None) -> bool:
    """Tell whether a number is of this server's era, and not from its future."""
    return number is not None and settled is not None and settled.first <= number <= settled.until


def _require_progress(told: dict[str, Any]) -> None:
    """Raise ValueError or TypeError where a run cannot go on from what the manifest says."""
    numbers = [run["run"] for run in told["runs"]]
    for about in told["resources"].values():
        running = about.get("running") or {}
        known = (about["exported_to"], running.get("since"), running.get("until"))
        numbers += [number for number in known if number is not None]
        if running:
            numbers += [running["run"], running["part"]]
            if not isinstance(running["last"], int | str | None):
                raise TypeError("a last key that is none")
    if not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise ValueError("a number that is none")
