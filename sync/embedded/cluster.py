"""Creation of a Postgres cluster: initdb works in a temporary folder, which is then renamed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sync.embedded import process
from sync.embedded.account import Account, hand_over, named_account, private_folder
from sync.errors import NeedsOperator


def make_cluster(
    data: Path,
    *,
    programs: Path,
    account: Account,
    user: str,
    password: str,
    options: Sequence[str] = (),
) -> None:
    """Create the cluster `data` unless it exists; `options` are for initdb.

    A process that is killed meanwhile leaves nothing that looks like a cluster.
    """
    if (data / "PG_VERSION").exists():
        _check_version(data, programs)
        return
    # The initdb of a killed process may still be running; it ends when its folder is removed.
    process.wait_until(
        lambda: _has_no_leavings(data.parent), seconds=30, what="An older initdb is removed"
    )
    maker = named_account(account)
    work = Path(tempfile.mkdtemp(prefix="initdb-", dir=data.parent))
    descriptor, password_file = tempfile.mkstemp(prefix="initdb-", dir=data.parent)  # mode 0600
    try:
        os.write(descriptor, password.encode())
        os.close(descriptor)
        maker.own(Path(password_file))
        private_folder(work, maker)
        command: list[str | Path] = [
            programs / "initdb",
            *("--pgdata", work / "data", "--username", user, "--pwfile", password_file),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", *_locale(programs)),
            *("--data-checksums", *options),
        ]
        done = subprocess.run(  # noqa: S603  our own binary, our own arguments
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=work,
            env=process.bare_environment(),
            start_new_session=True,
            check=False,
            **maker.popen(),
        )
        if done.returncode:
            raise NeedsOperator(f"initdb failed: {(done.stderr or done.stdout).strip()}")
        hand_over(work / "data", account, before=maker)
        (work / "data").rename(data)
    finally:
        Path(password_file).unlink()
        shutil.rmtree(work, ignore_errors=True)


def _has_no_leavings(folder: Path) -> bool:
    left = list(folder.glob("initdb-*"))
    for path in left:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return not left


def _version(programs: Path) -> str:
    """Return what the server says of its version: `postgres (PostgreSQL) 18.6`."""
    return subprocess.run(  # noqa: S603
        [str(programs / "postgres"), "--version"], capture_output=True, text=True, check=True
    ).stdout


def _locale(programs: Path) -> Sequence[str]:
    """Return the arguments for a locale that sorts by code point and knows every script's case."""
    if re.search(r" 1[56]\.", _version(programs)):
        return ("--locale", "C.UTF-8")  # of the system: Postgres has one of its own since 17
    return ("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8")


def _check_version(data: Path, programs: Path) -> None:
    ours = _version(programs)
    theirs = (data / "PG_VERSION").read_text().strip()
    if f" {theirs}." not in ours:
        raise NeedsOperator(
            f"{data} was made by Postgres {theirs}; this is {ours.strip()}. Set "
            "SYNC_DATA_DIR to an empty folder to load the mirror anew."
        )
