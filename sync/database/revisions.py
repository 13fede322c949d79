"""The revisions of this release, and where a database stands among them.

They are read from the names of files, so that a process which only looks at the schema does not
load Alembic: 15 MB in each worker.
"""

from __future__ import annotations

import functools
from enum import Enum
from pathlib import Path

import sqlalchemy as sa

from sync.errors import NeedsOperator

ROOT = Path(__file__).resolve().parents[2]
BEFORE_THE_BASELINE = "0a1e7299dc"
"""The commit that upgrades older databases to the first revision of this release."""
MIGRATE = "celery -A sync mirror migrate"


class Standing(Enum):
    """The schema of a database that is not this release's, compared with it."""

    BEHIND = "behind"
    AHEAD = "ahead"


class WrongSchema(NeedsOperator):
    """The database is not at this release's schema; `standing` says on which side it is."""

    def __init__(self, message: str, standing: Standing) -> None:
        super().__init__(message)
        self.standing = standing


def require_head(connection: sa.Connection) -> None:
    """Raise WrongSchema when the database is not at this release's schema."""
    head, current = known()[-1], revision_of(connection)
    if current == head:
        return
    if current is not None and _is_later(current):
        raise WrongSchema(
            f"The database is at revision {current}, which a later release made; this one needs"
            f" {head}. Run that release.",
            Standing.AHEAD,
        )
    raise WrongSchema(
        f"The database is at revision {current or 'none'}, this release needs {head}. "
        f"Run: {MIGRATE}",
        Standing.BEHIND,
    )


def require_at_least_head(connection: sa.Connection) -> None:
    """Raise WrongSchema when the schema is older than this release; a newer one only adds."""
    try:
        require_head(connection)
    except WrongSchema as error:
        if error.standing is Standing.BEHIND:
            raise


def revision_of(connection: sa.Connection) -> str | None:
    """Return the revision a database is at; None for one without tables."""
    if connection.exec_driver_sql("SELECT to_regclass('sync.alembic_version')").scalar() is None:
        return None
    found: str | None = connection.exec_driver_sql(
        "SELECT version_num FROM sync.alembic_version"
    ).scalar()
    return found


def known() -> list[str]:
    """Return this release's revisions, the first first."""
    return list(_read(ROOT))


@functools.cache
def _read(root: Path) -> tuple[str, ...]:
    """Read the revisions of a checkout, once in a process: each file is named after its own."""
    folder = root / "migrations/versions"
    found = sorted({each.name[:4] for each in folder.glob("[0-9][0-9][0-9][0-9]_*.py")})
    if not found:
        raise NeedsOperator(f"There are no migrations in {folder}: install the whole release.")
    return tuple(found)


def missing(current: str | None, wanted: str) -> list[str]:
    """Return the revisions between the current and the wanted one, which is included."""
    found = known()
    begin = 0 if current is None else found.index(current) + 1
    return found[begin : len(found) if wanted == "head" else found.index(wanted) + 1]


def _is_later(revision: str) -> bool:
    """Tell whether a later release made this revision: they are numbered."""
    found = known()
    return revision not in found and revision > found[0]


def require_known(connection: sa.Connection) -> None:
    """Raise NeedsOperator when no migration leads on from the revision of the database."""
    current = revision_of(connection)
    if current is None or current in known():
        return
    if _is_later(current):
        raise NeedsOperator(
            f"The database is at revision {current}, which a later release made. Run that one."
        )
    raise NeedsOperator(
        f"The database is at revision {current}, and this release upgrades from {known()[0]} on. "
        f"Check out commit {BEFORE_THE_BASELINE} and run there: {MIGRATE}. "
        "Then run it again with this release."
    )
