"""Server processes: started in their own session, recognised later by their command line."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event

from sync.embedded.account import Account
from sync.errors import TryLater

_POLL_SECONDS = 0.02
_LOG_BYTES = 5_000_000

# Children of this process, kept so that they are reaped. They do not tell whether a server is
# alive: another process may have started it, and a forked child cannot wait for it.
_children: dict[int, subprocess.Popen[bytes]] = {}


def start(command: Sequence[str | Path], *, account: Account, log: Path, cwd: Path) -> int:
    """Start a server that outlives this process and its terminal; return its pid.

    Its own session protects it from Ctrl-C. Its environment is bare, because ours holds secrets.
    """
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        account.own(log)
        child = subprocess.Popen(  # noqa: S603  our own binaries, our own arguments
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            cwd=cwd,
            env=bare_environment(),
            start_new_session=True,
            umask=0o077,
            **account.popen(),
        )
    finally:
        os.close(descriptor)
    _children[child.pid] = child
    # Popen may return during exec, before the new command line can be read.
    wait_until(
        lambda: child.poll() is not None or bool(_command_line(child.pid)),
        seconds=30,
        what=f"{command[0]} is running",
    )
    return child.pid


def bare_environment() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def is_running(pid: int, marker: str) -> bool:
    """Tell whether `pid` is a live process with `marker` in its command line.

    A pid alone is no proof: after a crash or a reboot it may belong to another process. A zombie
    has no command line, so it counts as ended even when it is not reaped.
    """
    child = _children.get(pid)
    if child is not None:
        child.poll()
    return marker in _command_line(pid)


def _command_line(pid: int) -> str:
    proc = Path(f"/proc/{pid}/cmdline")
    if Path("/proc/self/cmdline").exists():
        try:
            return proc.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    answer = subprocess.run(  # noqa: S603  macOS has no /proc
        ["/bin/ps", "-ww", "-o", "args=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process; a process that has just ended is no error."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def dead_pid() -> int:
    """Return the pid of a process that has just ended."""
    child = subprocess.Popen(["/bin/sh", "-c", ":"])
    child.wait()
    return child.pid


def free_port(wanted: int | None = None) -> int:
    """Return `wanted` when it is free on loopback, else a random free port."""
    for port in (wanted or 0, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise TryLater("No free TCP port on 127.0.0.1.")


def wait_until(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Poll `condition`; raise TryLater naming `what` when it stays false for `seconds`."""
    deadline = time.monotonic() + seconds
    pause = Event()
    while not condition():
        if time.monotonic() > deadline:
            raise TryLater(f"{what}: still not so after {seconds:g} s.")
        pause.wait(_POLL_SECONDS)


def wait_for(seconds: float) -> None:
    """Sleep, so that other processes can proceed."""
    Event().wait(seconds)


def children(pid: int) -> list[int]:
    """Return the direct children of a process: Postgres's backends and helpers. Linux only."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The line is "pid (name) state parent …"; the name may contain spaces and brackets.
            parent = stat.read_text().rpartition(")")[2].split()[1]
            if int(parent) == pid:
                found.append(int(stat.parent.name))
    return found
