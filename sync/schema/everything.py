"""METADATA with every table, for Alembic, the dictionary and tests."""

from sync.schema import crawls, crm, kept, service
from sync.schema.columns import METADATA

__all__ = ["METADATA", "crawls", "crm", "kept", "service"]
