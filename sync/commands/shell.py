"""The group of commands: imported when named; errors become one line and an exit status.

`celery` itself loads this package for every command line, even `celery worker`, so nothing but
click is imported before a command is named.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, NoReturn

import click
from click.exceptions import NoSuchCommand

from sync.errors import BadRequest, NoSuchAccount, SyncError, TryLater

ATTENTION, USAGE, UNKNOWN = 1, 2, 3
"""Exit statuses besides 0: attention needed, wrong usage, state could not be found out."""


def examples(*lines: str) -> str:
    """Return the end of a command's help: example command lines, one a line."""
    shown = "\n".join(f"  celery -A sync mirror {line}" for line in lines)
    return f"\b\n{'Examples' if len(lines) > 1 else 'Example'}:\n{shown}"


def say(text: str, *, err: bool = False) -> None:
    """Print without terminal control sequences: much of the text comes from an account."""
    from sync.telemetry import plain_lines

    click.echo(plain_lines(text), err=err)


def say_json(value: object, *, default: Callable[[object], str] | None = None) -> None:
    """Print one JSON object; its strings are as they are, but for secrets.

    TypeError for a value that JSON has not, unless `default` makes text of it.
    """
    import json

    from sync.telemetry import scrubbed

    click.echo(scrubbed(json.dumps(value, ensure_ascii=False, default=default)))


class NotReady(SyncError):
    """The settings, the servers or the schema do not allow any work."""


class Failure(click.ClickException):
    """An error shown as one line, with its exit status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        vars(self)["exit_code"] = status  # click declares it for the class


class Shell(click.Group):
    """A group whose commands are `name: (module:attribute, help)` of this package."""

    def __init__(self, *, places: Mapping[str, tuple[str, str]], **options: Any) -> None:
        super().__init__(**options)
        self._places = places
        self.params.append(
            click.Option(["--traceback"], is_flag=True, hidden=True, help="Show where it failed.")
        )
        self.params.append(
            click.Option(
                ["--version"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_version,
                help="Show the release, and the versions that matter.",
            )
        )

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order an operator meets them."""
        return list(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        if cmd_name not in self._places:
            return None
        module, _, attribute = self._places[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(f"sync.commands.{module}"), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with their help, without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, told) for name, (_, told) in self._places.items() if told])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; its misspelt name gets the nearest ones suggested."""
        if args[0] not in self._places and not args[0].startswith("-"):
            raise NoSuchCommand(args[0], possibilities=self._places, ctx=ctx)
        return super().resolve_command(ctx, args)

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> click.Context:
        """Parse the command line; mistakes become one line."""
        if parent is not None and parent.parent is None:
            parent.info_name = "celery -A sync"  # what a person has to type
        with in_words(show_traceback=False):
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; every error becomes a line for people."""
        with in_words(show_traceback=bool(ctx.params.pop("traceback", False))):
            return super().invoke(ctx)


def _version(ctx: click.Context, _: click.Parameter, is_asked: bool) -> None:
    if not is_asked or ctx.resilient_parsing:
        return
    import platform
    from importlib.metadata import PackageNotFoundError, version

    try:
        ours = version("retailcrm-mirror")
    except PackageNotFoundError:
        ours = "of a checkout"
    click.echo(f"RetailCRM mirror {ours}, Celery {version('celery')}, {platform.python_version()}")
    ctx.exit()


class Family(click.Group):
    """A group inside the shell, whose commands are listed in the order they were written."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order they were written."""
        return list(self.commands)


@contextlib.contextmanager
def in_words(*, show_traceback: bool) -> Iterator[None]:
    """Turn any error into one line and an exit status; with a traceback only when asked for."""
    try:
        yield
    except click.UsageError as error:
        if isinstance(error, click.exceptions.NoArgsIsHelpError):
            raise
        _fail(f"{error.format_message()}{_see(error.ctx)}", USAGE)
    except (click.exceptions.Exit, click.Abort, click.ClickException):
        raise
    except BrokenPipeError:
        # `| head` has what it wanted. What Python still holds for it would raise once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(0) from None
    except (SyncError, Exception) as error:  # noqa: BLE001  the last place before a person's eyes
        if show_traceback:
            say(_traceback(error), err=True)
        _fail(_sentence(error), status_of(error))


def status_of(error: Exception) -> int:
    """Return the exit status for an error."""
    if isinstance(error, BadRequest) or _is_of_bytes(error):
        return USAGE
    unreached = isinstance(error, NoSuchAccount) and isinstance(error.__cause__, TryLater)
    if isinstance(error, SyncError) and not isinstance(error, TryLater | NotReady):
        return UNKNOWN if unreached else ATTENTION
    return UNKNOWN


def _traceback(error: Exception) -> str:
    from sync.telemetry.redact_errors import without_rows

    return without_rows("".join(traceback.format_exception(error)), error)


def _sentence(error: Exception) -> str:
    from sync.telemetry.redact_errors import first_line

    if isinstance(error, SyncError):
        return str(error)
    if _is_of_bytes(error):
        return "An argument has bytes that are no UTF-8 text: type it anew."
    is_network = isinstance(error, ConnectionError | TimeoutError)
    if isinstance(error, OSError) and error.errno is not None and not is_network:
        return _of_this_machine(error)
    name = type(error).__name__
    return (
        f"Unexpected {name}: {first_line(error)} (celery -A sync mirror --traceback … shows where; "
        "please report it)"
    )


def _is_of_bytes(error: Exception) -> bool:
    """Tell whether an argument cannot be encoded: Python has its bytes as halves of pairs."""
    if not isinstance(error, UnicodeEncodeError):
        return False
    return "\udc80" <= error.object[error.start] <= "\udcff"


def _of_this_machine(error: OSError) -> str:
    """Say what the machine refused, and what to do about it; that is nobody's bug."""
    what = f"{error.filename}: " if error.filename else ""
    cure = {
        errno.ENOSPC: "free some space on this disk, and try again",
        errno.EDQUOT: "the quota of this user is used up",
        errno.EACCES: "let this user read and write there, or name another place",
        errno.EPERM: "let this user read and write there, or name another place",
        errno.EROFS: "the file system is read-only: name another place",
        errno.ENOENT: "there is no such place: make the folder first, or name another",
        errno.EADDRINUSE: "another program has this port: choose another",
        errno.EMFILE: "raise the limit of open files (ulimit -n)",
    }.get(error.errno or 0, "this machine refused it")
    return f"{what}{error.strerror}: {cure}."


def _see(ctx: click.Context | None) -> str:
    if ctx is None:
        return ""
    path = ctx.command_path.replace("celery mirror", "celery -A sync mirror", 1)
    return f" See: {path} --help"


def _fail(message: str, status: int) -> NoReturn:
    from sync.telemetry import plain_lines

    raise Failure(plain_lines(message), status) from None
