"""Connections of a command: Postgres at this release's schema, a store's API."""

from __future__ import annotations

import logging
from collections.abc import Callable

import sqlalchemy as sa

from sync import telemetry, vault
from sync.commands.shell import NotReady
from sync.database.engine import reading
from sync.database.revisions import require_at_least_head, require_head
from sync.errors import NeedsOperator, SyncError
from sync.settings import settings
from sync.state.stores import Store
from sync.work.account import asking
from sync.work.services import Services, services
from sync.work.session import Session


def opened() -> Services:
    """Return this process's services with the settings checked; nothing is connected yet."""
    try:
        telemetry.configure(settings().log_format, level=logging.WARNING)
        return services()
    except NeedsOperator as error:
        raise NotReady(str(error)) from error


def at_head() -> Services:
    """Return services whose database is reachable and at this release's schema, or NotReady."""
    return _checked(require_head)


def at_least_at_head() -> Services:
    """Return services whose database is at this release's schema or a later one's, or NotReady."""
    return _checked(require_at_least_head)


def _checked(require: Callable[[sa.Connection], None]) -> Services:
    found = opened()
    try:
        with reading(found.engine) as connection:
            require(connection)
    except SyncError as error:
        raise NotReady(str(error)) from error
    return found


def asking_store(found: Services, store: Store) -> Session:
    """Open the API of a mirrored store."""
    return asking(found, found.account(store), store_id=store.id)


def secret_key(found: Services) -> vault.Key:
    """Return the key that encrypts API keys."""
    return vault.key_of(found.settings)
