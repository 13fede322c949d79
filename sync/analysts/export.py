"""`crm` as Parquet files: whole once, then what changed; tombstones too, children with parents.

A run exports what changed since the run before, by `changed_at`, which is the start of the
transaction that changed it. A transaction that began early may commit late, so a run ends at the
horizon: the start of the oldest open transaction that could write. No change can appear below the
horizon any more, so no row is skipped, and none is exported twice unless it changed twice.

Parts are cut by key. After each part the manifest says how far the run came, so a stopped run goes
on with its next part: a row leaves a run's range only by changing again.

Nobody but the user who exports can read the files: the folder of a store is made for its owner
alone, and so is each file. A folder that was there keeps the mode its owner gave it.
"""

from __future__ import annotations

import datetime as dt
import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from sync.analysts import parquet
from sync.analysts.manifest import Manifest, Progress
from sync.database.engine import reading
from sync.database.identifiers import crm_name
from sync.declare import Resource
from sync.errors import BadRequest
from sync.state.stores import Store

ROWS_PER_PART = 50_000
MARGIN_SECONDS = 2.0
"""A backend shows the start of its transaction only a moment after it began."""
# Read before the run's rows: later transactions are above it. Roles that cannot write do not hold
# it back.
_HORIZON = (
    "SELECT least(clock_timestamp() - make_interval(secs => %s), (SELECT min(a.xact_start)"
    " FROM pg_stat_activity AS a WHERE a.datname = current_database()"
    " AND a.pid <> pg_backend_pid() AND a.usesysid IS NOT NULL"
    " AND has_table_privilege(a.usesysid, 'crm.orders', 'INSERT')))"
)


@dataclass(frozen=True, slots=True)
class Part:
    """The number of rows that one part wrote, by table."""

    resource: str
    rows: dict[str, int]


def horizon(engine: sa.Engine) -> dt.datetime:
    """Return the moment below which no change can appear any more."""

    with reading(engine) as connection:
        moment: dt.datetime = connection.exec_driver_sql(_HORIZON, (MARGIN_SECONDS,)).scalar_one()
    return moment


def export(
    engine: sa.Engine,
    store: Store,
    resources: list[Resource],
    *,
    folder: Path,
    is_full: bool = False,
    rows_per_part: int = ROWS_PER_PART,
    after_part: Callable[[Part], None] = lambda _: None,
) -> Iterator[Part]:
    """Export a store to `folder`/NAME; yield what each part wrote."""
    home = folder / store.name
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(home):
        parquet.remove_left_behind(home)
        manifest = Manifest.read(home, store_name=store.name, store_id=store.id)
        manifest.begin(horizon(engine), [r.name for r in resources], is_full=is_full)
        for resource in resources:
            progress = manifest.progress(resource.name)
            while progress is not None:
                part = _part(engine, store, resource, manifest, progress, rows_per_part)
                after_part(part)
                if any(part.rows.values()):
                    yield part
                progress = manifest.progress(resource.name)
        manifest.end()


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Lock the folder: two exports into it would each write half of the manifest."""
    path = home / ".lock"
    path.touch(mode=0o600)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BadRequest(f"Another export is writing to {home}.") from None
        yield


def _part(
    engine: sa.Engine,
    store: Store,
    resource: Resource,
    manifest: Manifest,
    progress: Progress,
    rows_per_part: int,
) -> Part:
    """Write the next part of a resource, and record it in the manifest."""
    snapshots = engine.execution_options(isolation_level="REPEATABLE READ")
    rows: dict[str, int] = {}
    files = []
    with reading(snapshots) as connection:
        # A part may take longer than a page's write may.
        connection.exec_driver_sql("SET LOCAL transaction_timeout = 0")
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        where, binds = _range(store, resource, progress)
        last, found = connection.exec_driver_sql(
            f"SELECT max(k), count(*) FROM (SELECT {_key(resource)} AS k"
            f" FROM {crm_name(resource.name)} AS t WHERE {where} ORDER BY 1 LIMIT %(most)s) AS p",
            binds | {"most": rows_per_part},
        ).one()
        where, binds = f"{where} AND {_key(resource)} <= %(last)s", binds | {"last": last}
        for table in resource.tables if found else ():
            chosen = where if table == resource.name else _of_parents(resource, where)
            columns = parquet.columns_of(connection, table)
            path = f"{table}/{progress.run:06d}-{progress.part:05d}.parquet"
            rows[table] = parquet.write(
                connection, table, columns, chosen, binds, target=manifest.home / path,
                run=progress.run,
            )  # fmt: skip
            files.append(
                {
                    "path": path,
                    "resource": resource.name,
                    "table": table,
                    "run": progress.run,
                    "rows": rows[table],
                    "left_empty": parquet.unfit(connection, table, columns, chosen, binds),
                }
            )
    manifest.advance(resource.name, files=files, last=last if found == rows_per_part else None)
    return Part(resource.name, rows)


def _key(resource: Resource) -> str:
    return f't."{resource.key_column}"' if resource.key_column else "''"


def _range(store: Store, resource: Resource, progress: Progress) -> tuple[str, dict[str, Any]]:
    where = "t.store_id = %(store)s AND t.changed_at < %(until)s"
    binds: dict[str, Any] = {"store": store.id, "until": progress.until}
    if progress.since is not None:
        where += " AND t.changed_at >= %(since)s"
        binds["since"] = progress.since
    if progress.last is not None:
        where += f" AND {_key(resource)} > %(after)s"
        binds["after"] = progress.last
    return where, binds


def _of_parents(resource: Resource, where: str) -> str:
    """Return the condition for the child rows whose parents are in the part."""
    if resource.parent_column is None:
        return (
            f"EXISTS (SELECT FROM {crm_name(resource.name)} AS p WHERE {_aliased(where)}"
            " AND p.store_id = t.store_id) AND t.store_id = %(store)s"
        )
    return (
        f't.store_id = %(store)s AND t."{resource.parent_column}" IN (SELECT {_key(resource)}'
        f" FROM {crm_name(resource.name)} AS t WHERE {where})"
    )


def _aliased(where: str) -> str:
    return where.replace("t.", "p.")
