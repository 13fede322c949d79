"""Command export: write crm as Parquet files."""

from __future__ import annotations

import click

from sync.commands import params
from sync.commands.services import at_head
from sync.commands.shell import examples, say
from sync.database.engine import attempts, reading
from sync.resources import RESOURCES
from sync.state import accounts, acts, stores


@click.command(
    epilog=examples(
        "export shop --to /var/exports",
        "export shop orders customers --to /var/exports --by-month",
        "export shop --to s3://bucket/exports --full",
    )
)
@click.argument("name")
@click.argument("resources", nargs=-1)
@click.option("--to", "target", required=True, help="A folder, or an address of fsspec: s3://…")
@click.option("--format", "kind", type=click.Choice(["parquet"]), default="parquet")
@click.option("--full", is_flag=True, help="Export everything; older files are removed at the end.")
@click.option("--by-month", is_flag=True, help="Put rows into folders by their month of creation.")
def export(
    name: str, resources: tuple[str, ...], target: str, kind: str, full: bool, by_month: bool
) -> None:
    """Write a store's rows to files: everything the first time, then what changed.

    Tombstones are included and children come with their parents. A run that was stopped continues
    where it was. manifest.json names the files, schema.json their columns; current.sql makes views
    of them in DuckDB that hold what crm holds. After an erasure, export with --full, so that older
    files do not keep the person: it begins anew, and takes resources that are switched off as well
    when they were exported before. Credentials of an object store come from the environment
    (AWS_ACCESS_KEY_ID and the like).
    """
    from sync.analysts import export as exporting
    from sync.analysts.manifest import Manifest
    from sync.analysts.places import place_of

    del kind  # parquet is the only kind
    wanted = params.check_resources(resources)
    place = place_of(target, name)
    found = at_head()
    with reading(found.engine) as connection:
        store = stores.by_name(connection, name)
        mirrored = accounts.selected(connection, store.id)
    if full and not wanted:
        told = Manifest.read(place, store_name=store.name, store_id=store.id)
        mirrored += told.resources
    chosen = [RESOURCES[each] for each in RESOURCES if each in (wanted or mirrored)]
    for attempt in attempts(found.engine):
        with attempt as connection:
            acts.note(connection, "export", store=name, detail=target)
    rows = 0
    for part in exporting.export(
        found.engine, store, chosen, place=place, is_full=full, by_month=by_month
    ):
        rows += sum(part.rows.values())
        counts = ", ".join(f"{table} {count:,}" for table, count in part.rows.items() if count)
        say(
            f"  {counts}: {part.done:,} of {part.total:,} records, {part.per_second:,.0f}/s,"
            f" {part.seconds_left:,.0f} s left"
        )
    say(f"{name}: {rows:,} rows written to {place.address}.")
