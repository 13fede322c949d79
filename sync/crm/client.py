"""The HTTP client: one attempt per call; answers.py turns an answer into a result or an error.

    client = CrmClient(connections=32)                # one per process, shared by its threads
    prepared = client.prepare(account, "orders", {"filter": {"ids": [1, 2]}, "limit": 100})
    answer = client.send(prepared, gate=gate)         # gate: when it may be written (wire.py)

The key is sent in `X-API-KEY` only. No repr, URL or error contains it. Tracebacks of raised errors
start in this module, because the frames below hold the headers in their variables.
"""

from __future__ import annotations

import re
import ssl
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from threading import BoundedSemaphore
from types import TracebackType
from typing import Any, Self

import httpx

from sync import __version__
from sync.crm.answers import PARKED_BYTES, meaning_of
from sync.crm.body import MAX_BODY_BYTES, Decoder, Undecodable, UnknownCoding
from sync.crm.query import query_of
from sync.crm.wire import ConnectionGone, Cut, Gate, GatedStandIn, GatedTransport, gated
from sync.errors import (
    BadRequest,
    SyncError,
    TooLarge,
    TooSlow,
    TryLater,
    UnexpectedData,
)
from sync.settings.surroundings import Proxy
from sync.telemetry import keep_secret, plain

HEAVY_BYTES = 2 * 1024 * 1024
HEAVY_AT_ONCE = 3
"""The most bodies above HEAVY_BYTES that all threads together read and decode at a time."""
_REFUSAL_BYTES = 256 * 1024
_KEY_CHARACTERS = 16
"""The least length of a key that cannot be mistaken for an ordinary word in an answer."""
_KEY = re.compile(r"[\x21-\x7e]+")
_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~%-]*(/[A-Za-z0-9._~%-]+)*")
# The one GET method that is not a read: it queues a recalculation in the account.
_NEVER = "statistic/update"


@dataclass(frozen=True, slots=True)
class Account:
    """An account's address and API key. `url` is in the form that check_url returns."""

    url: str
    api_key: str = field(repr=False)

    def __post_init__(self) -> None:
        if not _KEY.fullmatch(self.api_key):
            raise BadRequest("The API key is empty or has characters that no API key has")
        keep_secret(self.api_key)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that is built and encoded, ready to be sent in its slot."""

    account: Account
    path: str
    url: httpx.URL

    def __str__(self) -> str:
        """Return host and method path for messages, without the query."""
        return f"{self.url.host}{self.url.path}"


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer. `elapsed` is seconds from sending the request to the last byte."""

    data: dict[str, Any]
    status: int
    body: bytes = field(repr=False)
    elapsed: float


class CrmClient:
    """Keep-alive connections to every account, shared by all threads of one process.

    Create the client after the worker forked. `connections` must be at least the number of
    threads, because a request holds its connection while it waits for its slot. `egress_address`
    is the local address to send from, `proxy` the way to other machines. `first_byte_seconds`
    limits the silence before an answer begins (None: as `read_seconds`), `read_seconds` the silence
    between two receipts, `answer_seconds` the time from sending the request to the last byte.
    `transport` is for tests.
    """

    def __init__(
        self,
        *,
        connections: int = 64,
        connect_seconds: float = 5.0,
        first_byte_seconds: float | None = None,
        read_seconds: float = 30.0,
        answer_seconds: float = 120.0,
        idle_seconds: float = 30.0,
        egress_address: str = "",
        max_body_bytes: int = MAX_BODY_BYTES,
        tls: ssl.SSLContext | None = None,
        proxy: Proxy | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._max_body_bytes = max_body_bytes
        self._first_byte_seconds = first_byte_seconds or read_seconds
        self._read_seconds = read_seconds
        self._answer_seconds = answer_seconds
        self._heavy = BoundedSemaphore(HEAVY_AT_ONCE)
        wire: httpx.BaseTransport
        if transport is not None:
            wire = GatedStandIn(transport)
        else:
            wired = partial(
                GatedTransport,
                connections=connections,
                idle_seconds=idle_seconds,
                local_address=egress_address or None,
                tls=tls,
            )
            wire = wired()
        self._http = httpx.Client(
            transport=wire,
            mounts=None if proxy is None or transport else proxy.mounts(wired(proxy=proxy)),
            # A thread may wait for a connection as long as for a slot: those ahead wait for slots.
            timeout=httpx.Timeout(read_seconds, connect=connect_seconds, pool=answer_seconds),
            follow_redirects=False,
            trust_env=False,  # .netrc could add a password
            # A session cookie could be shared by two keys of one account.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={
                "User-Agent": f"retailcrm-mirror/{__version__}",
                "Accept": "application/json",
                "Accept-Encoding": "gzip, deflate",
            },
        )

    def prepare(
        self, account: Account, path: str, params: Mapping[str, Any] | None = None
    ) -> Prepared:
        """Build a GET. `path` is the method (`orders/history`) or a full path from `api/` on."""
        method = path.removeprefix("/").removeprefix("api/v5/")
        if not _PATH.fullmatch(method) or ".." in method:
            raise ValueError(f"{path!r} is not a method's path")
        if method == _NEVER:
            raise ValueError(f"{path!r} changes the account")
        prefix = "" if method.startswith("api/") else "api/v5/"
        query = query_of(params or {})
        text = f"{account.url}/{prefix}{method}" + (f"?{query}" if query else "")
        return Prepared(account, method, httpx.URL(text))

    def send(
        self, prepared: Prepared, *, gate: Gate | None = None, cut: Cut | None = None
    ) -> Answer:
        """Send the request once; return the successful answer or raise the error it stands for.

        `gate` decides the moment of sending: it runs when the connection is open and nothing is
        written yet. When the server has closed the idle connection meanwhile, nothing was sent, so
        a new connection is opened and the gate runs again. This still counts as one attempt.

        `cut` ends the answer while it is being read (wire.py).
        """
        outcome = self._attempt(prepared, gate, cut)
        while isinstance(outcome, ConnectionGone):
            outcome = self._attempt(prepared, gate, cut)
        if isinstance(outcome, Answer):
            return outcome
        # Raised outside of every `except`: with a context, frames of lower layers would be shown.
        raise outcome.with_traceback(None)

    def _attempt(
        self, prepared: Prepared, gate: Gate | None, cut: Cut | None
    ) -> Answer | Exception:
        timer = _Timer(gate, self._answer_seconds)
        has_begun = False
        with _Place(self._heavy) as place:
            try:
                with (
                    gated(
                        timer,
                        answer_seconds=self._answer_seconds,
                        first_byte_seconds=self._first_byte_seconds,
                        cut=cut,
                    ),
                    self._http.stream(
                        "GET", prepared.url, headers={"X-API-KEY": prepared.account.api_key}
                    ) as response,
                ):
                    has_begun = True
                    timer.insist()
                    body = self._read(response, timer, place, prepared)
                    status, headers = response.status_code, response.headers
            except httpx.ReadTimeout:
                return TooSlow(f"{prepared} {self._lateness(timer, has_begun=has_begun)}")
            except httpx.TimeoutException as error:
                return TryLater(f"{prepared} timed out ({type(error).__name__})")
            except httpx.HTTPError as error:
                return TryLater(f"{prepared} was out of reach: {type(error).__name__}: {error}")
            except (SyncError, ConnectionGone) as error:
                return error
            except Exception as error:  # noqa: BLE001  a bug; send raises it without the key
                error.add_note("".join(traceback.format_tb(error.__traceback__)))
                return error
            elapsed = timer.elapsed()
            # A proxy's error page may quote the request, and so may an account's answer.
            if not 200 <= status < 300 or len(prepared.account.api_key) >= _KEY_CHARACTERS:
                body = body.replace(prepared.account.api_key.encode(), b"[key]")
            try:
                data = meaning_of(status, headers, body, where=str(prepared), now=time.time())
            except SyncError as error:
                return error
        return Answer(data=data, status=status, body=body, elapsed=elapsed)

    def _lateness(self, timer: _Timer, *, has_begun: bool) -> str:
        """Say in words which limit of time an answer has passed."""
        if timer.left() <= 0:
            return f"did not finish its answer within {self._answer_seconds:g} s"
        if not has_begun and timer.elapsed() >= self._first_byte_seconds:
            return f"did not begin its answer within {self._first_byte_seconds:g} s"
        return f"sent nothing more of its answer for {self._read_seconds:g} s"

    def _read(
        self, response: httpx.Response, timer: _Timer, place: _Place, prepared: Prepared
    ) -> bytes:
        """Return the decoded body; raise when it is too long or takes too long.

        The status of a refusal is enough, so its body is cut and may be undecodable.
        """
        is_success = 200 <= response.status_code < 300
        most = self._max_body_bytes if is_success else min(_REFUSAL_BYTES, self._max_body_bytes)
        pieces: list[bytes] = []
        size = received = 0
        try:
            decoder = Decoder(response.headers.get_list("content-encoding", split_commas=True))
            for chunk in response.iter_raw():
                received += len(chunk)
                for piece in decoder.steps(chunk):
                    pieces.append(piece)
                    size += len(piece)
                    # Received bytes count too: they may decode to nothing.
                    if max(size, received) > most:
                        return self._cut(pieces, most, is_success, prepared)
                    if timer.left() < 0:
                        raise TooSlow(f"{prepared} {self._lateness(timer, has_begun=True)}")
                    if size > HEAVY_BYTES and not place.taken(timer.left()):
                        raise TryLater(f"{prepared}: too many large answers are being read")
        except UnknownCoding as coding:
            if is_success:
                raise UnexpectedData(
                    f"{prepared} answered in the coding {plain(coding, most=100)!r}"
                ) from None
        except Undecodable as error:
            if is_success:
                raise TryLater(f"{prepared} sent a body that cannot be decoded: {error}") from None
        return b"".join(pieces)

    def _cut(self, pieces: list[bytes], most: int, is_success: bool, prepared: Prepared) -> bytes:
        body = b"".join(pieces)
        if is_success:
            raise TooLarge(
                f"{prepared} answered with more than {most} bytes", body=body[:PARKED_BYTES]
            )
        return body[:most]

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        self.close()


class _Timer:
    """A gate around the caller's gate that records the moment of sending."""

    def __init__(self, gate: Gate | None, answer_seconds: float) -> None:
        self._gate = gate
        self._answer_seconds = answer_seconds
        self._sent = time.monotonic()
        self._passed = False

    def before(self) -> None:
        self._passed = True
        if self._gate is not None:
            self._gate.before()

    def after(self) -> None:
        self._sent = time.monotonic()
        if self._gate is not None:
            self._gate.after()

    def insist(self) -> None:
        """Raise when the request was written without its gate: the limit would not be kept."""
        if not self._passed:
            raise RuntimeError("a request was written without passing its gate (wire.py)")

    def elapsed(self) -> float:
        return time.monotonic() - self._sent

    def left(self) -> float:
        """Return the seconds that are left for the answer; negative when it is overdue."""
        return self._answer_seconds - self.elapsed()


class _Place:
    """One of the places for heavy bodies, held from the first `taken` to the end of the block."""

    def __init__(self, places: BoundedSemaphore) -> None:
        self._places = places
        self._is_held = False

    def taken(self, seconds: float) -> bool:
        """Wait up to `seconds` for a place; tell whether one is held."""
        if not self._is_held:
            self._is_held = self._places.acquire(timeout=max(seconds, 0))
        return self._is_held

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_held:
            self._places.release()
