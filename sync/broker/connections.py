"""Connections to Redis: one policy for TLS, Sentinel, failover and retries.

A server that answers but does not serve us now (a replica after a failover, out of memory, a disk
that it cannot write, too few replicas) is treated like one that is gone: the connection is closed
and `Refusing` raised, which is a ConnectionError. So everything that waits for a lost Redis, Celery
included, waits for such a one too, and the next connection finds the new master.
"""

from __future__ import annotations

import re
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.retry import Retry
from redis.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

from sync.settings.redis_address import RedisAddress

TIMES: dict[str, float] = {
    "socket_timeout": 5,
    "socket_connect_timeout": 3,
    "health_check_interval": 15,
}
"""A dead server is noticed within seconds."""
CLUSTER = (
    "Redis runs in cluster mode, which this service cannot use: Celery's queues need one server."
    " Give it a Redis or valkey without cluster mode, alone or with Sentinel."
)
_REASONS = {
    "READONLY": "it is a replica, which takes no writes; name the master, or Sentinels",
    "OOM": "it is out of memory: its maxmemory is used up",
    "MISCONF": "it cannot write its data to its disk, and takes no writes until it can",
    "NOREPLICAS": "it has too few replicas (min-replicas-to-write), and takes no writes",
    "MASTERDOWN": "it is a replica that has lost its master",
    "UNBLOCKED": "it has just become a replica",
    "LOADING": "it is still reading its data from its disk",
    "CLUSTERDOWN": CLUSTER,
    "MOVED": CLUSTER,
    "ASK": CLUSTER,
    "CROSSSLOT": CLUSTER,
    "NOAUTH": "it asks for a password, and SYNC_REDIS_URL has none",
    "WRONGPASS": "it does not accept the user and password of SYNC_REDIS_URL",
    "NOPERM": "the user of SYNC_REDIS_URL lacks a right (ops/docs/runbook.md, Redis)",
    "WRONGTYPE": "a key of ours holds something else: another program uses this database",
}
_REFUSALS = (ReadOnlyError, OutOfMemoryError, MasterDownError, ClusterDownError, MovedError,
             AskError, TryAgainError)  # fmt: skip
_WORDS = ("MISCONF", "NOREPLICAS", "UNBLOCKED", "BUSY", "UNKILLABLE", "WRONGTYPE")
# Redis 6.2 wraps an error inside a script: "ERR Error running script …: -READONLY You can't …".
_IN_SCRIPT = re.compile(r"-(READONLY|OOM|MISCONF|NOREPLICAS|MASTERDOWN) ")


class Refusing(redis.ConnectionError):
    """Redis answers and does not serve us for now; the message says why."""


def refuses(error: ResponseError) -> bool:
    """Tell whether an error is about the server's present state and not about the command."""
    text = str(error)
    return (
        isinstance(error, _REFUSALS)
        or text.startswith(_WORDS)
        or _IN_SCRIPT.search(text) is not None
    )


def reason(error: RedisError) -> str:
    """Say in words why Redis does not serve us; its own text where we have none."""
    code = getattr(error, "status_code", None) or str(error).partition(" ")[0]
    if (inside := _IN_SCRIPT.search(str(error))) is not None:
        code = inside[1]
    words = _REASONS.get(code)
    return f"{words} ({code})" if words else str(error)


class _Refusable:
    """A connection that is closed by a refusal, so that the next command opens another one."""

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().read_response(*args, **kwargs)  # type: ignore[misc]
        except ResponseError as error:
            if not refuses(error):
                raise
            self.disconnect()  # type: ignore[attr-defined]
            raise Refusing(reason(error)) from error


class Direct(_Refusable, redis.Connection):
    """A connection in the clear."""


class DirectTls(_Refusable, redis.SSLConnection):
    """A connection with TLS."""


class ByMaster(_Refusable, SentinelManagedConnection):
    """A connection to the master that the Sentinels name."""


class ByMasterTls(_Refusable, SentinelManagedSSLConnection):
    """The same with TLS."""


def classes(
    address: RedisAddress,
) -> tuple[type[redis.Connection], type[redis.SSLConnection]]:
    """Return the classes of connections without and with TLS."""
    return (ByMaster, ByMasterTls) if address.service else (Direct, DirectTls)


def pool(address: RedisAddress, **params: Any) -> redis.ConnectionPool:
    """Return a pool of connections; `params` name their class, database, login and time limits."""
    if not address.service:
        host, port = address.hosts[0]
        return redis.ConnectionPool(**{**params, "host": host, "port": port})
    times = {name: params.get(name, value) for name, value in TIMES.items()}
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        list(address.hosts),
        sentinel_kwargs={
            **times,
            "retry": Retry(NoBackoff(), 0),  # a Sentinel that is down: the next one is asked
            **address.sentinel,
            **(address.tls or {}),
            "ssl": address.tls is not None,
        },
    )
    return SentinelConnectionPool(  # type: ignore[no-untyped-call]
        address.service, sentinels, **params
    )


def client(address: RedisAddress) -> redis.Redis:
    """Return the client of the request budget; it connects when it is first used."""
    clear, tls = classes(address)
    made: redis.Redis = redis.Redis(
        connection_pool=pool(
            address,
            connection_class=clear if address.tls is None else tls,
            db=address.db,
            username=address.username,
            password=address.password,
            protocol=2,
            retry=Retry(NoBackoff(), 1),  # an idle connection may have been closed
            **TIMES,
            **(address.tls or {}),
        )
    )
    return made
