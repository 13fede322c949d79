"""One part of an export: rows as Postgres has them, as one Parquet file, exact.

Postgres writes CSV in which NULL and the empty text differ. DuckDB reads it by the types given here
and writes Parquet: decimals as DECIMAL(38, 12), moments as microseconds in UTC, JSON as text. A
file gets its name when it is whole and on disk. Before that, it and all it is made from are in a
folder that only its owner can enter.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa

from sync.database.identifiers import crm_name
from sync.database.quoting import literal, quoted
from sync.errors import NeedsOperator

SCALE, WHOLE_DIGITS = 12, 26
"""Places after and before the point of DECIMAL(38, 12)."""
_LONGEST_ROW = 32 * 1024 * 1024
"""Bytes; DuckDB reads through a buffer of this size."""
_TYPES = {
    "bigint": "BIGINT",
    "numeric": f"DECIMAL(38,{SCALE})",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp with time zone": "TIMESTAMPTZ",
    "time without time zone": "TIME",
}
_LEFT_OUT = frozenset({"content_hash"})
_HALF = "half-"
"""The prefix of the folder of a part that is being written."""
_LEFT_BEHIND = re.compile(rf"{_HALF}.*\.tmp|\d{{6}}-\d{{5}}\.(csv|parquet)\.tmp")


@dataclass(frozen=True, slots=True)
class Column:
    """A column and its SQL type."""

    name: str
    kind: str


def columns_of(connection: sa.Connection, table: str) -> list[Column]:
    """Return the columns of a table of crm that are exported."""
    rows = connection.exec_driver_sql(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = (%s)::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        (crm_name(table),),
    )
    return [Column(name, kind) for name, kind in rows if name not in _LEFT_OUT]


def fits(column: str) -> str:
    """Return the SQL condition that a number can be written exactly."""
    name = f"t.{quoted(column)}"
    return f"(scale(trim_scale({name})) <= {SCALE} AND abs({name}) < 1e{WHOLE_DIGITS})"


def unfit(
    connection: sa.Connection, table: str, columns: Sequence[Column], where: str, binds: Any
) -> dict[str, int]:
    """Count, for each column, the numbers that cannot be written exactly and are left empty."""
    numbers = [column.name for column in columns if column.kind == "numeric"]
    if not numbers:
        return {}
    counts = ", ".join(f"count(*) FILTER (WHERE NOT {fits(name)})" for name in numbers)
    row = connection.exec_driver_sql(
        f"SELECT {counts} FROM {crm_name(table)} AS t WHERE {where}", binds
    ).one()
    return {name: count for name, count in zip(numbers, row, strict=True) if count}


def write(
    connection: sa.Connection,
    table: str,
    columns: Sequence[Column],
    where: str,
    binds: dict[str, Any],
    *,
    target: Path,
    run: int,
) -> int:
    """Write the rows of a table to a file, with the run's number beside them; return how many."""
    duckdb = _duckdb()
    target.parent.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=_HALF, suffix=".tmp", dir=target.parent) as own:
        text, half = Path(own, "rows.csv"), Path(own, "rows.parquet")
        _copy(connection, table, columns, where, binds, text)
        with duckdb.connect() as files:
            files.execute("SET threads = 2; SET TimeZone = 'UTC'")
            # Else DuckDB would leave rows that do not fit its memory in the working folder.
            files.execute(f"SET temp_directory = {literal(str(Path(own, 'spilt')))}")
            files.execute(_to_parquet(columns, text, half, run=run))
            [(rows,)] = files.execute(
                f"SELECT count(*) FROM read_parquet({literal(str(half))})"
            ).fetchall()
        half.chmod(0o600)
        _settle(half, target)
    return int(rows)


def remove_left_behind(home: Path) -> None:
    """Remove what a killed run left half written; no other run is writing to `home` now."""
    for path in home.glob("*/*.tmp"):
        if not _LEFT_BEHIND.fullmatch(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _duckdb() -> Any:
    try:
        import duckdb
    except ImportError:
        raise NeedsOperator(
            "Writing Parquet needs DuckDB. From the checkout: "
            "pip install -c ops/constraints.txt -e '.[export]'"
        ) from None
    return duckdb


def _copy(
    connection: sa.Connection,
    table: str,
    columns: Sequence[Column],
    where: str,
    binds: dict[str, Any],
    text: Path,
) -> None:
    shown = ", ".join(
        f"CASE WHEN {fits(c.name)} THEN trim_scale(t.{quoted(c.name)}) END"
        if c.kind == "numeric"
        else f"t.{quoted(c.name)}"
        for c in columns
    )
    statement = (
        f"COPY (SELECT {shown} FROM {crm_name(table)} AS t WHERE {where})"
        " TO STDOUT (FORMAT csv, FORCE_QUOTE *, NULL '')"
    )
    driver: Any = connection.connection.driver_connection
    # COPY takes no server-side binds: this cursor writes the values into the statement.
    with (
        text.open("wb") as out,
        psycopg.ClientCursor(driver) as cursor,
        cursor.copy(statement, binds) as copied,
    ):
        for block in copied:
            out.write(block)


def _to_parquet(columns: Sequence[Column], text: Path, half: Path, *, run: int) -> str:
    shown = ", ".join(
        f"CAST(c{n} AS {_TYPES[c.kind]}) AS {quoted(c.name)}"
        if c.kind in _TYPES
        else f"c{n} AS {quoted(c.name)}"
        for n, c in enumerate(columns)
    )
    read = ", ".join(f"'c{n}': 'VARCHAR'" for n in range(len(columns)))
    return (
        f"COPY (SELECT CAST({run} AS BIGINT) AS _run, {shown} FROM read_csv({literal(str(text))},"
        f" auto_detect = false, header = false, columns = {{{read}}}, delim = ',', quote = '\"',"
        " escape = '\"', nullstr = '', allow_quoted_nulls = false, strict_mode = true,"
        f" max_line_size = {_LONGEST_ROW}, buffer_size = {_LONGEST_ROW}, parallel = false))"
        f" TO {literal(str(half))} (FORMAT parquet, COMPRESSION zstd)"
    )


def _settle(half: Path, target: Path) -> None:
    """Sync a file to disk, then rename it, so that nobody ever reads half a file."""
    with half.open("rb") as written:
        os.fsync(written.fileno())
    half.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
