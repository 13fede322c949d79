"""What this machine refuses is said in words with a way out, and is nobody's bug to report."""

from __future__ import annotations

import datetime as dt
import errno
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner

from sync.commands import mirror
from sync.commands.shell import Failure, in_words
from sync.demo.madeup import free_port, is_free
from sync.demo.progress import _shown
from sync.demo.run import alone, store_name
from sync.errors import BadRequest
from sync.forecast import Way
from sync.state.operations import require_past
from sync.state.status import StoreStatus


def told(error: Exception) -> str:
    with pytest.raises(Failure) as caught, in_words(show_traceback=False):
        raise error
    return caught.value.message


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "/disk/x: No space left on device: free some space"),
        (errno.EACCES, "let this user read and write there"),
        (errno.EROFS, "the file system is read-only"),
        (errno.ENOENT, "make the folder first"),
        (errno.EADDRINUSE, "another program has this port"),
    ],
)
def test_what_the_machine_refuses_is_said_with_its_cure(number: int, words: str) -> None:
    text = told(OSError(number, os.strerror(number), "/disk/x"))
    assert words in text
    assert "report" not in text


def test_a_bug_is_asked_to_be_reported() -> None:
    assert "please report it" in told(ZeroDivisionError("division by zero"))


def test_bytes_that_are_no_text_are_the_persons_and_no_bug() -> None:
    """A name pasted in another encoding: Python gives its bytes as halves of surrogate pairs."""
    with pytest.raises(Failure) as caught, in_words(show_traceback=False):
        "caf\udce9".encode()
    assert (caught.value.message, caught.value.exit_code) == (
        "An argument has bytes that are no UTF-8 text: type it anew.", 2,
    )  # fmt: skip
    assert "please report it" in told(UnicodeEncodeError("ascii", "é", 0, 1, "ours"))


def test_a_reader_that_has_enough_ends_a_command_quietly() -> None:
    """`status | head`: neither a traceback nor "Exception ignored"."""
    code = (
        "import contextlib, click\n"
        "from sync.commands.shell import in_words\n"
        "with contextlib.suppress(click.exceptions.Exit), in_words(show_traceback=False):\n"
        "    for n in range(200_000): print('x' * 80)\n"
    )
    done = subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -c "$CODE" | head -n 1'],
        env={**os.environ, "CODE": code},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_usage_is_what_a_person_types() -> None:
    parent = click.Context(click.Group("celery"), info_name="celery")
    context = mirror.make_context("mirror", ["status", "--help"], parent=parent)
    assert context.command_path == "celery -A sync mirror"


def test_the_version_is_told_without_loading_anything() -> None:
    result = CliRunner().invoke(mirror, ["--version"])
    assert result.exit_code == 0
    assert result.output.startswith("RetailCRM mirror ")


NOON = dt.datetime(2026, 11, 29, 12, tzinfo=dt.UTC)


def test_a_first_day_that_has_begun_nowhere_is_refused() -> None:
    require_past(None)
    require_past(dt.date(2026, 11, 30), now=NOON)  # it has begun in Kiritimati
    with pytest.raises(BadRequest, match="is in the future"):
        require_past(dt.date(2026, 12, 1), now=NOON)


def test_a_second_demo_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    """It would start another worker, and empty the logs of the first."""
    first, second = alone(tmp_path / "demo"), alone(tmp_path / "demo")
    with first, pytest.raises(BadRequest, match=f"process {os.getpid()}"), second:
        pass
    with alone(tmp_path / "demo"):
        pass


def test_a_taken_port_is_not_announced_as_the_pages() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert not is_free(taken.getsockname()[1])
    assert is_free(free_port())


def test_make_run_tells_how_far_a_load_is_and_when_it_ends(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also where it is no terminal, and so without a bar."""
    store = SimpleNamespace(name="shop", enabled=True)
    told = StoreStatus(store, load=Way(620, 1000, 0.1545))  # type: ignore[arg-type]
    with _shown(["shop"]) as show:
        show([told], {"shop": [False]}, 12.0)
    assert "12 s  shop: 0 of 0 complete, 0 rows, 62 %, 41 min left" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://shop.retailcrm.ru", "shop"),
        ("http://127.0.0.1:8090", "127.0.0.1"),
        ("https://demo.retailcrm.ru", "demo.retailcrm.ru"),
    ],
)
def test_a_store_is_named_after_its_address(url: str, name: str) -> None:
    assert store_name(url) == name
