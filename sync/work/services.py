"""The connections of a process: Postgres, Redis, the limiter, the HTTP client.

Each is made once, after the fork, at its first use.
"""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass, field
from functools import cached_property
from threading import Event, Lock

import redis
import sqlalchemy as sa

from sync import embedded, vault
from sync.crm import Account, CrmClient, Limiter
from sync.database.engine import connect
from sync.settings import KEY_PREFIX, Settings, settings
from sync.state.heartbeat import Heart
from sync.state.stores import Store

THREADS = 96
"""The most connections to the API of a process: a request holds one while it waits for its slot."""
POOL = 24
"""The most connections to Postgres: every use of one is short."""


@dataclass
class Services:
    """The lazy connections of a process. `stop` is set when the process has to end."""

    settings: Settings
    stop: Event
    heart: Heart = field(default_factory=Heart)

    @cached_property
    def urls(self) -> embedded.Urls:
        """The addresses of Postgres and Redis; embedded servers are started by this."""
        return embedded.urls(self.settings)

    @cached_property
    def engine(self) -> sa.Engine:
        """The pool of Postgres connections."""
        return connect(self.urls.database_url, size=POOL, name=f"mirror:{os.getpid()}")

    @cached_property
    def redis(self) -> redis.Redis:
        """The Redis client of the request budget; a dead server is noticed within seconds."""
        client: redis.Redis = redis.Redis.from_url(
            self.urls.redis_url,
            socket_timeout=5,
            socket_connect_timeout=3,
            health_check_interval=15,
            protocol=2,
        )
        return client

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
        return CrmClient(connections=THREADS, egress_address=self.settings.egress_address)

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

    def account(self, store: Store) -> Account:
        """Return a store's URL and API key, decrypted for this request alone."""
        key = vault.key_of(self.settings)
        plain = vault.unseal(store.api_key, key=key, store_id=store.id)
        return Account(store.url, plain.get_secret_value())


def _calm_the_collector() -> None:
    """Run the garbage collector a hundred times less often: pages of records contain no cycles.

    By default Python looks for cycles every 700 new objects, and a decoded page has 50,000. A fifth
    of all CPU time was spent on finding none.
    """
    gc.collect()
    gc.freeze()  # modules stay
    gc.set_threshold(50_000, 20, 50)


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
        return _made[pid]
