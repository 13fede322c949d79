"""manifest.json of an export: the files there are, and how far each resource has come.

The file is written whole under another name, then renamed: a reader sees the last finished part.

    runs        number, horizon, whether it is a full one, when it ended
    resources   exported_to: changes below this moment are in the files;
                running: the range of the run that is going on, and its last key
    files       path, table, run, rows, and numbers that did not fit (left_empty)
"""

from __future__ import annotations

import datetime as dt
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sync.errors import BadRequest, NeedsOperator

NAME = "manifest.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Progress:
    """The next part of a resource: rows changed from `since` until `until`, keys after `last`."""

    run: int
    part: int
    since: dt.datetime | None
    until: dt.datetime
    last: Any


class Manifest:
    """The manifest of one store's folder."""

    def __init__(self, home: Path, told: dict[str, Any]) -> None:
        self.home = home
        self._told = told

    @classmethod
    def read(cls, home: Path, *, store_name: str, store_id: int) -> Manifest:
        """Read the manifest, or make a new one; BadRequest for another store's folder."""
        path = home / NAME
        if not path.exists():
            new = {"format": FORMAT, "store": store_name, "store_id": store_id, "runs": [],
                   "resources": {}, "files": []}  # fmt: skip
            return cls(home, new)
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            known = told["format"], told["store"], told["store_id"]
        except (ValueError, KeyError, TypeError) as error:
            raise NeedsOperator(f"{path} is not a manifest of an export: {error}") from error
        if known != (FORMAT, store_name, store_id):
            raise BadRequest(f"{home} holds the export of another store or release: {known}.")
        return cls(home, told)

    @property
    def files(self) -> list[dict[str, Any]]:
        """The current files of the export."""
        return list(self._told["files"])

    def begin(self, horizon: dt.datetime, resources: list[str], *, is_full: bool) -> None:
        """Begin a run; a resource whose run was stopped goes on with that one."""
        runs = self._told["runs"]
        number = runs[-1]["run"] + 1 if runs else 1
        runs.append({"run": number, "horizon": _text(horizon), "full": is_full, "ended_at": None})
        for name in resources:
            about = self._told["resources"].setdefault(name, {"exported_to": None})
            running = about.get("running")
            if running is not None and (running["full"] or not is_full):
                continue
            since = None if is_full else about["exported_to"]
            # The horizon may be older than the last run's: a clock was put back, or an older
            # transaction is still open. Nothing new is below `since`.

            until = max(filter(None, (_text(horizon), since)))
            about["running"] = {
                "run": number,
                "full": is_full,
                "part": 1,
                "since": since,
                "until": until,
                "last": None,
            }
        self._save()

    def progress(self, resource: str) -> Progress | None:
        """Return the next part of a resource; None when the run is done with it."""
        running = self._told["resources"].get(resource, {}).get("running")
        if running is None:
            return None
        since = running["since"]
        return Progress(
            running["run"],
            running["part"],
            dt.datetime.fromisoformat(since) if since else None,
            dt.datetime.fromisoformat(running["until"]),
            running["last"],
        )

    def advance(self, resource: str, *, files: list[dict[str, Any]], last: Any) -> None:
        """Record a written part; `last` is its last key, None when it was the run's last part."""
        about = self._told["resources"][resource]
        running = about["running"]
        names = {file["path"] for file in files}
        kept = [file for file in self._told["files"] if file["path"] not in names]
        old = []
        if last is not None:
            running |= {"part": running["part"] + 1, "last": last}
        else:
            about |= {"exported_to": running["until"], "running": None}
            if running["full"]:  # its files replace those of earlier runs
                old = [f for f in kept if f["resource"] == resource and f["run"] < running["run"]]
        self._told["files"] = [file for file in kept if file not in old] + files
        self._save()
        for file in old:
            (self.home / file["path"]).unlink(missing_ok=True)

    def end(self) -> None:
        """Mark the run as ended."""
        self._told["runs"][-1]["ended_at"] = _text(dt.datetime.now(dt.UTC))
        self._save()

    def _save(self) -> None:
        half = self.home / f"{NAME}.tmp"
        half.unlink(missing_ok=True)
        half.touch(mode=0o600)
        with half.open("w", encoding="utf-8") as out:
            json.dump(self._told, out, ensure_ascii=False, indent=1)
            out.flush()
            os.fsync(out.fileno())
        half.replace(self.home / NAME)


def _text(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat(timespec="microseconds")
