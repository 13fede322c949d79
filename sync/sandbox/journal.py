"""A life that goes on after a restart: what happened to the accounts, written down and lived again.

The same seed, the same moments and the same saves in the same order give the same accounts, byte
for byte. So a journal of the moments is the whole state: its first line is when the accounts were
made, each further one is a save. The clock stands still during a save, so that it is read alike
both times.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from sync.sandbox.php import Refusal
from sync.sandbox.sandbox import Sandbox


class Journal:
    """`begin` before the accounts are made, `resume` after."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = [
            orjson.loads(line)
            for line in (path.read_bytes().splitlines() if path.exists() else ())
            if line.endswith(b"}")  # a line cut by a power failure is the last one
        ]
        self._inside = False

    def begin(self, sandbox: Sandbox) -> None:
        """Stand at the moment the accounts are, or were first, made."""
        if not self._lines:
            self._write({"began": int(sandbox.clock.now())})
        sandbox.clock.freeze(self._lines[0]["began"])

    def resume(self, sandbox: Sandbox) -> None:
        """Live through what is written, then go on at the present moment, writing."""
        for line in self._lines[1:]:
            sandbox.clock.freeze(line["at"])
            with contextlib.suppress(Refusal, ValueError, TypeError, KeyError):
                if "account" in line:
                    account = sandbox.accounts[line["account"]]
                    account.mutations[line["save"]](**line["arguments"])
                else:
                    sandbox.churn.once()
        _go_on(sandbox)
        setattr(sandbox.churn, "once", self._kept(sandbox, sandbox.churn.once, {}))  # noqa: B010
        for account in sandbox.accounts.values():
            for name, edit in account.mutations.items():
                about = {"account": account.name, "save": name}
                account.mutations[name] = self._kept(sandbox, edit, about)

    def _kept(
        self, sandbox: Sandbox, save: Callable[..., Any], about: dict[str, Any]
    ) -> Callable[..., Any]:
        """`save`, written down first; a save inside a save is part of it."""

        def kept(**arguments: Any) -> Any:
            with sandbox.lock:
                self._inside = True
                at = sandbox.clock.freeze()
                self._write({"at": at, **about, **({"arguments": arguments} if about else {})})
                try:
                    return save(**arguments)
                finally:
                    _go_on(sandbox)
                    self._inside = False

        def either(*positional: Any, **arguments: Any) -> Any:
            with sandbox.lock:
                if self._inside:
                    return save(*positional, **arguments)
                return kept(**arguments)

        return either

    def _write(self, line: dict[str, Any]) -> None:
        with self._path.open("ab") as file:
            file.write(orjson.dumps(line) + b"\n")
        if not self._lines:
            self._lines.append(line)


def _go_on(sandbox: Sandbox) -> None:
    """The clock runs again, at the present moment."""
    sandbox.clock.release()
    sandbox.clock.advance(time.time() - sandbox.clock.now())
