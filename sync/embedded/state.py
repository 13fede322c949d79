"""State shared by processes: ports, passwords and folder in `embedded.json`, and the two locks."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sync.embedded.account import Account
from sync.embedded.process import wait_until
from sync.errors import NeedsOperator, TryLater

_FILE = "embedded.json"
_PREFIX = "retailcrm-mirror-"
_START_SECONDS = 180  # another process may be running initdb on a slow disk
_log = logging.getLogger(__name__)


@dataclass
class State:
    """The content of `embedded.json`, mode 0600."""

    folder: str | None = None  # the folder of the servers' data, None for the data folder itself
    postgres_port: int | None = None
    valkey_port: int | None = None
    postgres_password: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    valkey_password: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)


def exists(data_dir: Path) -> bool:
    """Tell whether a server was ever started in this data folder."""
    return (data_dir / _FILE).exists()


def load(data_dir: Path, account: Account) -> State:
    """Read the state; the first time, choose the folder of the servers' data and save it."""
    path = data_dir / _FILE
    if path.exists():
        try:
            state = State(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise NeedsOperator(f"{path} is damaged ({error}); remove {data_dir}.") from None
        if state.folder is None or Path(state.folder).exists():
            return state
        _log.warning("%s is gone; the embedded servers begin anew, empty.", state.folder)
    state = State(folder=_folder_elsewhere(data_dir, account))
    save(data_dir, state)
    return state


def save(data_dir: Path, state: State) -> None:
    """Replace `embedded.json` atomically, so that no reader sees half of it."""
    descriptor, aside = tempfile.mkstemp(prefix=f".{_FILE}.", dir=data_dir)  # mode 0600
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(state), file, indent=2)
    Path(aside).replace(data_dir / _FILE)


def _folder_elsewhere(data_dir: Path, account: Account) -> str | None:
    if account.reaches(data_dir):
        return None  # not the path, so that the project can be moved together with its data
    # Other users usually cannot enter root's home, and the servers do not run as root. The name is
    # random: anybody can write to /var/tmp and could create a folder with a predictable name.
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir="/var/tmp"))
    folder.chmod(0o755)
    _log.warning(
        "The servers run as uid %s, which cannot enter %s: their data is in %s.",
        account.uid,
        data_dir,
        folder,
    )
    return str(folder)


def delete(data_dir: Path) -> None:
    """Delete the data folder, and the servers' folder when it is elsewhere."""
    path = data_dir / _FILE
    if path.exists():
        elsewhere = json.loads(path.read_text(encoding="utf-8")).get("folder")
        if elsewhere and Path(elsewhere).name.startswith(_PREFIX):
            shutil.rmtree(elsewhere, ignore_errors=True)
    shutil.rmtree(data_dir)


def make_data_dir(data_dir: Path, account: Account) -> None:
    try:
        if not data_dir.exists():
            data_dir.mkdir(parents=True, exist_ok=True)
            # For root, the servers' user must be able to enter; secrets inside have mode 0600.
            data_dir.chmod(0o755 if account.switch else 0o700)
        allowed = os.access(data_dir, os.W_OK | os.X_OK)
    except PermissionError:
        allowed = False
    if not allowed:
        raise NeedsOperator(
            f"This user cannot write to {data_dir}: choose another folder with SYNC_DATA_DIR, or "
            "run as the user who made it."
        )


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except PermissionError:
        raise NeedsOperator(
            f"{path} belongs to another user: run as that user, or choose another folder with "
            "SYNC_DATA_DIR."
        ) from None


@contextlib.contextmanager
def start_lock(data_dir: Path) -> Iterator[None]:
    """Lock the starting, adopting and stopping of servers. Killing the holder frees the lock."""
    descriptor = _open(data_dir / "start.lock")

    def taken() -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    try:
        wait_until(
            taken, seconds=_START_SECONDS, what=f"Another process starts or stops {data_dir}"
        )
        yield
    finally:
        os.close(descriptor)


class UseLock:
    """A shared lock held by every process that uses the servers. Use it under `start_lock` only."""

    def __init__(self, data_dir: Path) -> None:
        self._descriptor = _open(data_dir / "use.lock")
        try:
            # An exclusive lock is held only under the start lock, which this process holds.
            fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise TryLater(f"{data_dir} is being stopped by another process.") from None

    def is_last(self) -> bool:
        """Return True, and make the lock exclusive, when no other process uses the servers.

        On False the lock is lost, because flock releases it before converting: close it then.
        """
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Release the lock, also for forked children that still have the descriptor open."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)
