"""One Postgres cluster on loopback: created, started, adopted, stopped."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path

import psycopg
from psycopg import sql

from sync.embedded import process
from sync.embedded.account import Account, hand_over
from sync.embedded.cluster import make_cluster
from sync.errors import NeedsOperator, TryLater

USER = "mirror"
DATABASE = "mirror"
_START_SECONDS = 120  # a crashed cluster replays its WAL first
_STOP_SECONDS = 60

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # no socket, because its path is limited to about 100 bytes
    "shared_buffers": "128MB",
    "max_connections": "100",
    "max_wal_size": "1GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
    "password_encryption": "scram-sha-256",
}
# Data does not survive a power cut: for tests, which can create it again.
FAST_SETTINGS: Mapping[str, str] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum_naptime": "10min",
}


class Shutdown(Enum):
    """The ways to stop Postgres. The values are the signals for its postmaster."""

    FAST = signal.SIGINT  # roll back, disconnect all clients, write a checkpoint
    IMMEDIATE = signal.SIGQUIT  # like a power cut: the next start recovers from the WAL


@dataclass
class Postgres:
    """A cluster in `folder`/postgres. `port` is kept across restarts while it is free."""

    folder: Path
    bin: Path
    account: Account
    password: str = field(repr=False)
    port: int | None = None
    settings: Mapping[str, str] = field(default_factory=lambda: dict(SETTINGS))
    # To find the server again when its folder was removed while it ran.
    _seen_pid: int | None = field(default=None, repr=False)

    @property
    def data(self) -> Path:
        return self.folder / "postgres"

    @property
    def log(self) -> Path:
        return self.folder / "postgres.log"

    @property
    def url(self) -> str:
        """The URL for SQLAlchemy. It contains the password."""
        return f"postgresql+psycopg://{USER}:{self.password}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def pid(self) -> int | None:
        """The running postmaster's pid; None when the pid file is stale."""
        for pid in (self._recorded_pid(), self._seen_pid):
            if pid is not None and process.is_running(pid, self._marker):
                return pid
        return None

    def start(self) -> None:
        """Create the cluster if necessary, adopt or start the server, and wait until it serves.

        The caller must hold the start lock.
        """
        make_cluster(
            self.data,
            programs=self.bin,
            account=self.account,
            user=USER,
            password=self.password,
            options=["--no-sync"] if self.settings.get("fsync") == "off" else [],
        )
        if self.pid is None:
            hand_over(self.data, self.account)
            self._launch()
        else:
            self._seen_pid = self.pid
            self.port = int(self._lock_lines()[3])
            process.wait_until(
                self._serves, seconds=_START_SECONDS, what=f"Postgres serves ({self.log})"
            )
        self._make_database()

    def stop(self, how: Shutdown = Shutdown.FAST) -> None:
        """Stop the server if it runs, and wait until it is gone."""
        pid = self.pid
        if pid is None:
            return
        process.send(pid, how.value)
        for paused in (*process.children(pid), pid):  # a paused process cannot stop
            process.send(paused, signal.SIGCONT)
        process.wait_until(
            lambda: not process.is_running(pid, self._marker),
            seconds=_STOP_SECONDS,
            what=f"Postgres ({pid}) stops",
        )

    def restart(self, how: Shutdown = Shutdown.FAST) -> None:
        """Stop and start again on the same port. IMMEDIATE has the effect of a power cut."""
        self.stop(how)
        self.start()

    def pause(self) -> None:
        """Freeze the postmaster and every backend, so that connections hang rather than fail."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal_all(signal.SIGCONT)

    def connect(self, database: str = DATABASE) -> psycopg.Connection[tuple[object, ...]]:
        """Open a connection that commits every statement."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=USER,
            password=self.password,
            dbname=database,
            connect_timeout=5,
            autocommit=True,
        )

    # Only a postmaster has the data folder as its first argument.
    @property
    def _marker(self) -> str:
        return f"postgres -D {self.data}"

    def _lock_lines(self) -> list[str]:
        """Return the lines of Postgres's lock file: pid, folder, start time, port…"""
        try:
            return (self.data / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return [""]

    def _recorded_pid(self) -> int | None:
        first = self._lock_lines()[0].strip()
        return int(first) if first.isdecimal() else None

    def _launch(self) -> None:
        self._disown_reused_pid()
        for attempt in range(5):
            self.port = process.free_port(self.port)
            command: list[str | Path] = [self.bin / "postgres", "-D", self.data]
            command += ["-p", str(self.port)]
            for name, value in self.settings.items():
                command += ["-c", f"{name}={value}"]
            pid = process.start(command, account=self.account, log=self.log, cwd=self.folder)
            self._seen_pid = pid
            process.wait_until(
                partial(self._has_ended_or_serves, pid),
                seconds=_START_SECONDS,
                what=f"Postgres starts ({self.log})",
            )
            if process.is_running(pid, self._marker):
                return
            # Another process took the port, or backends of a killed postmaster are still ending.
            if attempt < 4:
                process.wait_for(0.2 * (attempt + 1))
        raise NeedsOperator(f"Postgres does not start; its log ends with: {self._last_words()}")

    def _disown_reused_pid(self) -> None:
        """Put the pid of a dead process into Postgres's lock file.

        After a reboot another process of the same user may have the old pid, and Postgres would
        refuse to start. The file stays, because its last line lets Postgres find live backends.
        """
        if self._recorded_pid() is None:
            return
        _, *rest = self._lock_lines()
        # The folder belongs to the account: as root, do not follow a link placed there.
        descriptor = os.open(self.data / "postmaster.pid", os.O_WRONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "w") as file:
            file.write("\n".join([str(process.dead_pid()), *rest]))
            file.truncate()

    def _has_ended_or_serves(self, pid: int) -> bool:
        if not process.is_running(pid, self._marker):
            return True
        try:
            # Only a server whose pid file names it can be adopted by the next process.
            return self._recorded_pid() == pid and self._serves()
        except NeedsOperator:
            return False  # another server has just taken the port; ours is about to end

    def _serves(self) -> bool:
        try:
            with self.connect("postgres"):
                return True
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise NeedsOperator(
                    f"The Postgres in {self.data} does not accept the password in embedded.json."
                ) from None
            return False

    def _make_database(self) -> None:
        with self.connect("postgres") as connection:
            known = connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
            ).fetchone()
            if known is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))

    def _signal_all(self, number: signal.Signals) -> None:
        pid = self.pid
        if pid is None:
            raise TryLater("Postgres is not running.")
        for child in process.children(pid):
            process.send(child, number)
        process.send(pid, number)

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-5:])
