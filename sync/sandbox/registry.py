"""The list of kinds, and what follows from it: methods, histories, mutations, churn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sync.sandbox import dictionaries, service, without
from sync.sandbox.kind import Answer, Kind, Move
from sync.sandbox.kinds.corporate import ADDRESSES, COMPANIES, CONTACTS, CORPORATE
from sync.sandbox.kinds.costs import COSTS
from sync.sandbox.kinds.custom_fields import CUSTOM_FIELDS, DICTIONARIES
from sync.sandbox.kinds.customers import CUSTOMERS
from sync.sandbox.kinds.files import FILES
from sync.sandbox.kinds.loyalty import LOYALTIES, LOYALTY_ACCOUNTS, OPERATIONS
from sync.sandbox.kinds.notes import CORPORATE_NOTES, CUSTOMER_NOTES
from sync.sandbox.kinds.orders import ORDERS
from sync.sandbox.kinds.packs import PACKS
from sync.sandbox.kinds.products import GROUPS, OFFERS, PRODUCTS
from sync.sandbox.kinds.properties import PROPERTIES, VALUES
from sync.sandbox.kinds.segments import SEGMENTS
from sync.sandbox.kinds.shipments import SHIPMENTS
from sync.sandbox.kinds.tasks import COMMENTS, TASKS
from sync.sandbox.kinds.templates import TEMPLATES
from sync.sandbox.kinds.users import GROUPS as USER_GROUPS
from sync.sandbox.kinds.users import USERS
from sync.sandbox.singles import Download

T = TypeVar("T")
KINDS: tuple[Kind, ...] = (
    ORDERS, CUSTOMERS, CORPORATE, PACKS, TASKS, CUSTOMER_NOTES, CORPORATE_NOTES, COSTS, FILES,
    SHIPMENTS, PRODUCTS, OFFERS, GROUPS, PROPERTIES, VALUES, LOYALTY_ACCOUNTS, LOYALTIES,
    OPERATIONS, SEGMENTS, USERS, USER_GROUPS, CUSTOM_FIELDS, DICTIONARIES, COMMENTS, ADDRESSES,
    COMPANIES, CONTACTS, TEMPLATES,
)  # fmt: skip
COLLECTIONS = tuple(kind.name for kind in KINDS)
SUBJECTS = {kind.name: kind.subject for kind in KINDS if kind.subject is not None}
_MUTATIONS: list[Callable[..., Any]] = [edit for kind in KINDS for edit in kind.mutations]
_MUTATIONS += service.MUTATIONS
MUTATIONS = {edit.__name__: edit for edit in _MUTATIONS}
CHURN: dict[str, Move] = {name: move for kind in KINDS for name, move in kind.churn.items()}


@dataclass(frozen=True)
class Method:
    """The answer to a path. `scope` None: any valid key."""

    answer: Answer
    scope: str | None = None

    @property
    def kind(self) -> bytes:
        """Content type: JSON for all but downloads."""
        return b"application/pdf" if isinstance(self.answer, Download) else b"application/json"


def _to_write(scope: str | None) -> str | None:
    return scope and scope.replace("_read", "_write")


METHODS = {f"/api/{path}": Method(*method) for path, method in service.METHODS.items()} | {
    f"/api/v5/{path}": Method(answer, kind.scope)
    for kind in KINDS
    for path, answer in kind.methods.items()
}


_WRITES = (
    {path: (write, kind.scope) for kind in KINDS for path, write in kind.writes.items()}
    | {path: (write, dictionaries.SCOPE) for path, write in dictionaries.WRITES.items()}
    | without.WRITES
)
WRITES = {f"/api/v5/{path}": (write, _to_write(scope)) for path, (write, scope) in _WRITES.items()}


def _patterns(paths: Iterable[str]) -> dict[int, list[tuple[list[str], str]]]:
    """Return paths with variable parts by their length, the most specific ones first."""
    found: dict[int, list[tuple[list[str], str]]] = {}
    for path in sorted((p for p in paths if "{" in p), key=lambda p: p.count("{")):
        parts = path.split("/")
        found.setdefault(len(parts), []).append((parts, path))
    return found


class Paths(Generic[T]):
    """Methods by their paths, of which some have variable parts."""

    def __init__(self, methods: Mapping[str, T]) -> None:
        self._methods, self._patterns = methods, _patterns(methods)

    def find(self, path: str) -> tuple[T, tuple[str, ...]] | None:
        """Return the method of a path and the variable parts; None for an unknown path."""
        exact = self._methods.get(path)
        if exact is not None and "{" not in path:
            return exact, ()
        parts = path.split("/")
        for pattern, name in self._patterns.get(len(parts), ()):
            if all(p == q or p.startswith("{") for p, q in zip(pattern, parts, strict=True)):
                args = tuple(q for p, q in zip(pattern, parts, strict=True) if p.startswith("{"))
                return self._methods[name], args
        return None


READ_PATHS, WRITE_PATHS = Paths(METHODS), Paths(WRITES)
