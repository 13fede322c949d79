"""One valkey (Redis's protocol and Lua) on loopback: started, adopted, stopped."""

from __future__ import annotations

import os
import signal
import tempfile
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import redis

from sync.embedded import process
from sync.embedded.account import Account, hand_over, private_folder
from sync.errors import NeedsOperator, TryLater

DATABASES = 64  # each test worker has its own
_SECONDS = 60


@dataclass
class Valkey:
    """A server with its data in `folder`/valkey. `port` is kept while it is free."""

    folder: Path
    binary: Path
    account: Account
    password: str = field(repr=False)
    port: int | None = None
    # To find the server again when its folder was removed while it ran.
    _seen_pid: int | None = field(default=None, repr=False)

    @property
    def data(self) -> Path:
        return self.folder / "valkey"

    @property
    def log(self) -> Path:
        return self.folder / "valkey.log"

    @property
    def url(self) -> str:
        """The URL for redis-py and Celery. It contains the password."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int | None:
        """The running server's pid; None when the pid file is stale."""
        for pid in (self._recorded_pid(), self._seen_pid):
            if pid is not None and process.is_running(pid, self._marker):
                return pid
        return None

    def start(self) -> None:
        """Adopt the running server or start one, and wait until it serves.

        The caller must hold the start lock.
        """
        if self.pid is None:
            if self.data.exists():
                hand_over(self.data, self.account)
            private_folder(self.data, self.account)
            self._launch()
        else:
            self._seen_pid = self.pid
            self.port = self._configured_port()
            process.wait_until(self._serves, seconds=_SECONDS, what=f"valkey serves ({self.log})")

    def stop(self) -> None:
        """Stop the server if it runs, like SHUTDOWN: the append-only file is synced."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the server; up to a second of writes may be lost."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start again on the same port; the data survives."""
        self.stop()
        self.start()

    def flush(self) -> None:
        """Delete all keys in all databases."""
        with self.connect() as client:
            client.flushall()

    def pause(self) -> None:
        """Freeze the server, so that connections hang rather than fail."""
        process.send(self._running_pid(), signal.SIGSTOP)

    def resume(self) -> None:
        process.send(self._running_pid(), signal.SIGCONT)

    def connect(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, socket_timeout=5, socket_connect_timeout=5)

    @property
    def _config(self) -> Path:
        # Outside the account's own folder, so that root does not write through a link made there.
        return self.folder / "valkey.conf"

    @property
    def _marker(self) -> str:
        return str(self._config)

    def _recorded_pid(self) -> int | None:
        try:
            return int((self.data / "valkey.pid").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def _running_pid(self) -> int:
        pid = self.pid
        if pid is None:
            raise TryLater("valkey is not running.")
        return pid

    def _end(self, number: signal.Signals) -> None:
        pid = self.pid
        if pid is None:
            return
        process.send(pid, number)
        process.send(pid, signal.SIGCONT)  # a paused server cannot stop
        process.wait_until(
            lambda: not process.is_running(pid, self._marker),
            seconds=_SECONDS,
            what=f"valkey ({pid}) stops",
        )

    def _launch(self) -> None:
        for _ in range(5):
            self.port = process.free_port(self.port)
            self._write_config()
            (self.data / "valkey.pid").unlink(missing_ok=True)  # stale: the server is not running
            command = [self.binary, self._config]
            pid = process.start(command, account=self.account, log=self.log, cwd=self.folder)
            self._seen_pid = pid
            process.wait_until(
                partial(self._has_ended_or_serves, pid),
                seconds=_SECONDS,
                what=f"valkey starts ({self.log})",
            )
            if process.is_running(pid, self._marker):
                return
        words = "\n".join(self.log.read_text(errors="replace").splitlines()[-5:])
        raise NeedsOperator(f"valkey does not start; its log ends with: {words}")

    def _write_config(self) -> None:
        """Write the configuration to a file: other users could read a command line."""
        lines = {
            "bind": "127.0.0.1",
            "port": self.port,
            "requirepass": self.password,
            "databases": DATABASES,
            "dir": self._quoted(self.data),
            "pidfile": self._quoted(self.data / "valkey.pid"),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',  # the append-only file is enough
            "maxmemory-policy": "noeviction",
            "shutdown-on-sigterm": "force",  # also when its folder was removed
            "set-proc-title": "no",  # the server is recognised by its command line
            "loglevel": "warning",
        }
        # Replaced atomically: a valkey with half a configuration may have no password.
        descriptor, aside = tempfile.mkstemp(prefix=".valkey.conf.", dir=self.folder)  # mode 0600
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.writelines(f"{name} {value}\n" for name, value in lines.items())
        self.account.own(Path(aside)).replace(self._config)

    @staticmethod
    def _quoted(path: Path) -> str:
        return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'

    def _configured_port(self) -> int:
        lines = (line.split() for line in self._config.read_text().splitlines())
        return next(int(words[1]) for words in lines if words[0] == "port")

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
            with self.connect() as client:
                return bool(client.ping())
        except redis.AuthenticationError:
            raise NeedsOperator(
                f"The valkey in {self.data} does not accept the password in embedded.json."
            ) from None
        except redis.RedisError:
            return False
