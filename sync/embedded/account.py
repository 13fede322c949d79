"""Which user the servers run as, and which folders that user can enter."""

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
    """The user of the server processes; `switch` when it is not the one we run as."""

    uid: int
    gid: int
    switch: bool

    def popen(self) -> dict[str, Any]:
        """What `subprocess.Popen` needs to run as this account, and in nobody else's groups."""
        if not self.switch:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> Path:
        """Make this account the owner of a file or folder we made."""
        if self.switch:
            os.chown(path, self.uid, self.gid)
        return path

    def reaches(self, path: Path) -> bool:
        """Can this account enter every folder on the way to `path`, and read it if it is a file?

        Judged by the mode bits: access lists that say otherwise end in a start error, not here.
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
    """The caller, or for root the ordinary user `nobody`: Postgres refuses to run as root."""
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
    """Make a folder only `account` may read, or check that it already is one."""
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
