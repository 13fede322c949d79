"""API keys: what they may read, and of which sites."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SCOPES = (
    "order_read", "customer_read", "store_read", "reference_read", "integration_read",
    "custom_fields_read", "cost_read", "user_read", "task_read", "segment_read", "loyalty_read",
    "file_read", "delivery_read",
)  # fmt: skip


@dataclass
class Key:
    """`sites` None is access_full; a tuple is access_selective: other sites do not exist for it."""

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
