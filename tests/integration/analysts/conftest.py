"""Mirrors of sandbox accounts, and roles that log in."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from sync.embedded import Servers

Rows = list[tuple[Any, ...]]
_numbers = itertools.count(1)


class Role:
    """A role of Postgres and what it finds when it logs in."""

    def __init__(self, engine: sa.Engine, name: str) -> None:
        self.name = name
        self._url = engine.url.set(drivername="postgresql")

    def use(self, database: str) -> None:
        """Log in to another database from now on."""
        self._url = self._url.set(database=database)

    def connect(self, user: str | None = None) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection of this role, in no database clock but Postgres's own."""
        url = self._url.set(username=user or self.name, password="secret")
        return psycopg.connect(url.render_as_string(hide_password=False), autocommit=True)

    def rows(self, sql: str) -> Rows:
        """What a query gives this role."""
        with self.connect() as connection:
            return connection.execute(sql).fetchall()  # type: ignore[call-overload,no-any-return]

    def value(self, sql: str) -> Any:
        """The one value of a query."""
        [(value,)] = self.rows(sql)
        return value

    def is_refused(self, sql: str) -> bool:
        """Whether Postgres says that permission is denied."""
        with self.connect() as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(sql)  # type: ignore[call-overload]
        return True


MakeRole = Callable[..., Role]


@pytest.fixture
def engine(database: str) -> Iterator[sa.Engine]:
    """An engine of the mirror's own role on a fresh database."""
    from sync.database.engine import connect

    made = connect(database, size=4, name="test")
    yield made
    made.dispose()


@pytest.fixture
def make_role(servers: Servers, database: str, worker_id: str) -> Iterator[MakeRole]:
    """Makes login roles, which are of the whole cluster, and drops them in the end."""
    made: list[str] = []
    url = sa.make_url(database)

    def make(options: str = "") -> Role:
        name = f"r_{worker_id}_{next(_numbers)}"
        made.append(name)
        with servers.postgres.connect("postgres") as connection:
            connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret' {options}")
        engine = sa.create_engine(url)
        try:
            return Role(engine, name)
        finally:
            engine.dispose()

    yield make
    with servers.postgres.connect(url.database or "") as connection:
        for name in reversed(made):
            connection.execute(f"DROP OWNED BY {name}")
    with servers.postgres.connect("postgres") as connection:
        for name in reversed(made):
            connection.execute(f"DROP ROLE {name}")


def add_store(engine: sa.Engine, name: str, *, zone: str = "Europe/Moscow") -> int:
    """A store that is not crawled, for rows a test writes itself."""
    with engine.begin() as connection:
        store_id: int = connection.execute(
            sa.text(
                "INSERT INTO sync.store (name, url, account, api_key, key_fingerprint, zone,"
                " currency) VALUES (:name, 'https://x.retailcrm.ru', :name, 'k', 'f', :zone, 'RUB')"
                " RETURNING id"
            ),
            {"name": name, "zone": zone},
        ).scalar_one()
    return store_id


def put(engine: sa.Engine, table: str, *rows: dict[str, Any]) -> None:
    """Rows written by hand, with the mirror's bookkeeping and what is kept up with them."""
    import json

    with engine.begin() as connection:
        columns = set(
            connection.exec_driver_sql(
                "SELECT column_name FROM information_schema.columns"
                " WHERE table_schema = 'crm' AND table_name = %s",
                (table,),
            ).scalars()
        )
        for row in rows:
            names_of = ("as_of", "first_seen_at", "changed_at")
            moments = dict.fromkeys(names_of, "2026-01-01T00:00:00Z")
            full = {k: v for k, v in moments.items() if k in columns} | row
            names = ", ".join(f'"{name}"' for name in full)
            connection.exec_driver_sql(
                f"INSERT INTO crm.{table} ({names}) SELECT {names}"
                f" FROM json_populate_record(NULL::crm.{table}, %s::json)",
                (json.dumps(full),),
            )
        orders = {row.get("id" if table == "orders" else "order_id") for row in rows}
        connection.exec_driver_sql(
            "SELECT sync.keep_order_status_spans(s.id, n.orders),"
            " sync.keep_order_margin(s.id, n.orders)"
            " FROM sync.store AS s, (SELECT %s::bigint[]) AS n(orders)",
            (sorted(orders - {None}),),
        )
