"""Row-level security on the tables of `crm`, only as long as some reader is limited to stores.

Each reader has a policy of its name on each table. The policy compares with constants, so that a
limited reader's query is planned as if it had said `store_id = 1` itself. The mirror's own role
owns the tables and is not subject to policies; a role without a policy sees no row. Each table is
changed in a transaction of its own, in short tries, because the lock keeps all its readers and
writers out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa

from sync.database.engine import reading
from sync.database.patience import Patience
from sync.database.quoting import literal, quoted
from sync.errors import TryLater

ONE_AT_A_TIME = "LOCK TABLE sync.reader IN SHARE ROW EXCLUSIVE MODE"
_TABLES = (
    "SELECT c.relname, c.relrowsecurity FROM pg_class AS c"
    " WHERE c.relnamespace = 'crm'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1"
)
_POLICIES = (
    "SELECT c.relname, p.polname, obj_description(p.oid, 'pg_policy')"
    " FROM pg_policy AS p JOIN pg_class AS c ON c.oid = p.polrelid"
    " WHERE c.relnamespace = 'crm'::regnamespace"
)


@dataclass(frozen=True, slots=True)
class Reader:
    """A row of `sync.reader` whose role exists. `store_ids` is None for all."""

    role: str
    store_ids: tuple[int, ...] | None
    masked: bool

    @property
    def is_limited(self) -> bool:
        """True when row-level security is needed: the reader reads tables, but not all stores."""
        return self.store_ids is not None and not self.masked


def readers(connection: sa.Connection) -> list[Reader]:
    """Return every reader whose role still exists."""
    rows = connection.exec_driver_sql(
        "SELECT g.role, g.store_ids, g.masked FROM sync.reader AS g"
        " JOIN pg_roles AS r ON r.rolname = g.role ORDER BY 1"
    )
    return [Reader(role, None if ids is None else tuple(ids), masked) for role, ids, masked in rows]


def settle(run: Patience) -> int:
    """Make every table's policies what `sync.reader` asks for; return how many tables changed.

    A table that somebody is using comes after all others, so that it holds up none of them.
    """
    with reading(run.engine) as connection:
        changed = left(connection)
    busy = []
    for table in changed:
        try:
            Patience(run.engine, say=run.say, seconds=0).run(partial(_set_right, table), what=table)
        except TryLater:
            busy.append(table)
    for done, table in enumerate(busy):
        what = f"the policies of crm.{table} ({len(busy) - done} of {len(changed)} tables left)"
        run.run(partial(_set_right, table), what=what)
    return len(changed)


def left(connection: sa.Connection) -> list[str]:
    """Return the tables whose policies are not yet what `sync.reader` asks for."""
    return list(_statements(connection))


def _set_right(table: str, connection: sa.Connection) -> None:
    # Of two that settle at once, the second finds the first's policies.
    connection.exec_driver_sql(ONE_AT_A_TIME)
    for statement in _statements(connection).get(table, ()):
        connection.exec_driver_sql(statement)


def _statements(connection: sa.Connection) -> dict[str, list[str]]:
    """Return the statements that are left to do, by table."""
    wanted = readers(connection)
    limited = any(reader.is_limited for reader in wanted)
    policies = {r.role: _told(r) for r in wanted if not r.masked} if limited else {}
    there: dict[str, dict[str, str]] = {}
    for table, name, told in connection.exec_driver_sql(_POLICIES):
        there.setdefault(table, {})[name] = told or ""
    found: dict[str, list[str]] = {}
    for table, is_on in connection.exec_driver_sql(_TABLES).all():
        statements = _changes(table, there.get(table, {}), policies, wanted)
        # Enabled after its policies exist, disabled before they go: no reader is shut out between.
        if limited and not is_on:
            statements.append(f"ALTER TABLE crm.{quoted(table)} ENABLE ROW LEVEL SECURITY")
        if not limited and is_on:
            statements.insert(0, f"ALTER TABLE crm.{quoted(table)} DISABLE ROW LEVEL SECURITY")
        if statements:
            found[table] = statements
    return found


def _changes(
    table: str, there: dict[str, str], policies: dict[str, str], wanted: Sequence[Reader]
) -> list[str]:
    on = f"ON crm.{quoted(table)}"
    statements = [
        f"DROP POLICY {quoted(name)} {on}"
        for name, told in sorted(there.items())
        if policies.get(name) != told
    ]
    for reader in wanted:
        told = policies.get(reader.role)
        if told is None or there.get(reader.role) == told:
            continue
        name = quoted(reader.role)
        statements += [
            f"CREATE POLICY {name} {on} FOR SELECT TO {name} USING ({_condition(reader)})",
            f"COMMENT ON POLICY {name} {on} IS {literal(told)}",
        ]
    return statements


def _told(reader: Reader) -> str:
    """Return the policy in words; a policy with another comment is made anew."""
    if reader.store_ids is None:
        return "all stores"
    return f"stores {', '.join(str(store) for store in reader.store_ids)}"


def _condition(reader: Reader) -> str:
    if reader.store_ids is None:
        return "true"
    if len(reader.store_ids) == 1:
        return f"store_id = {reader.store_ids[0]}"
    return f"store_id IN ({', '.join(str(store) for store in reader.store_ids)})"
