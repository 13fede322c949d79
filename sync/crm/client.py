"""The HTTP client: one attempt per call, every answer given its meaning (answers.py).

    client = CrmClient(connections=32)                # one per process, shared by its threads
    prepared = client.prepare(account, "orders", {"filter": {"ids": [1, 2]}, "limit": 100})
    answer = client.send(prepared, gate=gate)         # gate: when it may be written (wire.py)

The key travels in `X-API-KEY` only. It is in no repr, no URL, no error; and what is raised
starts its traceback here, since the frames below hold the headers in their variables.
"""

from __future__ import annotations

import re
import ssl
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from threading import BoundedSemaphore
from types import TracebackType
from typing import Any, Self

import httpx

from sync import __version__
from sync.crm.answers import meaning_of
from sync.crm.body import Decoder, Undecodable, UnknownCoding
from sync.crm.query import query_of
from sync.crm.wire import ConnectionGone, Gate, GatedStandIn, GatedTransport, gated
from sync.errors import BadRequest, SyncError, TryLater, UnexpectedData
from sync.telemetry import keep_secret, plain

MAX_BODY_BYTES = 16 * 1024 * 1024
"""Pages are of 0.2 to 1 MB; decoded, a byte of JSON may take 20 of memory."""
HEAVY_BYTES = 2 * 1024 * 1024
HEAVY_AT_ONCE = 3
"""Bodies that grow beyond HEAVY_BYTES are read and decoded so many at a time, by all threads."""
_REFUSAL_BYTES = 256 * 1024
_PARKED_BYTES = 64 * 1024
_KEY_CHARACTERS = 16
"""From this length on a key is told from an ordinary word of a good answer."""
_KEY = re.compile(r"[\x21-\x7e]+")
_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~%-]*(/[A-Za-z0-9._~%-]+)*")
# It queues a recalculation at the account: the one GET that is not a read.
_NEVER = "statistic/update"


@dataclass(frozen=True, slots=True)
class Account:
    """Where an account answers and the key it is read with. `url` as check_url returns it."""

    url: str
    api_key: str = field(repr=False)

    def __post_init__(self) -> None:
        if not _KEY.fullmatch(self.api_key):
            raise BadRequest("The API key is empty or has characters that no API key has")
        keep_secret(self.api_key)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request built and encoded, ready to be written in its slot."""

    account: Account
    path: str
    url: httpx.URL

    def __str__(self) -> str:
        """Host and method path, for messages: never the query."""
        return f"{self.url.host}{self.url.path}"


@dataclass(frozen=True, slots=True)
class Answer:
    """A success. `data` has exact numbers (decode.py); `elapsed` is seconds from send to end."""

    data: dict[str, Any]
    status: int
    body: bytes = field(repr=False)
    elapsed: float


class CrmClient:
    """Keep-alive connections to every account, shared by all threads of one process.

    Make it after the worker forked. `connections` is at least the number of threads, since a
    request holds its connection while it waits for its slot. `egress_address` is the local
    address to leave from; `read_seconds` is the longest silence, `answer_seconds` the longest
    whole answer, from the request's leaving to the last byte. `transport` is for tests.
    """

    def __init__(
        self,
        *,
        connections: int = 64,
        connect_seconds: float = 5.0,
        read_seconds: float = 30.0,
        answer_seconds: float = 120.0,
        idle_seconds: float = 30.0,
        egress_address: str = "",
        max_body_bytes: int = MAX_BODY_BYTES,
        tls: ssl.SSLContext | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._max_body_bytes = max_body_bytes
        self._answer_seconds = answer_seconds
        self._heavy = BoundedSemaphore(HEAVY_AT_ONCE)
        wire: httpx.BaseTransport
        if transport is not None:
            wire = GatedStandIn(transport)
        else:
            wire = GatedTransport(
                connections=connections,
                idle_seconds=idle_seconds,
                local_address=egress_address or None,
                tls=tls,
            )
        self._http = httpx.Client(
            transport=wire,
            # The pool is waited for as long as a slot may be: a thread in front is only queueing.
            timeout=httpx.Timeout(read_seconds, connect=connect_seconds, pool=answer_seconds),
            follow_redirects=False,
            trust_env=False,  # a proxy would be another egress, .netrc another key
            # A session cookie would tie two keys of one account together.
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
        """Build a GET. `path` is the method (`orders/history`), or in full from `/api/` on."""
        method = path.removeprefix("/").removeprefix("api/v5/")
        if not _PATH.fullmatch(method) or ".." in method:
            raise ValueError(f"{path!r} is not a method's path")
        if method == _NEVER:
            raise ValueError(f"{path!r} changes the account")
        prefix = "" if method.startswith("api/") else "api/v5/"
        query = query_of(params or {})
        text = f"{account.url}/{prefix}{method}" + (f"?{query}" if query else "")
        return Prepared(account, method, httpx.URL(text))

    def send(self, prepared: Prepared, *, gate: Gate | None = None) -> Answer:
        """Send once and return the success, or raise what the answer means.

        `gate` decides the moment: it runs when the connection is open and nothing is written.
        When the server has closed an idle connection meanwhile, nothing was sent, so a new
        connection is opened and the gate asked again: still one attempt.
        """
        outcome = self._attempt(prepared, gate)
        while isinstance(outcome, ConnectionGone):
            outcome = self._attempt(prepared, gate)
        if isinstance(outcome, Answer):
            return outcome
        # Outside of every `except`: no context, so no frame of the layers below comes along.
        raise outcome.with_traceback(None)

    def _attempt(self, prepared: Prepared, gate: Gate | None) -> Answer | Exception:
        timer = _Timer(gate, self._answer_seconds)
        with _Place(self._heavy) as place:
            try:
                with (
                    gated(timer, answer_seconds=self._answer_seconds),
                    self._http.stream(
                        "GET", prepared.url, headers={"X-API-KEY": prepared.account.api_key}
                    ) as response,
                ):
                    timer.insist()
                    body = self._read(response, timer, place, prepared)
                    status, headers = response.status_code, response.headers
            except httpx.TimeoutException as error:
                return TryLater(f"{prepared} timed out ({type(error).__name__})")
            except httpx.HTTPError as error:
                return TryLater(f"{prepared} was out of reach: {type(error).__name__}: {error}")
            except (SyncError, ConnectionGone) as error:
                return error
            except Exception as error:  # noqa: BLE001  a bug; raised again by send, minus the key
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

    def _read(
        self, response: httpx.Response, timer: _Timer, place: _Place, prepared: Prepared
    ) -> bytes:
        """The body, unless it is endless: neither memory nor a thread is given to it.

        A refusal is told by its status, so of its body only a beginning that can be read counts.
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
                    # Also what decodes to nothing has an end.
                    if max(size, received) > most:
                        return self._cut(pieces, most, is_success, prepared)
                    if timer.left() < 0:
                        raise TryLater(
                            f"{prepared} did not end its answer in {self._answer_seconds} s"
                        )
                    if size > HEAVY_BYTES and not place.taken(timer.left()):
                        raise TryLater(f"{prepared}: too many answers as big are being read")
        except UnknownCoding as coding:
            if is_success:
                raise UnexpectedData(
                    f"{prepared} answered in the coding {plain(coding, most=100)!r}"
                ) from None
        except Undecodable as error:
            if is_success:
                raise TryLater(f"{prepared} answered what cannot be decoded: {error}") from None
        return b"".join(pieces)

    def _cut(self, pieces: list[bytes], most: int, is_success: bool, prepared: Prepared) -> bytes:
        body = b"".join(pieces)
        if is_success:
            raise UnexpectedData(
                f"{prepared} answered with more than {most} bytes", body=body[:_PARKED_BYTES]
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
    """A gate around the caller's, which notes the moment of sending."""

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
        """An answer to a request that passed no gate means this budget is no longer kept."""
        if not self._passed:
            raise RuntimeError("a request was written without passing its gate (wire.py)")

    def elapsed(self) -> float:
        return time.monotonic() - self._sent

    def left(self) -> float:
        """Seconds the answer still has."""
        return self._answer_seconds - self.elapsed()


class _Place:
    """One of the places for heavy bodies, held from when it is needed to the end of the block."""

    def __init__(self, places: BoundedSemaphore) -> None:
        self._places = places
        self._is_held = False

    def taken(self, seconds: float) -> bool:
        """Whether a place is held; waits so long for one."""
        if not self._is_held:
            self._is_held = self._places.acquire(timeout=max(seconds, 0))
        return self._is_held

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_held:
            self._places.release()
