"""What outlives a process: ports, passwords and folders (`embedded.json`), and the two locks."""

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

    folder: str | None = None  # of the servers' data, None for the data folder itself
    postgres_port: int | None = None
    valkey_port: int | None = None
    postgres_password: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    valkey_password: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)


def exists(data_dir: Path) -> bool:
    """Was anything ever started here?"""
    return (data_dir / _FILE).exists()


def load(data_dir: Path, account: Account) -> State:
    """Read the state; the first time, decide where the servers' data lives and write it down."""
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
    """Replace `embedded.json` whole: a reader never sees half of it."""
    descriptor, aside = tempfile.mkstemp(prefix=f".{_FILE}.", dir=data_dir)  # mode 0600
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(state), file, indent=2)
    Path(aside).replace(data_dir / _FILE)


def _folder_elsewhere(data_dir: Path, account: Account) -> str | None:
    if account.reaches(data_dir):
        return None  # and not its path: a project that is moved takes its data along
    # Root's home is usually closed to others, and the servers do not run as root. The name is
    # random: /var/tmp is everybody's, and a name that can be guessed can be taken first.
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
    """Delete the data folder, and the servers' own folder when that is elsewhere."""
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
            # As root the servers' user has to pass through; the secrets in it have mode 0600.
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
    """One process at a time starts, adopts or stops the servers. A killed holder lets go."""
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
    """Held shared by every process that uses the servers. Change it only under `start_lock`."""

    def __init__(self, data_dir: Path) -> None:
        self._descriptor = _open(data_dir / "use.lock")
        try:
            # Nobody holds it exclusively for longer than the start lock, which we hold.
            fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise TryLater(f"{data_dir} is being stopped by another process.") from None

    def is_last(self) -> bool:
        """True, and the lock exclusive, when no other process uses the servers.

        False loses the lock altogether (flock converts by letting go first): close it then.
        """
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Let go, also on behalf of forked children that still have the descriptor open."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)
