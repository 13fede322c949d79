"""Connections of a command: Postgres at this release's schema, Redis, an account's API."""

from __future__ import annotations

import datetime as dt
import logging

import redis

from sync import telemetry, vault
from sync.commands.shell import NotReady
from sync.crm import Account
from sync.database.engine import reading
from sync.database.migrate import require_head
from sync.errors import NeedsOperator, SyncError, TryLater
from sync.settings import settings
from sync.state.stores import Store
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
    found = opened()
    try:
        with reading(found.engine) as connection:
            require_head(connection)
    except SyncError as error:
        raise NotReady(str(error)) from error
    return found


def asking(found: Services, account: Account, *, store_id: int) -> Session:
    """Open an account's API inside the shared request budget; TryLater if Redis is unreachable."""
    try:
        found.redis.ping()
    except redis.RedisError as error:
        raise TryLater(f"Redis, which holds the request budget, cannot be reached: {error}") from (
            error
        )
    return Session(
        found.client,
        account,
        store_id=store_id,
        limiter=found.limiter,
        draw=lambda: dt.datetime.now(dt.UTC),
        stop=found.stop,
    )


def asking_store(found: Services, store: Store) -> Session:
    """Open the API of a mirrored store."""
    return asking(found, found.account(store), store_id=store.id)


def secret_key(found: Services) -> vault.Key:
    """Return the key that encrypts API keys."""
    return vault.key_of(found.settings)
