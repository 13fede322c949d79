"""One request to the API, in the form that methods work on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch

from sync.sandbox.account import Account
from sync.sandbox.keys import Key
from sync.sandbox.php import Json, Refusal


@dataclass(frozen=True)
class Call:
    """The account, key and parameters of a request; `args` are variable parts of the path."""

    account: Account
    key: Key
    path: str
    params: Json
    args: tuple[str, ...]
    now: float
    replica: float = 0.0  # lag in seconds of lists and histories for this request

    def filter(self) -> Json:
        """Return `filter[...]` as a mapping; anything else in its place (`filter=`) is ignored."""
        given = self.params.get("filter")
        return given if isinstance(given, dict) else {}

    def matches(self, paths: Iterable[str]) -> bool:
        """True when the method is one of these paths below /api/v5/."""
        return any(fnmatch(self.path.removeprefix("/api/v5/"), p) for p in paths)

    def sites(self) -> list[str]:
        """Return the sites that the key sees."""
        return [s for s in self.account.sites if self.key.sees(s)]

    def by(self) -> str:
        by = str(self.params.get("by", "externalId"))
        if by not in ("id", "externalId"):
            raise Refusal(400, "Errors in the input parameters", errors={"by": "invalid"})
        return by
