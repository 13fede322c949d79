"""Command publish: crm for logical replication."""

from __future__ import annotations

import click
from psycopg.errors import InsufficientPrivilege
from sqlalchemy.exc import ProgrammingError

from sync.commands.services import at_head
from sync.commands.shell import examples, say
from sync.database.engine import attempts, reading
from sync.errors import BadRequest, NeedsOperator
from sync.state import acts, stores
from sync.telemetry.redact_errors import first_line


@click.command(
    epilog=examples(
        "publish warehouse",
        "publish warehouse --store shop",
        "publish --tables | psql -h other-server mirror_copy",
        "publish warehouse --withdraw",
    )
)
@click.argument("publication", required=False)
@click.option(
    "--store", "names", multiple=True, metavar="NAME", help="Only rows of this store; repeatable."
)
@click.option("--all-stores", is_flag=True, help="Rows of all stores, if it had only some.")
@click.option("--tables", is_flag=True, help="Print the SQL of the tables, for the other side.")
@click.option("--withdraw", is_flag=True, help="Drop the publication.")
def publish(
    publication: str | None, names: tuple[str, ...], all_stores: bool, tables: bool, withdraw: bool
) -> None:
    """Publish crm for logical replication: to another Postgres, Debezium, PeerDB, ClickHouse.

    PUBLICATION is its name, of your choice. A new one has all stores, unless --store names some.
    Run it again after each upgrade, so that new tables are in it: it keeps its stores. What
    subscribers need is in ops/docs/replication.md.
    """
    from sync.analysts import publication as publishing

    if tables == (publication is not None) or (tables and (names or all_stores or withdraw)):
        raise BadRequest("Give the name of a publication, or --tables alone.")
    if withdraw and (names or all_stores):
        raise BadRequest("--withdraw drops the publication whole: give it without stores.")
    if names and all_stores:
        raise BadRequest("Give --store or --all-stores.")
    engine = at_head().engine
    if publication is None:
        with reading(engine) as connection:
            say(publishing.tables(connection).rstrip())
        return
    with reading(engine) as connection:
        every = {store.id: store.name for store in stores.every(connection)}
        ids = [stores.by_name(connection, name).id for name in names]
        is_new = publishing.stores_of(connection, publication) is None
        if is_new and publication in every.values() and not (ids or all_stores or withdraw):
            raise BadRequest(
                f"{publication} is a store, and this would publish all of them: say --store"
                f" {publication}, or --all-stores."
            )
    try:
        for attempt in attempts(engine):
            with attempt as connection:
                if withdraw:
                    publishing.withdraw(connection, publication)
                    acts.note(connection, "publish --withdraw", detail=publication)
                    done = f"{publication} is dropped. Drop the slots of its subscribers, too."
                else:
                    asked = [] if all_stores else ids or None
                    made = publishing.publish(connection, publication, store_ids=asked)
                    told = publishing.stores_of(connection, publication) or []
                    which = ", ".join(every.get(n, f"store {n}") for n in told) or "all stores"
                    acts.note(connection, "publish", detail=f"{publication}: {which}")
                    done = (
                        f"{publication} publishes {len(made)} tables of crm, the rows of {which}."
                    )
    except ProgrammingError as error:
        if not isinstance(error.orig, InsufficientPrivilege):
            raise
        raise NeedsOperator(
            f"{publication} was not changed: {first_line(error)}. It takes the role that owns crm,"
            " and CREATE on the database: run the command with that role's SYNC_DATABASE_URL."
        ) from error
    say(done)
