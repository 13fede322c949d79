"""Servers for the tests: one Postgres and one valkey for the whole run, a database per test.

All workers of a run (`pytest -n auto`) share the pair; it is started by the first test that asks
and gone when the run is. Tests that break their servers take a pair of their own (`own_servers`).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
import sqlalchemy as sa
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from sync import settings
from sync.embedded import Servers, private, remove
from sync.embedded.process import is_running
from sync.errors import SyncError
from tests import in_memory
from tests.databases import administer, copying

# The same examples in every run, so that a red run says something of the change and not of the
# day; `HYPOTHESIS_PROFILE=explore` looks further, at other examples each time.
# A busy machine is no fault: neither the time of an example nor that of its drawing is judged.
_CALM = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
hypothesis_settings.register_profile("steady", derandomize=True, **_CALM)
hypothesis_settings.register_profile("explore", derandomize=False, database=None, **_CALM)
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

_FOLDER = pytest.StashKey[Path]()
_PREFIX = "mirror-tests-"
_TEMPLATE = "mirror_template"
_names = count(1)


def pytest_configure(config: pytest.Config) -> None:
    """Name the run's folder; the controller makes it, the workers are told."""
    told = getattr(config, "workerinput", {}).get("servers_folder")
    if told:
        config.stash[_FOLDER] = in_memory.run = Path(told)
        return
    _remove_left_behind()
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=in_memory.folder()))
    folder.chmod(0o755)  # the servers do not run as root, and have to pass through
    config.stash[_FOLDER] = in_memory.run = folder


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than cores: half of a run is spent waiting for clocks, leases and intervals."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Tell an xdist worker the folder."""
    node.workerinput["servers_folder"] = str(node.config.stash[_FOLDER])  # type: ignore[attr-defined]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that may take longest: the last one to begin decides when a run ends.

    The order is otherwise that of pytest-randomly, whose seed is printed and can be given again.
    """

    def patience(item: pytest.Item) -> float:
        mark = item.get_closest_marker("timeout")
        if mark is not None:
            return float(mark.args[0])
        return 350.0 if "/faults/" in str(item.path) or "full_load" in item.name else 300.0

    items.sort(key=patience, reverse=True)


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput") and config.stash.get(_FOLDER, None):
        _remove_run(config.stash[_FOLDER])


def _remove_run(folder: Path) -> None:
    """Stop a run's servers and those that single tests started inside its folder; delete it."""
    for inside in folder.glob("*/embedded.json"):
        remove(inside.parent)
    remove(folder)


def _remove_left_behind() -> None:
    """Stop the servers of runs that were killed: nothing else would."""
    places = {Path(tempfile.gettempdir()), in_memory.SHARED}
    for folder in (found for place in places for found in place.glob(f"{_PREFIX}*")):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdecimal() and not is_running(int(owner), "pytest"):
            try:
                _remove_run(folder)
            except (SyncError, OSError):  # another user's
                continue


@pytest.fixture(autouse=True)
def settings_of_the_test_alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A developer's own SYNC_ variables, and his proxy, reach no test."""
    ours = [name for name in os.environ if name.startswith(settings.PREFIX)]
    for name in [*ours, *(name for name in os.environ if name.lower() == "https_proxy")]:
        monkeypatch.delenv(name)
    settings.forget()
    yield
    settings.forget()


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """The run's Postgres and valkey, each started when first used. Durable they are not."""
    with Servers(request.config.stash[_FOLDER], fast=True) as pair:
        yield pair


@pytest.fixture
def own_servers() -> Iterator[Servers]:
    """A pair of the test's own: to restart, kill, pause and flush."""
    with private(fast=True, under=in_memory.run) as pair:
        yield pair


@pytest.fixture(scope="session")
def template(servers: Servers) -> str:
    """The name of a database at migration head, made once for the whole run."""
    from sync.database.migrate import upgrade

    with servers.postgres.connect("postgres") as connection:
        # One worker makes it, the others wait; closing the connection lets go.
        connection.execute("SELECT pg_advisory_lock(1)")
        known = "SELECT 1 FROM pg_database WHERE datname = %s"
        if connection.execute(known, [_TEMPLATE]).fetchone() is None:
            _hash_once(connection, sa.make_url(servers.database_url))
            making = f"{_TEMPLATE}_making"
            connection.execute(f"DROP DATABASE IF EXISTS {making} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {making}")
            upgrade(url_of(servers, making))
            # Connections that upgrade() left in a pool would keep it from being copied.
            connection.execute(f"ALTER DATABASE {making} ALLOW_CONNECTIONS false")
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
                [making],
            )
            connection.execute(f"ALTER DATABASE {making} RENAME TO {_TEMPLATE}")
    return _TEMPLATE


def _hash_once(connection: psycopg.Connection[Any], url: sa.URL) -> None:
    """Have clients hash the password once for each connection, and not 4,096 times: 2 ms."""
    if connection.info.server_version >= 16_00_00:
        connection.execute("SET scram_iterations = 1")
        connection.execute(f"ALTER ROLE {url.username} PASSWORD '{url.password}'".encode())


@pytest.fixture
def database_url(servers: Servers, worker_id: str) -> Iterator[str]:
    """The SQLAlchemy URL of a database that is not there yet, and is gone after the test."""
    with named(servers, worker_id) as url:
        yield url


@pytest.fixture
def database(template: str, database_url: str) -> str:
    """The SQLAlchemy URL of a fresh database at migration head, or of the one that a fixture of
    this test has filled already."""
    with suppress(psycopg.errors.DuplicateDatabase):
        administer(database_url, copying(database_url, template))
    return database_url


@pytest.fixture
def empty_database(servers: Servers, worker_id: str) -> Iterator[str]:
    """The SQLAlchemy URL of a fresh database without a table."""
    with named(servers, worker_id) as url:
        administer(url, copying(url, "template0"))
        yield url


@contextmanager
def named(servers: Servers, worker_id: str) -> Iterator[str]:
    """The SQLAlchemy URL of a database that is not there yet, and is gone afterwards."""
    name = f"test_{worker_id}_{next(_names)}"
    yield url_of(servers, name)
    with servers.postgres.connect("postgres") as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def url_of(servers: Servers, database: str) -> str:
    return f"{servers.database_url.rpartition('/')[0]}/{database}"


@pytest.fixture
def redis_url(servers: Servers, worker_id: str) -> str:
    """The URL of an empty Redis database, this worker's own."""
    number = 1 + int(worker_id.removeprefix("gw") if worker_id != "master" else 0)
    url = f"{servers.redis_url.rpartition('/')[0]}/{number}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url
