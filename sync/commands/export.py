"""Command export: write crm as Parquet files."""

from __future__ import annotations

from pathlib import Path

import click

from sync.commands import params
from sync.commands.services import at_head
from sync.commands.shell import examples
from sync.database.engine import reading
from sync.resources import RESOURCES
from sync.state import accounts, stores


@click.command(
    epilog=examples(
        "export shop --to /var/exports",
        "export shop orders customers --to /var/exports",
        "export shop --to /var/exports --full",
    )
)
@click.argument("name")
@click.argument("resources", nargs=-1)
@click.option("--to", "folder", required=True, type=click.Path(file_okay=False, path_type=Path))
@click.option("--format", "kind", type=click.Choice(["parquet"]), default="parquet")
@click.option("--full", is_flag=True, help="Export everything; older files are removed at the end.")
def export(name: str, resources: tuple[str, ...], folder: Path, kind: str, full: bool) -> None:
    """Write a store's rows to files: everything the first time, then what changed.

    Tombstones are included and children come with their parents. A run that was stopped continues
    where it was. If a key occurs more than once, the row with the highest _run counts.
    manifest.json names the files. After an erasure, export with --full, so that older files do not
    keep the person.
    """
    from sync.analysts import export as exporting

    del kind  # parquet is the only kind
    wanted = params.check_resources(resources)
    found = at_head()
    with reading(found.engine) as connection:
        store = stores.by_name(connection, name)
        mirrored = accounts.selected(connection, store.id)
    chosen = [RESOURCES[each] for each in RESOURCES if each in (wanted or mirrored)]
    rows = 0
    for part in exporting.export(found.engine, store, chosen, folder=folder, is_full=full):
        rows += sum(part.rows.values())
        counts = ", ".join(f"{table} {count}" for table, count in part.rows.items() if count)
        click.echo(f"  {counts}")
    click.echo(f"{name}: {rows} rows written to {folder / name}.")
