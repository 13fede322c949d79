"""Commands erase and suppression: a person's data removed, and masked whenever it comes again."""

from __future__ import annotations

from pathlib import Path

import click
from redis.exceptions import RedisError

from sync.commands.services import at_head
from sync.commands.shell import Family, examples, say
from sync.database.engine import attempts, reading
from sync.errors import BadRequest
from sync.settings import KEY_PREFIX
from sync.state import acts, stores
from sync.telemetry.redact_errors import first_line
from sync.work.services import Services

NOT_SEARCHED = (
    "Not searched, and not changed: the CRM; backups, replicas of yesterday and the archive of the"
    " write-ahead log, which cannot forget and have to expire (restore the saved suppression list"
    " after them); rows that wait for vacuum; files exported earlier, unless --files names them;"
    " and what analysts copied."
)


@click.command(
    epilog=examples(
        "erase shop --customer 4711 --dry-run",
        "erase shop --customer 4711 --by-contact --verify --files /var/exports --yes",
    )
)
@click.argument("name")
@click.option("--customer", type=click.IntRange(1), required=True, help="crm.customers.id")
@click.option(
    "--by-contact",
    is_flag=True,
    help="Also other records with the person's phone or e-mail, now and later.",
)
@click.option(
    "--verify", is_flag=True, help="Then search all that the mirror keeps for the person."
)
@click.option(
    "--files",
    "folders",
    multiple=True,
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="With --verify: search what was exported there too; repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be changed.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(
    name: str,
    customer: int,
    by_contact: bool,
    verify: bool,
    folders: tuple[Path, ...],
    dry_run: bool,
    yes: bool,
) -> None:
    """Take a person's data out of the mirror for good; amounts, dates and codes stay.

    Names, phones, e-mails, addresses, comments and custom fields are removed from the customer,
    from all records merged with it, and from their orders, histories, notes, tasks, files, raw and
    earlier contents. If the CRM sends them again, they are masked before they are written. A record
    that the CRM makes anew is another customer, unless --by-contact is given.

    Not changed: the CRM itself (erase the person there too), backups, files exported earlier
    (export again with --full). Save the list of erased persons with `suppression save` beside your
    backups: it is to be restored after them.
    """
    from sync.privacy import erasure, statistics

    if folders and not verify:
        raise BadRequest("--files are searched with --verify: give both.")
    services = at_head()
    engine = services.engine
    with reading(engine) as connection:
        store = stores.by_name(connection, name)
        person = erasure.person(connection, store, customer, by_contact=by_contact)
        touched = erasure.look(connection, store, person.records)
    for each in touched:
        say(f"  crm.{each.table}: {each.rows}")
    if dry_run:
        say("Nothing was changed.")
        return
    if not yes:
        click.confirm(f"Erase customer {customer} of {name} for good?", abort=True)
    for attempt in attempts(engine):
        with attempt as connection:
            touched = erasure.erase(connection, store, customer, by_contact=by_contact)
            rows = sum(each.rows for each in touched)
            acts.note(connection, "erase", store=name, detail=f"{rows} rows")  # whose is forgotten
    statistics.forget(engine)
    say(f"Customer {customer} of {name} is erased: {rows} rows; new data will be masked.")
    if verify:
        _verify(services, person.marks, folders)


def _verify(services: Services, marks: tuple[str, ...], folders: tuple[Path, ...]) -> None:
    """Print where the person's names, phones and e-mails still stand; exit status 1 if anywhere."""
    from sync.analysts import parquet
    from sync.privacy import search
    from sync.privacy.marks import spellings

    if not marks:
        say("Nothing to search for: the records hold no name, phone or e-mail any more.")
        return
    found = search.tables_with(services.engine, marks)
    searched = ["every table, the planner's statistics"]
    try:
        found |= search.keys_with(services.redis, marks, prefix=KEY_PREFIX)
        searched.append("Redis")
    except RedisError as error:
        say(f"Redis was not searched: {first_line(error)}")
    spelled = {each for mark in marks for each in spellings(mark)}
    for folder in folders:
        found |= parquet.files_with(folder, spelled)
        searched.append(str(folder))
    say(
        f"Searched for {len(marks)} names, phones and e-mails of the person: {', '.join(searched)}."
    )
    for place, rows in sorted(found.items()):
        say(f"  {place}: {rows} rows")
    if found:
        say(
            "Rows of tables belong to other records. Of another record of the same person: erase"
            " its customer too, or use --by-contact. Exported files: export again with --full."
        )
    else:
        say("None is left.")
    say(NOT_SEARCHED)
    if found:
        raise click.exceptions.Exit(1)


@click.group(cls=Family)
def suppression() -> None:
    """Save or restore the list of erased persons: keyed hashes that name nobody."""


@suppression.command(epilog=examples("suppression save /var/backups/suppressed.json"))
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def save(file: Path) -> None:
    """Write the list to a new file that only you can read."""
    from sync.privacy import suppression_list

    with reading(at_head().engine) as connection:
        entries = suppression_list.save(connection, file)
    say(f"{entries} entries written to {file}.")


@suppression.command(epilog=examples("suppression restore /var/backups/suppressed.json"))
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def restore(file: Path) -> None:
    """Add a saved list, and mask what a backup brought back of its persons.

    Do it after a restore from a backup and before the workers start.
    """
    from sync.privacy import statistics, suppression_list

    engine = at_head().engine
    for attempt in attempts(engine):
        with attempt as connection:
            new, masked = suppression_list.restore(connection, file)
            said = f"{new} new entries, {masked} rows masked"
            acts.note(connection, "suppression restore", detail=said)
    statistics.forget(engine)
    say(f"{new} entries are new, {masked} rows were masked.")
