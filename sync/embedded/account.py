"""The user that the servers run as, and the folders that this user can enter."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sync.errors import NeedsOperator

OWN_IDS = range(60_706, 61_184)
"""Uids and gids that systems give to nobody, by systemd's list of what ranges are for."""
_NAMED = ("games", "news", "daemon", "nobody", "postgres")
"""Users that a system has and hardly anything runs as, those of real services last."""
_FORMER = ("nobody", "postgres", "daemon")
"""Users that root's servers ran as before they had a uid of their own."""


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
    """Return the caller's account; for root one of its own, as Postgres does not run as root.

    It is a uid and a gid without a name, which no service and no person has. `nobody` is what many
    services run as, and each of them could read the data and the passwords.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), switch=False)
    number = next((number for number in OWN_IDS if not _has_name(number)), None)
    if number is None:
        raise NeedsOperator(
            f"All uids from {OWN_IDS[0]} to {OWN_IDS[-1]} have users, and Postgres does not run as "
            "root. Run as an ordinary user, or name your own servers: SYNC_DATABASE_URL, "
            "SYNC_REDIS_URL."
        )
    return Account(number, number, switch=True)


def _has_name(number: int) -> bool:
    for look in (pwd.getpwuid, grp.getgrgid):
        try:
            look(number)
        except KeyError:
            continue
        return True
    return False


def named_account(account: Account) -> Account:
    """Return an account that has a name, which initdb demands of the user it runs as."""
    if not account.switch:
        return account
    for name in _NAMED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid, switch=True)
    raise NeedsOperator(
        "Postgres's initdb does not run as root, and this machine has none of the users "
        f"{', '.join(_NAMED)}. "
        "Run as an ordinary user, or name your own servers: SYNC_DATABASE_URL, SYNC_REDIS_URL."
    )


def hand_over(path: Path, account: Account, *, before: Account | None = None) -> None:
    """Give a file, or a folder with all in it, to `account`; no link is followed.

    All of it has to be of `before`, or of what the servers ran as once: a hard link made there does
    not give away what is root's. The servers must not run.
    """
    if not account.switch or path.lstat().st_uid in {account.uid, os.geteuid()}:
        return
    givers = {account.uid, *_former()} | ({before.uid} if before else set())
    for _, folders, files, descriptor in os.fwalk(path, topdown=False):
        for name in (*folders, *files):
            _require_of(givers, os.lstat(name, dir_fd=descriptor), path / name)
            os.chown(name, account.uid, account.gid, dir_fd=descriptor, follow_symlinks=False)
    # Last, so that a hand-over that is broken off is begun again.
    _require_of(givers, path.lstat(), path)
    os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _former() -> set[int]:
    found = set()
    for name in _FORMER:
        try:
            found.add(pwd.getpwnam(name).pw_uid)
        except KeyError:
            continue
    return found


def _require_of(givers: set[int], info: os.stat_result, path: Path) -> None:
    if info.st_uid not in givers:
        raise NeedsOperator(
            f"{path} belongs to another user (uid {info.st_uid}); run as that user, or choose "
            "another folder with SYNC_DATA_DIR."
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
