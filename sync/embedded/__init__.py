"""Postgres and valkey for a laptop and for the tests, without installation or maintenance.

`servers(data_dir)` is lazy: Postgres starts when `database_url` is first read, valkey when
`redis_url` is first read. Every process that uses the servers holds a shared lock on the folder,
and the last process to exit stops them. When that process is killed, the next one adopts the
running servers. A forked child that uses the servers must call `servers()` itself.

Production sets SYNC_DATABASE_URL and SYNC_REDIS_URL and does not use this package.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sync.embedded import state
from sync.embedded.account import server_account
from sync.embedded.postgres import DATABASE, FAST_SETTINGS, SETTINGS, USER, Postgres, Shutdown
from sync.embedded.valkey import Valkey
from sync.embedded.wheels import binaries
from sync.errors import NeedsOperator
from sync.settings import Settings

__all__ = ["Servers", "Shutdown", "Urls", "private", "remove", "servers", "urls"]


class Servers:
    """This process's use of the two servers in one data folder. Thread-safe."""

    def __init__(self, data_dir: Path, *, fast: bool = False) -> None:
        # Resolved, because servers are recognised by the path in their command line.
        self.data_dir = data_dir.resolve()
        self._fast = fast
        self._pid = os.getpid()
        self._mutex = threading.RLock()
        self._use: state.UseLock | None = None
        self._postgres: Postgres | None = None
        self._valkey: Valkey | None = None
        self._started: set[str] = set()

    @property
    def database_url(self) -> str:
        """The URL of the Postgres for SQLAlchemy; starts or adopts the server if necessary."""
        return self.postgres.url

    @property
    def redis_url(self) -> str:
        """The URL of the valkey; starts or adopts the server if necessary."""
        return self.valkey.url

    @property
    def postgres(self) -> Postgres:
        """The running Postgres, for tests that restart or pause the server."""
        self._begin("postgres")
        assert self._postgres is not None
        return self._postgres

    @property
    def valkey(self) -> Valkey:
        """The running valkey, for tests that restart, flush or pause the server."""
        self._begin("valkey")
        assert self._valkey is not None
        return self._valkey

    @property
    def psql_command(self) -> list[str]:
        """The command line that opens psql in the mirror; writes the password to a file for it."""
        postgres = self.postgres
        pgpass = self.data_dir / "pgpass"
        descriptor = os.open(pgpass, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"127.0.0.1:{postgres.port}:*:{USER}:{postgres.password}\n")
        psql = str(postgres.bin / "psql")
        where = ["-h", "127.0.0.1", "-p", str(postgres.port), "-U", USER, "-d", DATABASE]
        return ["env", f"PGPASSFILE={pgpass}", psql, *where]

    def release(self) -> None:
        """End this use; the last process stops the servers. Reading a URL begins a new use."""
        if self._pid != os.getpid():
            return  # in a forked child: the use belongs to the parent
        with self._mutex:
            if self._use is None:
                return
            # A removed folder has no lock file, and no other process can start to use it.
            gone = not self.data_dir.exists()
            with contextlib.nullcontext() if gone else state.start_lock(self.data_dir):
                try:
                    if self._use.is_last():
                        self._stop()
                finally:
                    self._use.close()
                    self._use = None
                    self._started.clear()

    def stop_unused(self) -> None:
        """Stop servers left by a killed process; NeedsOperator when another process uses them."""
        with self._mutex, state.start_lock(self.data_dir):
            use = state.UseLock(self.data_dir)
            try:
                if not use.is_last():
                    raise NeedsOperator(f"Another process uses the servers in {self.data_dir}.")
                self._stop()
            finally:
                use.close()

    def __enter__(self) -> Servers:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"Servers({str(self.data_dir)!r})"

    def _begin(self, name: str) -> None:
        with self._mutex:
            if name in self._started:
                return
            account = server_account()
            state.make_data_dir(self.data_dir, account)
            with state.start_lock(self.data_dir):
                if self._use is None:
                    self._use = state.UseLock(self.data_dir)
                postgres, valkey, saved = self._describe()
                if name == "postgres":
                    postgres.start()
                    saved.postgres_port = postgres.port
                else:
                    valkey.start()
                    saved.valkey_port = valkey.port
                state.save(self.data_dir, saved)
            if name == "postgres":
                self._postgres = postgres
            else:
                self._valkey = valkey
            self._started.add(name)

    def _describe(self) -> tuple[Postgres, Valkey, state.State]:
        """Return both servers as recorded in `embedded.json`, running or not."""
        account = server_account()
        saved = state.load(self.data_dir, account)
        folder = Path(saved.folder or self.data_dir)
        programs = binaries(account, folder=folder)
        postgres = Postgres(
            folder,
            programs.postgres_bin,
            account,
            saved.postgres_password,
            saved.postgres_port,
            {**SETTINGS, **(FAST_SETTINGS if self._fast else {})},
        )
        valkey = Valkey(folder, programs.valkey, account, saved.valkey_password, saved.valkey_port)
        return postgres, valkey, saved

    def _stop(self) -> None:
        servers = [self._valkey, self._postgres]
        if state.exists(self.data_dir):
            # Also a server that this process never used: the processes that used it have ended.
            postgres, valkey, _ = self._describe()
            servers += [valkey, postgres]
        for server in servers:
            if server is not None:
                server.stop()


_held: dict[tuple[int, Path], Servers] = {}
_held_mutex = threading.Lock()
os.register_at_fork(
    before=_held_mutex.acquire,
    after_in_parent=_held_mutex.release,
    after_in_child=_held_mutex.release,
)


def servers(data_dir: Path | str, *, fast: bool = False) -> Servers:
    """Return this process's use of the servers of a data folder, released when the process exits.

    `fast` is for tests: data does not survive a power cut. It applies when Postgres is started.
    """
    path = Path(data_dir).resolve()
    with _held_mutex:
        key = (os.getpid(), path)
        if key not in _held:
            _held[key] = Servers(path, fast=fast)
            atexit.register(_held[key].release)
        return _held[key]


@dataclass(frozen=True)
class Urls:
    """The URLs of the two servers. They contain passwords, which `repr` does not show."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)


def urls(settings: Settings) -> Urls:
    """Return both servers' URLs: the setting, or else the embedded server, which is started."""
    database, broker = settings.database_url, settings.redis_url
    pair = servers(settings.data_dir)
    return Urls(
        database_url=database.get_secret_value() if database else pair.database_url,
        redis_url=broker.get_secret_value() if broker else pair.redis_url,
    )


@contextlib.contextmanager
def private(*, fast: bool = True, under: Path | None = None) -> Iterator[Servers]:
    """Provide a separate pair of servers in a temporary folder, removed at the end; for tests.

    The folder is made in `under`, or where temporary files are.
    """
    folder = Path(tempfile.mkdtemp(prefix="mirror-", dir=under))
    folder.chmod(0o755)  # the servers' user must be able to enter it
    pair = Servers(folder, fast=fast)
    try:
        yield pair
    finally:
        pair.release()
        remove(folder)


def remove(data_dir: Path | str) -> None:
    """Stop the servers of a data folder and delete the folder with its contents."""
    pair = Servers(Path(data_dir))
    if not pair.data_dir.exists():
        return
    pair.stop_unused()
    state.delete(pair.data_dir)
