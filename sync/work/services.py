"""What a process needs to work: Postgres, Redis, the limiter, the HTTP client. Made once, after a
fork, at first use."""

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
"""Connections to the API a process may hold: a request holds one while it waits for its slot."""
POOL = 24
"""Connections to Postgres: every use of one is short."""


@dataclass
class Services:
    """Lazy: nothing is connected before it is used. `stop` is set when the process is to end."""

    settings: Settings
    stop: Event
    heart: Heart = field(default_factory=Heart)

    @cached_property
    def urls(self) -> embedded.Urls:
        """Where Postgres and Redis are; the embedded ones are started by this."""
        return embedded.urls(self.settings)

    @cached_property
    def engine(self) -> sa.Engine:
        """The pool of Postgres connections."""
        return connect(self.urls.database_url, size=POOL, name=f"mirror:{os.getpid()}")

    @cached_property
    def redis(self) -> redis.Redis:
        """Redis for the request budget; a dead server is found out within seconds."""
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
        """The id this process holds leases by; its heart beats from the first use on."""
        return self.heart.beating(self.urls.database_url)

    @property
    def pid(self) -> int:
        """The process these services belong to."""
        return os.getpid()

    def waiting(self, queue: str) -> int:
        """Messages waiting in a queue; 0 when Redis cannot tell: then none is sent either."""
        try:
            return int(self.redis.llen(f"{KEY_PREFIX}{queue}"))  # type: ignore[arg-type]
        except redis.RedisError:
            return 0

    def account(self, store: Store) -> Account:
        """A store's URL and key, unsealed for this request alone."""
        key = vault.key_of(self.settings)
        plain = vault.unseal(store.api_key, key=key, store_id=store.id)
        return Account(store.url, plain.get_secret_value())


def _calm_the_collector() -> None:
    """Collect cycles a hundred times as seldom: pages of records are no cycles.

    Python looks for cycles every 700 new objects, of which a decoded page has 50,000: a fifth of
    all CPU went into finding none.
    """
    gc.collect()
    gc.freeze()  # modules stay
    gc.set_threshold(50_000, 20, 50)


_lock = Lock()
_made: dict[int, Services] = {}


def services() -> Services:
    """This process's services."""
    pid = os.getpid()
    with _lock:
        if pid not in _made:
            _made.clear()
            _made[pid] = Services(settings(), Event())
            _calm_the_collector()
        return _made[pid]
