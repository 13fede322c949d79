"""current.sql of an export: views in DuckDB that merge the runs to what `crm` holds.

Of a record the row with the highest `_run` counts. A list inside it (items, phones) is exported
whole with its record, so of the list exactly the rows count that came in the same run: what was
removed from it is in no later file, and of a record that was deleted nothing is left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from sync.database.quoting import literal, quoted
from sync.declare import Resource
from sync.resources import RESOURCES

_HEAD = """\
-- What crm held at the last run. In this folder: duckdb -init current.sql
SET TimeZone = 'UTC';
"""


def views(files: Iterable[Mapping[str, Any]], *, prefix: str = "") -> str:
    """Return the statements that make one view a table of the files in a manifest.

    `prefix` comes before their names: the address where they are, if it is no folder.
    """
    paths: dict[str, list[str]] = defaultdict(list)
    for file in files:
        paths[file["table"]].append(prefix + file["path"])
    made = [
        f"CREATE OR REPLACE VIEW {quoted(table)} AS\n{_current(resource, table, paths)};\n"
        for resource in RESOURCES.values()
        for table in resource.tables
        if table in paths
    ]
    return "\n".join((_HEAD, *made))


def _current(resource: Resource, table: str, paths: Mapping[str, list[str]]) -> str:
    key = [f"t.{quoted(name)}" for name in ("store_id", resource.key_column) if name]
    latest = (
        f"FROM {_read(paths[resource.name])} AS t\n"
        f"QUALIFY t._run = max(t._run) OVER (PARTITION BY {', '.join(key)})"
    )
    if table == resource.name:
        return f"SELECT * EXCLUDE (_run) {latest}"
    same = ["p._run = c._run", "p.store_id = c.store_id"]
    if resource.parent_column:
        same.append(f"p.k = c.{quoted(resource.parent_column)}")
    return (
        f"SELECT c.* EXCLUDE (_run) FROM {_read(paths[table])} AS c\n"
        f"SEMI JOIN (\nSELECT t._run, t.store_id, {key[-1]} AS k {latest}\n) AS p"
        f" ON {' AND '.join(same)}"
    )


def _read(paths: Iterable[str]) -> str:
    names = ", ".join(literal(path) for path in paths)
    return f"read_parquet([{names}], union_by_name = true, hive_partitioning = false)"
