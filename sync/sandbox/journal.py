"""A journal that lets accounts live on after a restart: it records every save and repeats them.

The same seed, moments and saves in the same order give the same accounts, byte for byte. So the
journal is the whole state: its first line is when the accounts were made, each further line is one
save. The clock stands still during a save, so that both runs read the same time.
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

_POST: dict[str, Any] = {"posted": True}  # about a call of the API, which names its account


class Journal:
    """The journal of a sandbox: `begin` before the accounts are made, `resume` after."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = [
            orjson.loads(line)
            for line in (path.read_bytes().splitlines() if path.exists() else ())
            if line.endswith(b"}")  # only the last line can be cut by a power failure
        ]
        self._inside = False

    def begin(self, sandbox: Sandbox) -> None:
        """Set the clock to the moment the accounts are made, or were made first."""
        if not self._lines:
            self._write({"began": int(sandbox.clock.now())})
        sandbox.clock.freeze(self._lines[0]["began"])

    def resume(self, sandbox: Sandbox) -> None:
        """Repeat the recorded saves, then continue in the present and record."""
        for line in self._lines[1:]:
            sandbox.clock.freeze(line["at"])
            with contextlib.suppress(Refusal, ValueError, TypeError, KeyError):
                if "posted" in line:
                    sandbox.api.write(**line["posted"])
                elif "account" in line:
                    account = sandbox.accounts[line["account"]]
                    account.mutations[line["save"]](**line["arguments"])
                else:
                    sandbox.churn.once()
        _go_on(sandbox)
        setattr(sandbox.churn, "once", self._kept(sandbox, sandbox.churn.once, {}))  # noqa: B010
        setattr(sandbox.api, "write", self._kept(sandbox, sandbox.api.write, _POST))  # noqa: B010
        for account in sandbox.accounts.values():
            for name, edit in account.mutations.items():
                about = {"account": account.name, "save": name}
                account.mutations[name] = self._kept(sandbox, edit, about)

    def _kept(
        self, sandbox: Sandbox, save: Callable[..., Any], about: dict[str, Any]
    ) -> Callable[..., Any]:
        """Wrap `save` so that it is recorded first; a save inside a save is part of it."""

        def kept(**arguments: Any) -> Any:
            with sandbox.lock:
                self._inside = True
                at = sandbox.clock.freeze()
                said = (
                    {"posted": arguments} if about is _POST else {**about, "arguments": arguments}
                )
                self._write({"at": at, **(said if about else {})})
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
    """Let the clock run again from the present moment."""
    sandbox.clock.release()
    sandbox.clock.advance(time.time() - sandbox.clock.now())
