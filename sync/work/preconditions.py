"""Everything that has to be so before the mirror can work, row by row, each with its cure.

Nothing is changed, no row is written, and no request of the budget is used. What cannot be found
out because something before it fails is left out.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import sqlalchemy as sa

from sync.broker import fitness
from sync.database import contract
from sync.database.engine import reading
from sync.database.revisions import require_at_least_head
from sync.errors import NeedsOperator, SyncError, TryLater
from sync.settings import warnings
from sync.state import accounts, stores
from sync.state.stores import Store
from sync.work import surroundings
from sync.work.services import Services, require_secret_key

LEAST_BYTES = 2_000_000_000
"""Free space below which a load may fill the disk: a million orders take six gigabytes."""
LEAST_PYTHON = (3, 11)
CONNECT_SECONDS = 5.0
LEAST_FILES = 1_024


@dataclass(frozen=True, slots=True)
class Finding:
    """A precondition: whether it holds, what was found, and the cure when it does not.

    `is_needed`: False for what works but should be changed.
    """

    what: str
    holds: bool
    found: str = ""
    cure: str = ""
    is_needed: bool = True


def findings(
    services: Services, *, has_schema: bool = True, reach: bool = True
) -> Iterator[Finding]:
    """Yield the preconditions in the order in which they depend on each other.

    `has_schema`: the database has been migrated. `reach`: also try whether the accounts' hosts
    can be reached, by a connection without a request.
    """
    yield from _of_host()
    yield from _of_settings(services)
    postgres = yield from _of_postgres(services)
    redis = yield from _of_redis(services)
    if postgres and has_schema:
        yield from _of_schema(services)
    if postgres and redis and has_schema:
        yield from _of_clocks(services)
    yield from _of_disk(services)
    if postgres and reach and has_schema:
        yield from _of_reach(services)


def _of_host() -> Iterator[Finding]:
    import resource

    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding(
        "Python is 3.11 or newer", sys.version_info[:2] >= LEAST_PYTHON, version,
        "install a newer Python",
    )  # fmt: skip
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield Finding(
        f"this user may open {LEAST_FILES:,} files", files >= LEAST_FILES, f"{files:,}",
        f"raise it before the worker starts: ulimit -n {LEAST_FILES}", is_needed=False,
    )  # fmt: skip
    encoding = sys.getfilesystemencoding().lower()
    yield Finding(
        "this machine's texts are UTF-8", encoding in {"utf-8", "utf8"}, encoding,
        "set the variable LANG=C.UTF-8", is_needed=False,
    )  # fmt: skip
    verify = ssl.get_default_verify_paths()
    places = [verify.cafile, verify.capath, _variable("SSL_CERT_FILE"), _variable("SSL_CERT_DIR")]
    there = any(place and Path(place).exists() for place in places)
    yield Finding(
        "certificates of authorities are installed", there, "",
        "install them, e.g. apt install ca-certificates", is_needed=False,
    )  # fmt: skip


def _variable(name: str) -> str:
    return os.environ.get(name, "")  # noqa: TID251  OpenSSL's variables are no settings


def _of_settings(services: Services) -> Iterator[Finding]:
    found = services.settings
    told = warnings(found)
    yield Finding("every setting is known and can be used", True, f"limit {found.rate_limit:g}/s")
    for text in told:
        yield Finding("every setting has an effect", False, text, "remove it", is_needed=False)
    address = found.egress_address
    if address:
        yield Finding(
            f"requests can leave from {address}", _can_bind(address), "",
            "SYNC_EGRESS_ADDRESS has to be an address of this machine (ip address show)",
        )  # fmt: skip


def _can_bind(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _of_postgres(services: Services) -> Generator[Finding, None, bool]:
    what = "Postgres answers"
    try:
        with reading(services.engine) as connection:
            rows = contract.checks(connection)
            free = connection.execute(
                sa.text(
                    "SELECT current_setting('max_connections')::int"
                    " - current_setting('superuser_reserved_connections')::int"
                    " - (SELECT count(*) FROM pg_stat_activity WHERE backend_type ="
                    " 'client backend')"
                )
            ).scalar_one()
    except TryLater as error:
        yield Finding(what, False, str(error), "start it, or correct SYNC_DATABASE_URL")
        return False
    except NeedsOperator as error:
        yield Finding("Postgres can be used", False, str(error), "")
        return False
    yield Finding(what, True)
    for row in rows:
        yield Finding(row.check, row.holds, "", row.cure)
    yield Finding(
        "Postgres has connections to spare", free >= 30, f"{free:,} of its connections are free",
        "raise max_connections, or put pgbouncer before it: a worker uses up to 26",
        is_needed=False,
    )  # fmt: skip
    return True


def _of_redis(services: Services) -> Generator[Finding, None, bool]:
    found = fitness.look(services.redis)
    yield Finding(
        "Redis answers and serves us", found.refusal is None, found.refusal or "",
        "start it, or correct SYNC_REDIS_URL" if found.refusal else "",
    )  # fmt: skip
    for text in surroundings.dangers_of_redis(services, found):
        yield Finding("Redis is safe to rely on", False, text, "", is_needed=False)
    return found.refusal is None


def _of_schema(services: Services) -> Iterator[Finding]:
    try:
        with reading(services.engine) as connection:
            require_at_least_head(connection)
    except SyncError as error:
        yield Finding("the schema is this release's", False, str(error), "")
        return
    yield Finding("the schema is this release's", True)
    try:
        require_secret_key(services)
    except NeedsOperator as error:
        yield Finding("SYNC_SECRET_KEY opens the stored API keys", False, str(error), "")
    except TryLater:
        return
    else:
        yield Finding("SYNC_SECRET_KEY opens the stored API keys", True)


def _of_clocks(services: Services) -> Iterator[Finding]:
    try:
        ahead = surroundings.clocks(services)
    except (TryLater, NeedsOperator):
        return
    except sa.exc.SQLAlchemyError:  # the schema is not there yet
        return
    for name, seconds in ahead.items():
        yield Finding(
            f"the clock of {name} agrees with Postgres's", not seconds, f"{seconds:+.1f} s"
            if seconds else "", "let every host follow NTP", is_needed=False,
        )  # fmt: skip


def _of_disk(services: Services) -> Iterator[Finding]:
    if services.settings.database_url is not None:
        return
    folder = services.settings.data_dir
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    yield Finding(
        "the disk of SYNC_DATA_DIR has room", free >= LEAST_BYTES, f"{free / 1e9:.1f} GB free",
        "free some, or name a folder on another disk", is_needed=False,
    )  # fmt: skip
    yield Finding(
        "SYNC_DATA_DIR can be written", os.access(folder, os.W_OK), str(folder),
        "let this user write there, or name another folder",
    )  # fmt: skip


def _of_reach(services: Services) -> Iterator[Finding]:
    """Try the way to each host of an account: its name, its port, its certificate."""
    try:
        with reading(services.engine) as connection:
            known = [each for each in stores.every(connection) if not accounts.is_removed(each)]
    except (SyncError, sa.exc.SQLAlchemyError):
        return
    for host, mine in _hosts(known).items():
        wrong = reach(mine[0].url, source=services.settings.egress_address)
        yield Finding(
            f"{host} can be reached ({', '.join(each.name for each in mine[:3])})", not wrong,
            wrong, "look at the name, the firewall and SYNC_EGRESS_ADDRESS of this machine",
            is_needed=False,
        )  # fmt: skip


def _hosts(known: list[Store]) -> dict[str, list[Store]]:
    found: dict[str, list[Store]] = {}
    for store in known:
        if store.enabled:
            found.setdefault(urlsplit(store.url).netloc, []).append(store)
    return found


def reach(url: str, *, source: str = "") -> str:
    """Connect to an account's host without a request; return why that fails, "" when it works.

    A proxy that the environment names is not used: what is tried is this machine's own way.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection(
            (host, port), CONNECT_SECONDS, (source, 0) if source else None
        ) as plain:
            if parts.scheme == "https":
                with ssl.create_default_context().wrap_socket(plain, server_hostname=host):
                    pass
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not accepted: {error.verify_message}"
    except OSError as error:
        return error.strerror or str(error)
    return ""
