"""Processes of the demo: started apart from the terminal, watched, and stopped by process id."""

from __future__ import annotations

import ctypes
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Self

from sync.errors import SyncError

LAST_LINES = 15
STOP_SECONDS = 40.0
_PR_SET_PDEATHSIG = 1


class Died(SyncError):
    """A process of the demo ended although nobody stopped it."""


def environment(**values: str) -> dict[str, str]:
    """Return this process's environment with `values`, without the API key of a real account."""
    inherited = {name: value for name, value in os.environ.items() if name != "API_KEY"}  # noqa: TID251
    return {**inherited, **values}


def variable(name: str) -> str:
    """Return an environment variable of the person who runs the demo; empty when not set."""
    return os.environ.get(name, "").strip()  # noqa: TID251  STORE_URL and API_KEY are no settings


class Child:
    """A running process, and the file with its output."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name, self.process, self.log = name, process, log

    @property
    def last_lines(self) -> str:
        """Return the last lines of the output."""
        lines = self.log.read_text("utf-8", "replace").splitlines() if self.log.exists() else []
        return "\n".join(f"    {line}" for line in lines[-LAST_LINES:])


class Children:
    """All processes of a demo; the last one started is stopped first."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._folder, self._env = folder, dict(env)
        self._children: list[Child] = []

    def start(self, name: str, *arguments: str, read_output: bool = False) -> Child:
        """Start `python -m …`; it ends when this process does, even by SIGKILL."""
        log = self._folder / f"{name}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(  # noqa: S603  our own modules
                [sys.executable, "-m", *arguments],
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if read_output else file,
                stderr=file,
                start_new_session=True,  # Ctrl-C reaches the demo alone, which stops them in order
                preexec_fn=_end_with_parent,  # noqa: PLW1509  no thread has been started yet
            )
        child = Child(name, process, log)
        self._children.append(child)
        return child

    def value(self, name: str) -> str:
        """Return a variable of the children's environment."""
        return self._env.get(name, "")

    def first_line(self, child: Child) -> bytes:
        """Return the line a child prints when it is ready."""
        output: IO[bytes] | None = child.process.stdout
        assert output is not None
        line = output.readline()
        if not line:
            child.process.wait()
            self.check()
        return line

    def check(self) -> None:
        """Raise Died, with the last lines of output, when a child has ended."""
        for child in self._children:
            status = child.process.poll()
            if status is not None:
                raise Died(
                    f"The {child.name} ended by itself, status {status}. Its last lines "
                    f"({child.log}):\n{child.last_lines}"
                )

    def command(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """Run one of our commands until it ends."""
        return subprocess.run(  # noqa: S603  our own module
            [sys.executable, "-m", "celery", "-A", "sync", "mirror", *arguments],
            env={**self._env, **extra},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def stop(self) -> None:
        """Send SIGTERM to one after the other; SIGKILL to those that do not end."""
        while self._children:
            child = self._children.pop()
            if child.process.poll() is None:
                child.process.terminate()
                try:
                    child.process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    child.process.kill()
                    child.process.wait()
            if child.process.stdout is not None:
                child.process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _end_with_parent() -> None:
    """Let the Linux kernel send SIGTERM to this process when its parent has ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def shown(arguments: Sequence[str]) -> str:
    """Return a command line as a person types it."""
    return shlex.join(arguments)


def pause(seconds: float) -> None:
    """Wait a little between two checks."""
    time.sleep(seconds)  # noqa: TID251  the person watches on the same clock
