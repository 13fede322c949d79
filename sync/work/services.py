"""The connections of a process: Postgres, Redis, the limiter, the HTTP client.

Each is made once, after the fork, at its first use.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from threading import Event, Lock

import redis
import sqlalchemy as sa

from sync import embedded, vault
from sync.broker import REJECTED_COUNT
from sync.broker.connections import client
from sync.crm import Account, CrmClient, Limiter
from sync.database.engine import connect, reading
from sync.database.standing import Look
from sync.errors import NeedsOperator, TryLater
from sync.settings import KEY_PREFIX, Settings, proxy, settings
from sync.settings.redis_address import parse
from sync.state import stores
from sync.state.heartbeat import Heart
from sync.state.stores import Store

THREADS = 96
"""The most connections to the API of a process: a request holds one while it waits for its slot."""
POOL = 24
"""The most connections to Postgres: every use of one is short."""
_M_ARENA_MAX = -8  # malloc.h


@dataclass
class Services:
    """The lazy connections of a process. `stop` is set when the process has to end."""

    settings: Settings
    stop: Event
    heart: Heart = field(default_factory=Heart)
    told_troubles: dict[str, float] = field(default_factory=dict)
    nudges_refused: int = 0

    @cached_property
    def urls(self) -> embedded.Urls:
        """The addresses of Postgres and Redis; embedded servers are started by this."""
        return embedded.urls(self.settings)

    @cached_property
    def engine(self) -> sa.Engine:
        """The pool of Postgres connections."""
        return connect(self.urls.database_url, size=POOL, name=f"mirror:{os.getpid()}")

    @cached_property
    def schema(self) -> Look:
        """The standing of the database's schema, looked at before work."""
        return Look(lambda: self.engine)

    @cached_property
    def redis(self) -> redis.Redis:
        """The Redis client of the request budget."""
        return client(parse(self.urls.redis_url))

    @cached_property
    def limiter(self) -> Limiter:
        """The request budget of this egress address."""
        return Limiter(
            self.redis,
            egress=self.settings.egress,
            rate_limit=self.settings.rate_limit,
            telephony_rate_limit=self.settings.telephony_rate_limit,
        )

    @cached_property
    def client(self) -> CrmClient:
        """Keep-alive connections to every account."""
        return CrmClient(
            connections=THREADS,
            egress_address=self.settings.egress_address,
            proxy=proxy(),
            first_byte_seconds=self.settings.first_byte_seconds,
            answer_seconds=self.settings.answer_seconds,
        )

    @property
    def worker_id(self) -> str:
        """The id by which this process holds leases; the first use starts its heartbeat."""
        return self.heart.beating(self.urls.database_url)

    @property
    def pid(self) -> int:
        """The process these services belong to."""
        return os.getpid()

    def waiting(self, queue: str) -> int:
        """Return the number of messages in a queue; 0 when Redis is down, for sending fails too."""
        try:
            return int(self.redis.llen(f"{KEY_PREFIX}{queue}"))  # type: ignore[arg-type]
        except redis.RedisError:
            return 0

    def rejected(self) -> int | None:
        """Return the number of messages set aside so far; None when Redis cannot be asked."""
        try:
            return int(self.redis.get(f"{KEY_PREFIX}{REJECTED_COUNT}") or 0)  # type: ignore[arg-type]
        except redis.RedisError:
            return None

    def account(self, store: Store, sealed: bytes | None = None) -> Account:
        """Return a store's URL and API key, decrypted for this use alone.

        `sealed` is the key as it is stored, where the caller has read it.
        """
        key = vault.key_of(self.settings)
        if sealed is None:
            with reading(self.engine) as connection:
                sealed = stores.sealed_key(connection, store.id)
        if vault.sealed_under(sealed) != key.fingerprint:
            # Nobody has to release the store once this process has the right key again.
            raise TryLater(f"this process cannot read its API key: {wrong_key([store.name])}")
        plain = vault.unseal(sealed, key=key, store_id=store.id)
        return Account(store.url, plain.get_secret_value())


def wrong_key(names: Collection[str]) -> str:
    """Say what to do about API keys that another secret key encrypted."""
    told = ", ".join(sorted(names)[:3]) + ("…" if len(names) > 3 else "")
    return (
        f"SYNC_SECRET_KEY is not the key that encrypted the API keys of {told}."
        " Set it back to that one, or run: celery -A sync mirror rotate-key --old-key-file FILE"
    )


def require_secret_key(services: Services) -> None:
    """Raise NeedsOperator when SYNC_SECRET_KEY is not the one that API keys are encrypted with."""
    with reading(services.engine) as connection:
        others = stores.sealed_otherwise(connection, vault.key_of(services.settings).fingerprint)
    if others:
        raise NeedsOperator(wrong_key(others))


def _calm_the_collector() -> None:
    """Run the garbage collector a hundred times less often: pages of records contain no cycles.

    By default Python looks for cycles every 700 new objects, and a decoded page has 50,000. A fifth
    of all CPU time was spent on finding none.
    """
    gc.collect()
    gc.freeze()  # modules stay
    gc.set_threshold(50_000, 20, 50)


def _share_the_arenas() -> None:
    """Let all threads allocate from two arenas of the C library instead of one for each thread.

    glibc makes up to eight for each core, and each keeps what its threads freed: pages of records.
    The interpreter's lock lets one thread allocate at a time anyway. Other C libraries have none.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


_lock = Lock()
_made: dict[int, Services] = {}


def services() -> Services:
    """Return this process's services."""
    pid = os.getpid()
    with _lock:
        if pid not in _made:
            _made.clear()
            _made[pid] = Services(settings(), Event())
            _calm_the_collector()
            _share_the_arenas()
        return _made[pid]
