"""The user that the servers run as, and the folders that this user can enter."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sync.errors import NeedsOperator


@dataclass(frozen=True)
class Account:
    """The user of the server processes; `switch` is True when it is not this process's user."""

    uid: int
    gid: int
    switch: bool

    def popen(self) -> dict[str, Any]:
        """Return the arguments that make `subprocess.Popen` run as this account, without groups."""
        if not self.switch:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> Path:
        """Make this account the owner of a file or folder that this process created."""
        if self.switch:
            os.chown(path, self.uid, self.gid)
        return path

    def reaches(self, path: Path) -> bool:
        """Tell whether this account can enter every folder of `path`, and read a file there.

        Only mode bits are checked. Access lists that forbid more lead to an error at the start.
        """
        path = path.resolve()
        if not path.exists():
            path = next(parent for parent in path.parents if parent.exists())
        if not path.is_dir() and not self._may(path, 0o4):
            return False
        return all(self._may(part, 0o1) for part in (path, *path.parents))

    def _may(self, path: Path, bit: int) -> bool:
        info = path.stat()
        if self.uid == 0:
            return True
        if info.st_uid == self.uid:
            return bool(info.st_mode & bit << 6)
        if info.st_gid == self.gid:
            return bool(info.st_mode & bit << 3)
        return bool(info.st_mode & bit)


def server_account() -> Account:
    """Return the caller's account; for root an ordinary user, as Postgres does not run as root."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), switch=False)
    for name in ("nobody", "postgres", "daemon"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid, switch=True)
    raise NeedsOperator(
        "Postgres does not run as root, and this machine has no user nobody, postgres or daemon. "
        "Run as an ordinary user, or name your own servers: SYNC_DATABASE_URL, SYNC_REDIS_URL."
    )


def private_folder(path: Path, account: Account) -> Path:
    """Create a folder that only `account` may read, or check and restrict an existing one."""
    path.mkdir(mode=0o700, exist_ok=True)
    info = path.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid not in {account.uid, os.geteuid()}:
        raise NeedsOperator(
            f"{path} belongs to another user (uid {info.st_uid}); run as that user, or choose "
            "another folder with SYNC_DATA_DIR."
        )
    account.own(path)
    path.chmod(0o700)
    return path
