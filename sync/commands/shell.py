"""The group of commands: imported when named; errors become one line and an exit status.

`celery` itself loads this package for every command line, even `celery worker`, so nothing but
click is imported before a command is named.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NoReturn

import click

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
        """Suggest the nearest command for a name that is misspelt."""
        require_command(self, ctx, args)
        return super().resolve_command(ctx, args)

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> click.Context:
        """Parse the command line; mistakes become one line."""
        with in_words(show_traceback=False):
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; every error becomes a line for people."""
        with in_words(show_traceback=bool(ctx.params.pop("traceback", False))):
            return super().invoke(ctx)


class Family(click.Group):
    """A group inside the shell, with the same suggestions."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order they were written."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest the nearest command for a name that is misspelt."""
        require_command(self, ctx, args)
        return super().resolve_command(ctx, args)


def require_command(group: click.Group, ctx: click.Context, args: list[str]) -> None:
    """Raise UsageError, with the nearest command suggested, when no command has that name."""
    known = group.list_commands(ctx)
    if args and not args[0].startswith("-") and args[0] not in known:
        near = get_close_matches(args[0], known, 1)
        hint = f" Did you mean {near[0]!r}?" if near else f" There are: {', '.join(known)}."
        raise click.UsageError(f"There is no command {args[0]!r}.{hint}", ctx)


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
    except (SyncError, Exception) as error:  # noqa: BLE001  the last place before a person's eyes
        if show_traceback:
            click.echo(traceback.format_exc(), err=True)
        _fail(_sentence(error), status_of(error))


def status_of(error: Exception) -> int:
    """Return the exit status for an error."""
    if isinstance(error, BadRequest):
        return USAGE
    unreached = isinstance(error, NoSuchAccount) and isinstance(error.__cause__, TryLater)
    if isinstance(error, SyncError) and not isinstance(error, TryLater | NotReady):
        return UNKNOWN if unreached else ATTENTION
    return UNKNOWN


def _sentence(error: Exception) -> str:
    if isinstance(error, SyncError):
        return str(error)
    name = type(error).__name__
    line = next(iter(str(error).strip().splitlines()), "")
    return (
        f"Unexpected {name}: {line[:300]} (celery -A sync mirror --traceback … shows where; "
        "please report it)"
    )


def _see(ctx: click.Context | None) -> str:
    if ctx is None:
        return ""
    path = ctx.command_path.replace("celery mirror", "celery -A sync mirror", 1)
    return f" See: {path} --help"


def _fail(message: str, status: int) -> NoReturn:
    from sync.telemetry import plain_lines

    raise Failure(plain_lines(message), status) from None
