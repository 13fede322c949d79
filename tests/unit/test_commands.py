"""The commands' own rules: found by name, light to load, errors by their exit status."""

from __future__ import annotations

import resource
import subprocess
import sys

import click
import pytest

from sync.commands import mirror
from sync.commands.shell import NotReady, status_of
from sync.commands.status import duration
from sync.errors import (
    BadRequest,
    MissingScope,
    NoSuchAccount,
    TryLater,
    UnexpectedData,
    WrongKey,
)


def test_every_command_is_where_it_is_said_to_be_and_hidden_as_said() -> None:
    context = click.Context(mirror)
    for name in mirror.list_commands(context):
        command = mirror.get_command(context, name)
        assert command is not None
        assert command.hidden == (mirror._places[name][1] == ""), name
        assert command.hidden or command.help


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        # `celery worker` and `celery --help` load the plug-in too.
        ("import sync.commands", ("sqlalchemy", "httpx", "rich", "pydantic")),
        # What `--help` needs of the application is half of the seconds that all of it takes.
        (
            "from sync.celery import app",
            ("sqlalchemy", "redis", "httpx", "cryptography", "alembic"),
        ),
    ],
)
def test_what_help_loads_is_nothing_heavy(code: str, heavy: tuple[str, ...]) -> None:
    code += f"; import sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_takes_little_of_the_processor() -> None:
    """0.7 s of CPU on a machine that takes 0.4 s to load Celery's own command line.

    A busy machine takes longer for both, which are measured in turn.
    """

    def cpu_seconds(*arguments: str) -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        before = used.ru_utime + used.ru_stime
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime - before

    allowed: list[float] = []
    taken: list[float] = []
    while len(taken) < 5 and min(taken, default=1) > max(allowed, default=0):
        allowed.append(0.7 * max(1, cpu_seconds("-c", "import celery.bin.celery") / 0.4))
        taken.append(cpu_seconds("-m", "celery", "-A", "sync", "mirror", "--help"))
    assert min(taken) <= max(allowed), (taken, allowed)


def test_a_worker_loads_nothing_that_only_commands_need() -> None:
    """A process for each few addresses: what it loads is paid for in each."""
    code = (
        "import sys, sync.worker.tasks; print([m for m in ('alembic', 'duckdb', 'starlette',"
        " 'playwright', 'sync.web', 'sync.sandbox', 'sync.commands') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _unreached() -> NoSuchAccount:
    error = NoSuchAccount("cannot be reached")
    error.__cause__ = TryLater("connection refused")
    return error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BadRequest("a wrong date"), 2),
        (WrongKey("refused"), 1),
        (MissingScope("no scope"), 1),
        (NoSuchAccount("HTML"), 1),
        (UnexpectedData("no pagination"), 1),
        (_unreached(), 3),
        (TryLater("Postgres is away"), 3),
        (NotReady("no schema"), 3),
        (RuntimeError("a bug"), 3),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_errors_end_a_command_by_what_the_caller_does_next(error: Exception, status: int) -> None:
    assert status_of(error) == status


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(4.4, "4 s"), (89, "89 s"), (180, "3 min"), (9_000, "2.5 h"), (259_200, "3 d")],
)
def test_durations_are_as_short_as_they_can_be(seconds: float, text: str) -> None:
    assert duration(seconds) == text
