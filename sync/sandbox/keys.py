"""The API keys of an account, with their scopes and sites."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from threading import RLock

READS = (
    "order_read", "customer_read", "store_read", "reference_read", "integration_read",
    "custom_fields_read", "cost_read", "user_read", "task_read", "segment_read", "loyalty_read",
    "file_read", "delivery_read",
)  # fmt: skip
SCOPES = (*READS, *(scope.replace("_read", "_write") for scope in READS if scope != "segment_read"))
"""All that a key may have. Of the scopes to write only analytics_write is evidenced, which no key
has at first; the others follow from the names of those to read."""


@dataclass
class Key:
    """`sites` None is access_full; a tuple is access_selective: other sites are invisible."""

    value: str
    scopes: set[str]
    sites: tuple[str, ...] | None = None
    active: bool = True

    @classmethod
    def of(
        cls, value: str, *, scopes: Iterable[str] | None = None, sites: Iterable[str] | None = None
    ) -> Key:
        allowed = set(SCOPES) if scopes is None else set(scopes)
        return cls(value, allowed, None if sites is None else tuple(sites))

    def sees(self, site: str | None) -> bool:
        return self.sites is None or site is None or site in self.sites


def derived_key(seed: int, account: str, number: int) -> str:
    """Return a key derived from the seed, so that none is stored."""
    return hashlib.sha256(f"{seed}/{account}/{number}".encode()).hexdigest()[:32]


class Keyring:
    """All keys of an account, valid or revoked; methods without a value use the first."""

    def __init__(self, seed: int, account: str, sites: list[str], lock: RLock) -> None:
        self.keys: dict[str, Key] = {}
        self._seed, self._account, self._sites, self._lock = seed, account, sites, lock

    @property
    def first(self) -> str:
        """Return the first valid key."""
        return next(k.value for k in self.keys.values() if k.active)

    def add_key(
        self, value: str | None = None, *, scopes: Iterable[str] | None = None,
        sites: Iterable[str] | None = None,
    ) -> str:  # fmt: skip
        """Return a new key that may read `scopes` (None: all) of `sites` (None: access_full)."""
        with self._lock:
            text = value or derived_key(self._seed, self._account, len(self.keys))
            self.keys[text] = Key.of(text, scopes=scopes, sites=sites)
            return text

    def revoke_key(self, value: str | None = None) -> None:
        with self._lock:
            self.keys[value or self.first].active = False

    def restore_key(self, value: str) -> None:
        with self._lock:
            self.keys[value].active = True

    def revoke_scope(self, scope: str, value: str | None = None) -> None:
        with self._lock:
            self.keys[value or self.first].scopes.discard(scope)

    def grant_scope(self, scope: str, value: str | None = None) -> None:
        with self._lock:
            self.keys[value or self.first].scopes.add(scope)

    def limit_sites(self, sites: list[str] | None, value: str | None = None) -> None:
        """Make a key selective (a list of site codes) or full again (None)."""
        with self._lock:
            self.keys[value or self.first].sites = None if sites is None else tuple(sites)

    def revoke_site(self, site: str, value: str | None = None) -> None:
        """Remove one site from a key; a full key becomes selective for all others."""
        with self._lock:
            key = self.keys[value or self.first]
            key.sites = tuple(s for s in key.sites or self._sites if s != site)
