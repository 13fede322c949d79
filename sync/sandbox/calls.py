"""One request to the API, in the form that methods work on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch

from sync.sandbox.account import Account
from sync.sandbox.forms import INPUT, missing
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

    def site(self) -> str:
        """Return the site that is named, or the only one that the key sees."""
        given, seen = self.params.get("site"), self.sites()
        if given in (None, "") and len(seen) == 1:
            return seen[0]
        if given in (None, ""):
            raise missing("site")
        if given not in seen:
            raise Refusal(400, INPUT, errors={"site": f"Site with code={given} not found."})
        return str(given)

    def by(self, usual: str = "externalId", name: str = "by") -> str:
        """Return what the path holds; the API takes externalId where nothing is said."""
        by = str(self.params.get(name, usual))
        if by not in ("id", "externalId"):
            raise Refusal(
                400, INPUT, errors={name: "The value you selected is not a valid choice."}
            )
        return by
