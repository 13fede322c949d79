"""The place of an export: a local folder, or any address that fsspec knows (`s3://bucket/path`).

A file is written to a private scratch folder on this machine and appears under its name when it is
whole. In a folder it is synced, then renamed; an object store shows an object when its upload is
complete. Nobody but the user who exports can read local files: new folders have mode 0700, files
0600; a folder that was there keeps the mode its owner gave it.

An object store promises less. Two exports to one address are not kept apart, and access is what the
bucket's own policy says. Only each object by itself is replaced at once, so the manifest, which is
written last, is what names the files that count.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from sync.errors import BadRequest, NeedsOperator

_HALF = "half-"
"""The prefix of the folder in which a part is written."""
_LEFT_BEHIND = re.compile(rf"{_HALF}.*\.tmp|\d{{6}}-\d{{5}}\.(csv|parquet)\.tmp")

_ON_THIS_MACHINE = re.compile(r"(.*::)?(file|local)://")
_CREDENTIALS = re.compile(r".*?://[^/@]*:(?!\d+/)[^@]*@")
"""A user's password before the host, which may have slashes; a container before it is none."""


class Place(Protocol):
    """The home of one store's files; names are relative, with `/`."""

    address: str
    """The place in words."""
    prefix: str
    """Text that readers put before a name; none for those who stand in the folder."""

    def alone(self) -> AbstractContextManager[None]:
        """Hold the place for one export."""

    def scratch(self) -> AbstractContextManager[Path]:
        """Give an empty folder on this machine that only its owner can enter."""

    def keep(self, half: Path, name: str) -> None:
        """Give a file made in a scratch folder its name."""

    def read(self, name: str) -> str | None:
        """Return a text; None when there is no such file."""

    def write(self, name: str, text: str) -> None:
        """Replace a text as a whole."""

    def names(self, folder: str) -> list[str]:
        """Return the names of the files below a folder; none where it is a link."""

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""


def place_of(target: str, store: str) -> Place:
    """Return the place of a store's files below a folder or an fsspec address."""
    if "://" not in target:
        return Folder(Path(target) / store)
    if _ON_THIS_MACHINE.match(target):
        raise BadRequest(f"{target}: give a folder by its path alone.")
    if _CREDENTIALS.match(target):
        raise BadRequest("Credentials come from the environment, not from the address.")
    return Bucket(f"{target.rstrip('/')}/{store}")


class Folder:
    """A folder on this machine."""

    prefix = ""

    def __init__(self, home: Path) -> None:
        self.home, self.address = home, str(home)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock the folder: two exports into it would each write half of the manifest."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.home / ".lock"
        path.touch(mode=0o600)
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise BadRequest(f"Another export is writing to {self.home}.") from None
            self._remove_left_behind()
            yield

    def _remove_left_behind(self) -> None:
        """Remove what a killed run left half written; no other run is writing here now."""
        for path in (*self.home.glob("*.tmp"), *self.home.glob("*/*.tmp")):
            if not _LEFT_BEHIND.fullmatch(path.name):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give a folder of the same file system, so that a file can be renamed out of it."""
        with tempfile.TemporaryDirectory(prefix=_HALF, suffix=".tmp", dir=self.home) as own:
            yield Path(own)

    def keep(self, half: Path, name: str) -> None:
        """Sync a file to disk, then rename it, so that nobody ever reads half a file."""
        target = self.home / name
        for folder in reversed(target.relative_to(self.home).parents[:-1]):
            made = self.home / folder
            if made.is_symlink():
                raise NeedsOperator(f"{made} is a link; exports write to folders of their own.")
            made.mkdir(mode=0o700, exist_ok=True)
        half.chmod(0o600)
        _sync(half)
        half.replace(target)
        _sync(target.parent)

    def read(self, name: str) -> str | None:
        """Return a text of the folder."""
        path = self.home / name
        return path.read_text(encoding="utf-8") if path.exists() else None

    def write(self, name: str, text: str) -> None:
        """Write a text under another name, then rename it."""
        half = self.home / f"{name}.tmp"
        half.unlink(missing_ok=True)
        half.touch(mode=0o600)
        half.write_text(text, encoding="utf-8")
        _sync(half)
        half.replace(self.home / name)

    def names(self, folder: str) -> list[str]:
        """Return names without following links."""
        if (self.home / folder).is_symlink():
            return []
        return [
            (Path(parent) / name).relative_to(self.home).as_posix()
            for parent, _, names in os.walk(self.home / folder)
            for name in names
        ]

    def remove(self, name: str) -> None:
        """Remove a file of the folder."""
        (self.home / name).unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, which ends with the process; OSError when another has it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


class Bucket:
    """An address of an object store, or of anything else that fsspec has a driver for."""

    def __init__(self, address: str) -> None:
        self.address, self.prefix = address, f"{address}/"
        self._files, self._home = _fsspec(address)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Remove what killed runs left on this machine; an object store has no locks to hold."""
        for path in Path(tempfile.gettempdir()).glob(f"{_HALF}*.tmp"):
            if path.is_symlink() or not path.is_dir() or path.stat().st_uid != os.getuid():
                continue
            with suppress(OSError), _locked(path):  # OSError: it is of a run that goes on
                if any(path.iterdir()):  # else it may be a new one, not locked yet
                    shutil.rmtree(path)
        yield

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give a folder in this machine's place for temporary files (TMPDIR), locked."""
        with (
            tempfile.TemporaryDirectory(prefix=_HALF, suffix=".tmp") as own,
            _locked(Path(own)),
        ):
            yield Path(own)

    def keep(self, half: Path, name: str) -> None:
        """Upload a file; the scratch folder takes the local one away."""
        self._files.put_file(str(half), f"{self._home}/{name}")

    def read(self, name: str) -> str | None:
        """Return the text of an object."""
        try:
            text: bytes = self._files.cat_file(f"{self._home}/{name}")
        except FileNotFoundError:
            return None
        return text.decode()

    def write(self, name: str, text: str) -> None:
        """Replace an object."""
        self._files.pipe_file(f"{self._home}/{name}", text.encode())

    def names(self, folder: str) -> list[str]:
        """Return the names of objects, as the store has them now."""
        self._files.invalidate_cache()
        try:
            found = self._files.find(f"{self._home}/{folder}")
        except FileNotFoundError:
            return []
        return [path.removeprefix(f"{self._home}/") for path in found]

    def remove(self, name: str) -> None:
        """Remove an object."""
        try:
            self._files.rm_file(f"{self._home}/{name}")
        except FileNotFoundError:
            return


def _fsspec(address: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs

        files, home = url_to_fs(address)
    except ImportError as error:
        raise NeedsOperator(
            f"{error}. For S3, from the checkout: pip install -c ops/constraints.txt -e '.[s3]'"
        ) from None
    except ValueError as error:
        raise BadRequest(f"{address}: {error}") from None
    return files, home
