"""One table's rows of one part of an export: from Postgres to Parquet, exact, in bounded memory.

Postgres writes CSV in which NULL and the empty text differ, into a pipe that DuckDB reads by the
types given here. DuckDB writes Parquet: decimals no wider than the numbers are, moments as
microseconds in UTC, JSON as text.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import psycopg
import sqlalchemy as sa

from sync.database.identifiers import crm_name
from sync.database.quoting import literal, quoted
from sync.errors import NeedsOperator

SCALE, WHOLE_DIGITS = 12, 26
"""The most places after and before the point that a number may take: 38 is all a decimal has."""
_LONGEST_ROW = 32 * 1024 * 1024
"""Bytes; DuckDB reads through a buffer of this size."""
_ROWS_OF_GROUP, _BYTES_OF_GROUP = 122_880, "16MB"
"""Bounds of a group of rows, which is compressed as a whole."""
_MEMORY = "128MB"
"""Memory for DuckDB, caches included."""
_QUOTE = "\x01"
"""JSON is full of the usual one, and has none of this."""
_TYPES = {
    "bigint": "BIGINT",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp with time zone": "TIMESTAMPTZ",
    "time without time zone": "TIME",
}
_LEFT_OUT = frozenset({"content_hash"})
MONTH = "created_month"
"""The key of folders by month, as Hive names them."""


class TooLarge(Exception):
    """The rows do not fit DuckDB's memory, which holds thousands of them at once: take fewer."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column as Postgres has it."""

    name: str
    kind: str
    note: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """Rows of a table `t`: a condition and its binds."""

    table: str
    where: str
    binds: Mapping[str, Any]


def columns_of(connection: sa.Connection, table: str) -> list[Column]:
    """Return the columns of a table of crm that are exported."""
    rows = connection.exec_driver_sql(
        "SELECT attname, format_type(atttypid, atttypmod), col_description(attrelid, attnum)"
        " FROM pg_attribute WHERE attrelid = (%s)::regclass AND attnum > 0 AND NOT attisdropped"
        " ORDER BY attnum",
        (crm_name(table),),
    )
    return [Column(name, kind, note or "") for name, kind, note in rows if name not in _LEFT_OUT]


def type_of(column: Column, scales: Mapping[str, int]) -> str:
    """Return the type of a column in the files; JSON and everything else is text.

    Decimals have no more places after the point than their numbers have, since those of a product
    add up; before it they all have as many, so that readers who merge files of several scales need
    no wider type than there is.
    """
    if column.kind == "numeric":
        scale = scales.get(column.name, 0)
        return f"DECIMAL({WHOLE_DIGITS + scale},{scale})"
    return _TYPES.get(column.kind, "VARCHAR")


def _fits(column: str) -> str:
    """Return the SQL condition that a number can be written exactly.

    Most numbers have few places, and need no look at how many of them are zeros.
    """
    name = f"t.{quoted(column)}"
    return (
        f"((scale({name}) <= {SCALE} OR scale(trim_scale({name})) <= {SCALE})"
        f" AND abs({name}) < 1e{WHOLE_DIGITS})"
    )


def measure(
    connection: sa.Connection, columns: Sequence[Column], chosen: Chosen
) -> tuple[dict[str, int], dict[str, int]]:
    """Return the places after the point that the numbers of each column take, and how many numbers
    do not fit and are left empty."""
    numbers = [column.name for column in columns if column.kind == "numeric"]
    if not numbers:
        return {}, {}
    asked = []
    for name in numbers:
        number, fits = f"t.{quoted(name)}", _fits(name)
        asked += [
            f"max(CASE WHEN scale({number}) > 2 THEN scale(trim_scale({number}))"
            f" ELSE scale({number}) END) FILTER (WHERE {fits})",
            f"count(*) FILTER (WHERE NOT {fits})",
        ]
    row = connection.exec_driver_sql(
        f"SELECT {', '.join(asked)} FROM {crm_name(chosen.table)} AS t WHERE {chosen.where}",
        dict(chosen.binds),
    ).one()
    scales = {name: scale or 0 for name, scale in zip(numbers, row[::2], strict=True)}
    return scales, {name: odd for name, odd in zip(numbers, row[1::2], strict=True) if odd}


def write(
    connection: sa.Connection,
    columns: Sequence[Column],
    chosen: Chosen,
    scales: Mapping[str, int],
    *,
    folder: Path,
    run: int,
    month: str | None = None,
) -> dict[Path, int]:
    """Write rows to files in a new folder, with the run's number beside them; return how many.

    `month` is an SQL expression of a row `t`, by which rows go to files of their own.
    """
    shown = ", ".join(_shown(column) for column in columns)
    if month:
        shown += f", {month}"
    statement = (
        f"COPY (SELECT {shown} FROM {crm_name(chosen.table)} AS t WHERE {chosen.where})"
        f" TO STDOUT (FORMAT csv, FORCE_QUOTE *, NULL '', QUOTE {literal(_QUOTE)})"
    )
    types = [type_of(column, scales) for column in columns]
    names = [column.name for column in columns]
    _duckdb()  # before there is a pipe that nobody would read
    folder.mkdir(mode=0o700, exist_ok=True)
    reading, writing = os.pipe()
    source = _read_rows(f"/dev/fd/{reading}", names, types, run=run, by_month=month is not None)
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(_to_parquet, source, folder, reading, by_month=month is not None)
        try:
            with os.fdopen(writing, "wb", buffering=1024 * 1024) as out:
                _copy(connection, statement, chosen.binds, out)
        except BrokenPipeError:
            made.result()  # DuckDB's own error says more
            raise
        rows = made.result()
    if month and not rows:  # without rows there is no month, but readers look for the columns
        return write(connection, columns, chosen, scales, folder=folder, run=run)
    return rows


def _shown(column: Column) -> str:
    name = f"t.{quoted(column.name)}"
    if column.kind != "numeric":
        return name
    return f"CASE WHEN {_fits(column.name)} THEN {name} END"


def _copy(
    connection: sa.Connection, statement: str, binds: Mapping[str, Any], out: BinaryIO
) -> None:
    driver: Any = connection.connection.driver_connection
    # COPY takes no server-side binds: this cursor writes the values into the statement.
    with psycopg.ClientCursor(driver) as cursor, cursor.copy(statement, binds) as copied:
        out.writelines(copied)


def _read_rows(
    pipe: str, names: Sequence[str], types: Sequence[str], *, run: int, by_month: bool
) -> str:
    """Return DuckDB's query for the rows in a pipe."""
    shown = [f"CAST({run} AS BIGINT) AS _run"]
    shown += [
        f"c{n} AS {quoted(name)}"
        if type_ == "VARCHAR"
        else f"CAST(c{n} AS {type_}) AS {quoted(name)}"
        for n, (name, type_) in enumerate(zip(names, types, strict=True))
    ]
    if by_month:
        shown.append(f"c{len(names)} AS {MONTH}")
    read = ", ".join(f"'c{n}': 'VARCHAR'" for n in range(len(names) + by_month))
    return (
        f"SELECT {', '.join(shown)} FROM read_csv({literal(pipe)}, auto_detect = false,"
        f" header = false, columns = {{{read}}}, delim = ',', quote = {literal(_QUOTE)},"
        # Told, because it would be guessed from line breaks inside of texts.
        f" new_line = '\\n', escape = {literal(_QUOTE)}, nullstr = '', allow_quoted_nulls = false,"
        f" strict_mode = true, max_line_size = {_LONGEST_ROW}, buffer_size = {_LONGEST_ROW},"
        " parallel = false)"
    )


def _to_parquet(source: str, folder: Path, pipe: int, *, by_month: bool) -> dict[Path, int]:
    """Write what comes through the pipe, and close it: whoever writes more to it then hears so."""
    into, options = (
        (folder, f", PARTITION_BY ({MONTH})") if by_month else (folder / "all.parquet", "")
    )
    duckdb = _duckdb()
    try:
        with duckdb.connect() as files:
            # One thread and no order to keep: a group of rows is all that waits in memory.
            files.execute("SET threads = 1; SET preserve_insertion_order = false")
            files.execute(f"SET memory_limit = '{_MEMORY}'; SET TimeZone = 'UTC'")
            # Else DuckDB would leave rows that do not fit its memory in the working folder.
            files.execute(f"SET temp_directory = {literal(f'{folder}.spilt')}")
            files.execute(
                f"COPY ({source}) TO {literal(str(into))} (FORMAT parquet, COMPRESSION zstd,"
                f" ROW_GROUP_SIZE {_ROWS_OF_GROUP}, ROW_GROUP_SIZE_BYTES '{_BYTES_OF_GROUP}'"
                f"{options})"
            )
            counted = {path: _rows_in(files, path) for path in sorted(folder.rglob("*.parquet"))}
    except duckdb.OutOfMemoryException:
        raise TooLarge from None
    except duckdb.Error as error:  # its other lines may have the row in them
        raise NeedsOperator(f"DuckDB could not write: {str(error).splitlines()[0]}") from None
    finally:
        os.close(pipe)
    return counted


def _rows_in(files: Any, path: Path) -> int:
    [(rows,)] = files.execute(
        f"SELECT count(*) FROM read_parquet({literal(str(path))}, hive_partitioning = false)"
    ).fetchall()
    return int(rows)


def files_with(folder: Path, texts: Collection[str]) -> dict[str, int]:
    """Return the Parquet files below a folder where one of the texts stands, and in how many rows.

    The texts are in lower case; the values are compared as text.
    """
    found: dict[str, int] = {}
    with _duckdb().connect() as files:
        for path in sorted(folder.rglob("*.parquet")):
            source = f"read_parquet({literal(str(path))}, hive_partitioning = false)"
            names = [row[0] for row in files.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()]
            row = ", ".join(f"CAST({quoted(name)} AS VARCHAR)" for name in names)
            stands = " OR ".join(f"contains(row, {literal(text)})" for text in texts) or "false"
            [(rows,)] = files.execute(
                f"SELECT count(*) FROM (SELECT lower(concat_ws(' ', {row})) AS row FROM {source})"
                f" WHERE {stands}"
            ).fetchall()
            if rows:
                found[str(path)] = int(rows)
    return found


def _duckdb() -> Any:
    try:
        import duckdb
    except ImportError:
        raise NeedsOperator(
            "Writing Parquet needs DuckDB. From the checkout: "
            "pip install -c ops/constraints.txt -e '.[export]'"
        ) from None
    return duckdb
