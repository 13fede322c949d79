"""Fixtures of the fault suite, and its table.

Every scenario belongs to `make faults`. Those marked `in_every_run` are part of `make test` too,
those marked `in_ci` take longer and are run by `.ci/run` beside it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pytest

from tests.integration.faults.rig import EXACT_SECONDS, Rig, Stage, rigged, staged
from tests.integration.faults.worlds import WORLD_ROW, Line

_HERE = Path(__file__).parent
_ROW = "fault row"
# Lost: missing, deleted but live, or stale.
_HEAD = ("fault", "times injected", "rows lost", "rows doubled", "seconds to exact again")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "in_every_run: a fault scenario that `make test` runs, not only `make faults`"
    )
    config.addinivalue_line("markers", "in_ci: one that `.ci/run` runs beside `make test`")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give the scenarios the marker `faults`, by which `make test` leaves them out."""
    wants_all = str(config.getoption("markexpr")).strip() == "faults"
    for item in items:
        if _HERE not in item.path.parents:
            continue
        if wants_all or item.get_closest_marker("in_every_run") is None:
            item.add_marker("faults")


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """Servers and a sandbox for all scenarios of this test process."""
    with staged() as made:
        yield made


@pytest.fixture
def rig(stage: Stage, tmp_path: Path) -> Iterator[Rig]:
    """One scenario's database, account and processes."""
    with rigged(stage, tmp_path) as made:
        yield made


class Ends(Protocol):
    """Ends a scenario: the mirror is exact within `seconds`, and a row of the table says so."""

    def __call__(self, rig: Rig, fault: str, times: int, *, seconds: float = ...) -> None: ...


@pytest.fixture
def ends_exact(record_property: Callable[[str, object], None]) -> Ends:
    """Wait until the mirror says it is complete, hold it against the oracle, add to the table."""

    def end(rig: Rig, fault: str, times: int, *, seconds: float = EXACT_SECONDS) -> None:
        seconds = rig.exact(seconds=seconds)
        verdict = rig.settle()
        lost = len(verdict.lost) + len(verdict.ghosts) + len(verdict.stale)
        line = (fault, str(times), str(lost), str(len(verdict.doubled)), f"{seconds:.1f}")
        record_property(_ROW, line)
        print(f"\n| {' | '.join(line)} |")
        if verdict.wrong():
            print(verdict.wrong())
        assert not verdict.wrong(), rig.said()

    return end


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print each table whole, once, whichever process ran which scenario, failed ones too.

    That of the worlds is written to the file `MIRROR_WORLDS_TABLE` as well.
    """
    for title, told, heads in (("faults", _ROW, _HEAD), ("worlds", WORLD_ROW, Line.HEAD)):
        rows = [
            value
            for reports in terminalreporter.stats.values()
            for report in reports
            if getattr(report, "when", "") == "call"
            for name, value in report.user_properties
            if name == told
        ]
        if not rows:
            continue
        table = _markdown([heads, *sorted(rows)])
        terminalreporter.section(title)
        for line in table:
            terminalreporter.write_line(line)
        if told == WORLD_ROW and (path := os.environ.get("MIRROR_WORLDS_TABLE")):
            Path(path).write_text("\n".join(table) + "\n", "utf-8")


def _markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    """A table, its first row the heads, columns but the first aligned to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [f"{row[0]:{widths[0]}}"]
        cells += [f"{c:>{w}}" for c, w in zip(row[1:], widths[1:], strict=True)]
        lines.append(f"| {' | '.join(cells)} |")
    rule = [f"{'-' * (widths[0] + 2)}", *(f"{'-' * (w + 1)}:" for w in widths[1:])]
    return [lines[0], f"|{'|'.join(rule)}|", *lines[1:]]
