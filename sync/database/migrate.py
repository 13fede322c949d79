"""Upgrades of a database to the schema of this release, and the check that it is there.

`python -m sync.database.migrate check` upgrades an embedded scratch database and fails when the
declarations ask for something that no migration makes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from sync.database.engine import outages
from sync.errors import NeedsOperator

_ROOT = Path(__file__).resolve().parents[2]
OLDEST_POSTGRES = 180_000
"""The oldest server version that works: RETURNING old/new (sql.py) came with 18."""
LOCK_SECONDS: float = 5
"""The longest wait of a migration for a table: every reader behind it would wait, too."""
BEFORE_THE_BASELINE = "b89d39a"
"""The commit that upgrades older databases to the first revision of this release."""


def url_of_settings() -> str:
    """Return the URL of the database in the settings; start it if it is the embedded one."""
    from sync.embedded import urls
    from sync.settings import settings

    return urls(settings()).database_url


def _config(connection: sa.Connection | None = None) -> Config:
    config = Config(toml_file=str(_ROOT / "pyproject.toml"))
    config.set_main_option("script_location", str(_ROOT / "migrations"))
    config.attributes["connection"] = connection
    config.attributes["lock_seconds"] = LOCK_SECONDS
    return config


def _engine(url: str) -> sa.Engine:
    return sa.create_engine(url, poolclass=sa.NullPool, connect_args={"connect_timeout": 10})


def upgrade(url: str, revision: str = "head") -> None:
    """Upgrade a database; a second migrator waits for the first."""
    with outages(), _engine(url).connect() as connection:
        version = connection.exec_driver_sql("SHOW server_version_num").scalar_one()
        if int(version) < OLDEST_POSTGRES:
            raise NeedsOperator(
                f"Postgres {int(version) // 10000} is too old; the mirror needs 18 or newer."
            )
        _require_known(connection)
        connection.rollback()
        command.upgrade(_config(connection), revision)


def downgrade(url: str, revision: str) -> None:
    """Downgrade a database, for tests: a deployed database only goes forward."""
    with _engine(url).connect() as connection:
        command.downgrade(_config(connection), revision)


def check(url: str) -> None:
    """Raise when declarations and migrations disagree."""
    with _engine(url).connect() as connection:
        command.check(_config(connection))


def require_head(connection: sa.Connection) -> None:
    """Raise NeedsOperator when the database is not at this release's schema."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    current = _revision_of(connection)
    if current != head:
        raise NeedsOperator(
            f"The database is at revision {current or 'none'}, this release needs {head}. "
            "Run: celery -A sync mirror migrate"
        )


def _revision_of(connection: sa.Connection) -> str | None:
    """Return the revision a database is at; None for one without tables."""
    options = {"version_table_schema": "sync"}
    return MigrationContext.configure(connection, opts=options).get_current_revision()


def _require_known(connection: sa.Connection) -> None:
    """Raise NeedsOperator when no migration leads on from the revision of the database."""
    scripts = ScriptDirectory.from_config(_config())
    current, first = _revision_of(connection), scripts.get_base()
    if current is None or current in {script.revision for script in scripts.walk_revisions()}:
        return
    if first is not None and current > first:
        raise NeedsOperator(
            f"The database is at revision {current}, which a later release made. Run that one."
        )
    raise NeedsOperator(
        f"The database is at revision {current}, and this release upgrades from {first} on. "
        f"Check out commit {BEFORE_THE_BASELINE} and run there: celery -A sync mirror migrate. "
        "Then run it again with this release."
    )


def _main(arguments: list[str]) -> int:
    from sync.embedded import private

    if arguments != ["check"]:
        sys.stderr.write("usage: python -m sync.database.migrate check\n")
        return 2
    with private() as servers:
        upgrade(servers.database_url)
        check(servers.database_url)
    return 0


if __name__ == "__main__":
    raise SystemExit(_main(sys.argv[1:]))
