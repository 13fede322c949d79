"""Celery's way to Redis: kombu's transport, with our connections, Redis's clock, checked messages.

celery.py makes it the transport of the name `redis`, for consumers and producers alike.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty
from typing import Any

import redis
from kombu.transport import redis as transport
from kombu.transport import virtual
from kombu.utils.json import dumps

from sync.broker import REJECTED, REJECTED_COUNT, fitness
from sync.broker.connections import classes, pool
from sync.settings import KEY_PREFIX
from sync.telemetry import log
from sync.worker.messages import Tasks, fault_of, fault_of_envelope

KEPT, KEPT_BYTES = 50, 4_096
"""Of messages that were set aside: how many, and how much of each."""
_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, IndexError)


class Client(transport.PrefixedStrictRedis):
    """A client to which a message that is none of ours looks as if nothing had come."""

    def __init__(self, *args: Any, faulty: Callable[[str, bytes], bool], **kwargs: Any) -> None:
        self._faulty = faulty
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        found = super().parse_response(  # type: ignore[no-untyped-call]
            connection, command_name, **options
        )
        if command_name == "BRPOP" and found and self._faulty(*found):
            return None
        return found


class QoS(transport.QoS):
    """Messages at work, whose age is told by Redis's clock alone: hosts' clocks may differ."""

    @property
    def visibility_timeout(self) -> float:
        """The age at which a message counts as lost, for a caller that takes it from our clock."""
        return float(self.channel.visibility_timeout + time.time() - self._redis_seconds())

    def append(self, message: Any, delivery_tag: str) -> None:
        moment, about = self._redis_seconds(), message.delivery_info
        parts = [message._raw, about["exchange"], about["routing_key"]]
        kept = dumps(parts)  # type: ignore[no-untyped-call]
        with self.pipe_or_acquire() as pipe:
            pipe.zadd(self.unacked_index_key, {delivery_tag: moment})
            pipe.hset(self.unacked_key, delivery_tag, kept).execute()
        virtual.QoS.append(self, message, delivery_tag)  # type: ignore[no-untyped-call]

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:
        try:
            super().restore_by_tag(  # type: ignore[no-untyped-call]
                tag, client=client, leftmost=leftmost
            )
        except _UNREADABLE as error:
            self.channel.set_aside(b"", f"what is kept of it cannot be read: {error}")
            self._remove_from_indices(tag).execute()  # type: ignore[no-untyped-call]

    def _redis_seconds(self) -> float:
        with self.channel.conn_or_acquire() as client:
            seconds, micros = client.time()
        return float(seconds + micros / 1e6)


class Channel(transport.Channel):
    """A channel with our connections, that sets aside what is no message of ours.

    It raises ConnectionError when it is used after its connection was closed: kombu 5.7 uses such
    a channel to requeue and acknowledge messages that were in flight when Redis went away. Its own
    AttributeError would end the worker; on ConnectionError kombu reconnects.
    """

    QoS = QoS
    found_nothing = False  # set when Redis answers that no message waits

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        self.address = connection.client.transport_options["address"]
        self.connection_class, self.connection_class_ssl = classes(self.address)
        super().__init__(connection, **kwargs)  # type: ignore[no-untyped-call]

    def set_aside(self, text: bytes, why: str) -> None:
        """Log and count a message that nobody can work on, and keep its beginning for a look."""
        log().warning("message set aside", reason=why, bytes=len(text))
        with suppress(redis.RedisError), self._plain().pipeline() as pipe:
            if text:
                pipe.lpush(KEY_PREFIX + REJECTED, text[:KEPT_BYTES])
                pipe.ltrim(KEY_PREFIX + REJECTED, 0, KEPT - 1)
            pipe.incr(KEY_PREFIX + REJECTED_COUNT)
            pipe.execute()

    def check(self) -> None:
        """Raise redis.ConnectionError unless Redis serves us."""
        fitness.require(self._plain())

    def _plain(self) -> redis.Redis:
        return redis.Redis(connection_pool=self.pool)

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except Empty:
            self.found_nothing = True
            raise

    def _get_client(self) -> Any:
        made = super()._get_client()  # type: ignore[no-untyped-call]
        return functools.partial(Client, faulty=self._is_faulty, **made.keywords)

    def _is_faulty(self, queue: Any, text: bytes) -> bool:
        if (fault := fault_of(text, _tasks())) is None:
            return False
        self.set_aside(text, fault)
        return True

    def _deliver_fanout_message(self, message: Any, exchange: str) -> Any:
        if (fault := fault_of_envelope(message)) is not None:
            self.set_aside(json.dumps(message, default=str).encode(), fault)
            return False
        return super()._deliver_fanout_message(message, exchange)  # type: ignore[no-untyped-call]

    def _connparams(self, asynchronous: bool = False) -> Any:
        if self.connection is None or self.connection.client is None:
            raise ConnectionError("this connection to the broker was closed")
        return super()._connparams(asynchronous)  # type: ignore[no-untyped-call]

    def _get_pool(self, asynchronous: bool = False) -> redis.ConnectionPool:
        params = self._connparams(asynchronous)
        self.keyprefix_fanout = self.keyprefix_fanout.format(db=params["db"])
        hosts = {"host", "port"} if self.address.service else set()
        return pool(self.address, **{k: v for k, v in params.items() if k not in hosts})


class Transport(transport.Transport):
    """kombu's transport with these channels; a connection counts once Redis serves us."""

    Channel = Channel

    def establish_connection(self) -> Any:
        made = super().establish_connection()  # type: ignore[no-untyped-call]
        try:
            self._avail_channels[-1].check()
        except Exception:
            self.close_connection(made)  # type: ignore[no-untyped-call]
            raise
        return made


@functools.cache
def _tasks() -> Tasks:
    from celery import current_app

    return {
        name: task.run
        for name, task in current_app.tasks.items()
        if name.startswith(KEY_PREFIX[:-1])
    }
