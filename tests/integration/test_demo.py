"""`make run`, with a small account: it ends well, resumes, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sync.embedded import remove
from sync.sandbox import Sandbox, running
from tests import in_memory

ROOT = Path(__file__).parents[2]
SMALL = """
import sys
from sync.demo import madeup, run
from sync.settings import settings
madeup.ORDERS, madeup.CUSTOMERS, madeup.CHURN_PER_SECOND = 60, 30, 2
madeup.RATE, madeup.LATENCY_MS = 200, "0,5"
sys.exit(run(settings(), stay="--stay" in sys.argv))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the demo has its servers, which are durable: in memory, where that costs nothing."""
    with tempfile.TemporaryDirectory(dir=in_memory.run) as place:
        Path(place).chmod(0o755)
        yield Path(place) / "data"
        remove(Path(place) / "data")


def environment(folder: Path) -> dict[str, str]:
    mine = {n: v for n, v in os.environ.items() if not n.startswith("SYNC_")}
    # Its waits a fifth as long: a real account's history is clear after 12 s, and not a minute.
    quick = {"SYNC_RATE_LIMIT": "100", "SYNC_FEED_SECONDS": "2", "SYNC_TEST_SCALE": "0.2"}
    return mine | quick | {"SYNC_DATA_DIR": str(folder), "PYTHONUNBUFFERED": "1"}


def play(folder: Path, **own: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SMALL], env=environment(folder) | own, cwd=ROOT, text=True,
        capture_output=True, timeout=170, check=False,
    )  # fmt: skip


@contextmanager
def staying_up(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A demo that stays up, with what it said so far."""
    with subprocess.Popen(
        [sys.executable, "-c", SMALL, "--stay"], env=environment(folder), cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if line.startswith("Staying up"):
                break
        else:
            raise AssertionError(said)
        yield process, said


def left_behind(folder: Path) -> list[str]:
    """Processes whose command line or environment names the data folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            text = (path / "cmdline").read_bytes() + (path / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in text:
            found.append((path / "cmdline").read_bytes().decode().replace("\0", " "))
    return found


def children_of(process: subprocess.Popen[str], word: str) -> int:
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            line = (path / "cmdline").read_bytes().decode().replace("\0", " ")
        except OSError:
            continue
        if parent == process.pid and word in line:
            return int(path.name)
    raise AssertionError(f"no child {word}")


@pytest.mark.timeout(500)
def test_the_demo_ends_well_and_resumes(folder: Path) -> None:
    """And between the two, a person's own account is mirrored without the made-up ones: they are
    turned off, and none of their rows is in the answers."""
    with staying_up(folder) as (first, said):
        for text in (
            "Complete in",
            "Revenue by month and site",
            "/edit\n",
            "One change: order",
            "psql",
        ):
            assert text in said
        first.send_signal(signal.SIGTERM)
        assert first.wait(90) == 0
    assert left_behind(folder) == []

    sandbox = Sandbox(seed=11, rate=200)
    own = sandbox.account("own", zone="Europe/Madrid", orders=30, customers=20)
    with running(sandbox) as url:
        refused = play(folder, STORE_URL=url, API_KEY="w" * 32)
        assert refused.returncode == 1
        assert "refuses this API key" in refused.stdout
        assert "is disabled" not in refused.stdout, "nothing is given up for a key that is wrong"
        real = play(folder, STORE_URL=url, API_KEY=own.key)
    said = real.stdout
    assert real.returncode == 0, said + real.stderr
    for text in ("demo is disabled.", "tienda is disabled.", "store add 127.0.0.1 ", "Complete in"):
        assert text in said
    shown = said.partition("Complete in")[2]
    assert re.search(r"^ +127\.0\.0\.1 +orders +30 +30 ", shown, re.MULTILINE)
    assert not re.search(r"^ +(demo|tienda)\b", shown, re.MULTILINE)
    assert own.key not in said + real.stderr

    second = play(folder)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "demo is enabled." in second.stdout
    assert "tienda is enabled." in second.stdout
    resumed = re.search(r"([\d,]+) pages of the load were here, ([\d,]+) were read", second.stdout)
    assert resumed is not None, second.stdout
    assert resumed[2] == "0", "nothing is loaded twice"
    granted = re.search(r"([\d,]+) requests granted", second.stdout)
    counted = re.search(r"The CRM counted ([\d,]+) requests", second.stdout)
    assert granted is not None
    assert counted is not None
    assert granted[1] != counted[1]
    assert "The two differ by requests of earlier runs" in second.stdout
    assert left_behind(folder) == []


@pytest.mark.faults
@pytest.mark.timeout(500)
def test_a_process_that_dies_is_told_with_its_last_lines(folder: Path) -> None:
    with staying_up(folder) as (demo, _):
        os.kill(children_of(demo, "beat"), signal.SIGKILL)
        assert demo.wait(90) == 1
        assert demo.stdout is not None
        assert "The beat ended by itself, status -9" in demo.stdout.read()
    assert left_behind(folder) == []


@pytest.mark.faults
@pytest.mark.timeout(500)
def test_a_killed_demo_takes_its_processes_along(folder: Path) -> None:
    with staying_up(folder) as (demo, _):
        demo.kill()
    until = time.monotonic() + 60
    while any("-m" in line for line in left_behind(folder)):
        assert time.monotonic() < until, left_behind(folder)
        time.sleep(0.2)
