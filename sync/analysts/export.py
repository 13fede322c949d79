"""`crm` as Parquet files: whole once, then what changed; tombstones too, children with parents.

A run exports the records that changed after the number up to which the run before went, by
`change_no`, in the order of commits: no row is skipped, however late its transaction commits. What
is committed while the run reads is exported by it or by the next one, sometimes by both.

Parts are cut by key. After each part the manifest says how far the run came, so a stopped run goes
on with its next part.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from sync.analysts import parquet
from sync.analysts.manifest import Manifest, Progress, Settled
from sync.analysts.parquet import Chosen
from sync.analysts.places import Place
from sync.database import contract
from sync.database.engine import reading
from sync.database.identifiers import crm_name
from sync.declare import Resource
from sync.errors import NeedsOperator
from sync.state.stores import Store

ROWS_PER_PART = 100_000


@dataclass(frozen=True, slots=True)
class Part:
    """The number of rows that one part wrote, by table; and how far the run is, in records."""

    resource: str
    rows: dict[str, int]
    done: int
    total: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Records a second since the run began."""
        return self.done / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float:
        """Seconds that the rest takes at this rate."""
        return (self.total - self.done) / self.per_second if self.done else 0.0


def export(
    engine: sa.Engine,
    store: Store,
    resources: Sequence[Resource],
    *,
    place: Place,
    is_full: bool = False,
    by_month: bool = False,
    rows_per_part: int = ROWS_PER_PART,
    after_part: Callable[[Part], None] = lambda _: None,
) -> Iterator[Part]:
    """Export a store; yield what each part wrote.

    With `by_month`, rows of records with a creation date are in folders by its month, children in
    that of their record.
    """
    began = time.monotonic()
    with place.alone():
        manifest = Manifest.read(place, store_name=store.name, store_id=store.id)
        manifest.begin(_settled(engine, store), [r.name for r in resources], is_full=is_full)
        total = sum(_count(engine, store, each, manifest) for each in resources)
        done = 0
        for resource in resources:
            if (progress := manifest.progress(resource.name)) is not None and progress.part == 1:
                _look_at_numbers(engine, store, resource, manifest, progress)
            most = rows_per_part
            while progress is not None:
                try:
                    records, rows = _part(
                        engine, store, resource, manifest, progress, most=most, by_month=by_month
                    )
                except parquet.TooLarge:
                    if most == 1:
                        raise NeedsOperator(
                            f"A record of {resource.name} does not fit DuckDB's memory."
                        ) from None
                    most = max(1, most // 8)
                    continue
                done += records
                part = Part(resource.name, rows, done, max(done, total), time.monotonic() - began)
                after_part(part)
                if any(rows.values()):
                    yield part
                progress = manifest.progress(resource.name)
        manifest.end(_schema(engine, resources, manifest))


def _settled(engine: sa.Engine, store: Store) -> Settled | None:
    """Return how far the store's changes are settled, before any row of the run is read."""
    with reading(engine) as connection:
        found = connection.exec_driver_sql(
            "SELECT settled_no, first_no FROM crm.changes WHERE store_id = %s", (store.id,)
        ).one_or_none()
    return Settled(*found) if found else None


def _count(engine: sa.Engine, store: Store, resource: Resource, manifest: Manifest) -> int:
    """Count the records that the run has still to export of a resource."""
    progress = manifest.progress(resource.name)
    if progress is None:
        return 0
    keys, binds = _keys(store, resource, progress)
    with reading(engine) as connection:
        contract.without_limits(connection)
        count: int = connection.exec_driver_sql(
            f"SELECT count(*) FROM ({keys}) AS u", binds
        ).scalar_one()
    return count


def _look_at_numbers(
    engine: sa.Engine, store: Store, resource: Resource, manifest: Manifest, progress: Progress
) -> None:
    """Measure all numbers of a run first, so that its files agree on the types of columns."""
    with reading(engine) as connection:
        contract.without_limits(connection)
        for table in resource.tables:
            chosen = _chosen(store, resource, table, progress, to=None)
            found, _ = parquet.measure(connection, parquet.columns_of(connection, table), chosen)
            manifest.scales(table, found)


def _part(
    engine: sa.Engine,
    store: Store,
    resource: Resource,
    manifest: Manifest,
    progress: Progress,
    *,
    most: int,
    by_month: bool,
) -> tuple[int, dict[str, int]]:
    """Write the next part of a resource, record it in the manifest; return its records and rows."""
    snapshots = engine.execution_options(isolation_level="REPEATABLE READ")
    rows = dict.fromkeys(resource.tables, 0)
    files: list[tuple[Path, dict[str, Any]]] = []
    with manifest.place.scratch() as scratch, reading(snapshots) as connection:
        # A part may take longer than a page's write may.
        contract.without_limits(connection)
        keys, binds = _keys(store, resource, progress)
        last, found = connection.exec_driver_sql(
            f"SELECT max(k), count(*) FROM (SELECT k FROM ({keys}) AS u ORDER BY k LIMIT %(most)s)"
            " AS p",
            binds | {"most": most},
        ).one()
        for table in resource.tables if found else ():
            columns = parquet.columns_of(connection, table)
            chosen = _chosen(store, resource, table, progress, to=last)
            needed, left_empty = parquet.measure(connection, columns, chosen)
            written = parquet.write(
                connection, columns, chosen, manifest.scales(table, needed),
                folder=scratch / table, run=progress.run,
                month=_month(resource, table) if by_month else None,
            )  # fmt: skip
            for half, count in written.items():
                rows[table] += count
                file: dict[str, Any] = {
                    "path": f"{half.parent.relative_to(scratch)}/{progress.name}.parquet",
                    "resource": resource.name,
                    "table": table,
                    "run": progress.run,
                    "rows": count,
                    "left_empty": left_empty,
                }
                files.append((half, file))
        for half, file in files:
            manifest.place.keep(half, file["path"])
    manifest.advance(
        resource.name, files=[file for _, file in files], last=last if found == most else None
    )
    return found, rows


def _keys(store: Store, resource: Resource, progress: Progress) -> tuple[str, dict[str, Any]]:
    """Return the query for the keys `k` of the records that the run has still to export.

    A record also counts as changed when a row of its lists did, or was removed.
    """
    key = f't."{resource.key_column}"' if resource.key_column else "''"
    after = "" if progress.last is None else f" AND {key} > %(after)s"
    asked = [f"SELECT {key} AS k FROM {crm_name(resource.name)} AS t WHERE {{}}{after}"]
    if progress.since is None:
        asked[0] = asked[0].format("t.store_id = %(store)s")
    else:
        changed = "t.store_id = %(store)s AND t.change_no > %(since)s"
        children = [child.name for child in resource.children]
        parent = f't."{resource.parent_column}"' if resource.parent_column else "''"
        after = after.replace(key, parent)
        asked += [
            f"SELECT {parent} AS k FROM {crm_name(name)} AS t WHERE {changed}{after}"
            for name in children
        ]
        if children:
            gone = f"t.parent_key::{resource.key_sql}" if resource.key_column else "''"
            named = ", ".join(f"'{name}'" for name in children)
            asked.append(
                f"SELECT {gone} AS k FROM crm.removed_rows AS t WHERE {changed}"
                f" AND t.table_name IN ({named}){after.replace(parent, gone)}"
            )
        asked = [each.format(changed) for each in asked]
    binds = {"store": store.id, "since": progress.since, "after": progress.last}
    return " UNION ".join(asked), binds


def _chosen(store: Store, resource: Resource, table: str, progress: Progress, *, to: Any) -> Chosen:
    """Return the rows of a table that belong to the records of a part, or of the rest of the run.

    Of a whole run they are a range of keys, which an index gives in order.
    """
    column = resource.key_column if table == resource.name else resource.parent_column
    where, binds = "t.store_id = %(store)s", {"store": store.id, "after": progress.last, "to": to}
    if column is not None:
        where += f' AND t."{column}" > %(after)s' if progress.last is not None else ""
        where += f' AND t."{column}" <= %(to)s' if to is not None else ""
        if progress.since is not None:
            keys, more = _keys(store, resource, progress)
            where, binds = f'{where} AND t."{column}" IN ({keys})', binds | more
    return Chosen(table, where, binds)


def _month(resource: Resource, table: str) -> str | None:
    """Return the expression for the month of a row's record; None where records have none."""
    if resource.created_field is None:
        return None
    day = "t.created_on"
    if table != resource.name:
        day = (
            f"(SELECT r.created_on FROM {crm_name(resource.name)} AS r"
            f' WHERE r.store_id = t.store_id AND r."{resource.key_column}"'
            f' = t."{resource.parent_column}")'
        )
    return f"coalesce(to_char({day}, 'YYYY-MM'), 'none')"


def _schema(engine: sa.Engine, resources: Sequence[Resource], manifest: Manifest) -> dict[str, Any]:
    """Describe the tables of the files: note, key, columns with their types and notes."""
    told = {}
    with reading(engine) as connection:
        for resource in resources:
            for table in resource.tables:
                note, key = connection.exec_driver_sql(
                    "SELECT obj_description(c.oid), (SELECT array_agg(a.attname::text ORDER BY n)"
                    " FROM unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (number, n)"
                    " JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.number)"
                    " FROM pg_class AS c JOIN pg_index AS i ON i.indrelid = c.oid"
                    " WHERE i.indisprimary AND c.oid = (%s)::regclass",
                    (crm_name(table),),
                ).one()
                columns = parquet.columns_of(connection, table)
                scales = manifest.scales(table, {})
                told[table] = {
                    "note": note,
                    "key": key,
                    "columns": {
                        c.name: {"type": parquet.type_of(c, scales), "note": c.note}
                        for c in columns
                    },
                }
    return told
