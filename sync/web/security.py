"""Sessions, CSRF, log-in attempts, proxies, and the headers of every answer.

A session is a signed cookie with its end and a random number. The key is derived from
SYNC_WEB_TOKEN, so a new token ends all sessions. Only sessions that were logged out are stored,
until they would have ended.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import secrets
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from sync.settings import GATEWAY
from sync.telemetry import log

SESSION_SECONDS = 12 * 3600
TRIES, TRIES_SECONDS = 5, 60.0
"""Failed log-ins of one address before that address has to wait."""
TRIES_OF_ALL = 60
"""Failed log-ins of all addresses together, so that using many addresses does not help."""

ROUTES = Path("/proc/net/route")

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Session:
    """A logged-in person. `csrf` has to come with every action."""

    number: str
    ends_at: int
    csrf: str


class Sessions:
    """Makes and reads sessions under one token; each worker process knows its own log-outs only."""

    def __init__(self, token: str, *, now: Callable[[], float] = time.time) -> None:
        self._token = token.encode()
        self._key = hmac.digest(self._token, b"sync.web session", "sha256")
        self._now = now
        self._ended: dict[str, int] = {}
        self._lock = Lock()

    def is_token(self, text: str) -> bool:
        """Tell whether this is the token, in constant time."""
        return hmac.compare_digest(
            hashlib.sha256(text.encode("utf-8", "replace")).digest(),
            hashlib.sha256(self._token).digest(),
        )

    def begin(self) -> str:
        """Return the cookie of a new session."""
        about = f"{int(self._now()) + SESSION_SECONDS}.{secrets.token_urlsafe(16)}"
        return f"{about}.{self._sign('session', about)}"

    def read(self, cookie: str) -> Session | None:
        """Return the session of a cookie; None when it is forged, expired, or logged out."""
        about, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._sign("session", about).encode()):
            return None
        ends, _, number = about.partition(".")
        if int(ends) < self._now() or number in self._ended:
            return None
        return Session(number, int(ends), self._sign("csrf", number))

    def end(self, session: Session) -> None:
        """Log out: the cookie is refused from now on."""
        with self._lock:
            now = self._now()
            self._ended = {n: at for n, at in self._ended.items() if at > now}
            self._ended[session.number] = session.ends_at

    def seal(self, text: str) -> str:
        """Sign a short message for the next page; it travels in a cookie."""
        body = base64.urlsafe_b64encode(text.encode()).decode()
        return f"{body}.{self._sign('said', body)}"

    def unseal(self, cookie: str) -> str:
        """Return the message of a signed cookie; empty when the signature is wrong."""
        body, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._sign("said", body).encode()):
            return ""
        return base64.urlsafe_b64decode(body).decode("utf-8", "replace")

    def _sign(self, what: str, about: str) -> str:
        return hmac.new(self._key, f"{what}:{about}".encode(), "sha256").hexdigest()


def is_same(csrf: str, session: Session) -> bool:
    """Tell whether a form's CSRF token belongs to this session."""
    return hmac.compare_digest(csrf.encode("utf-8", "replace"), session.csrf.encode())


class Tries:
    """The failed log-in attempts of the last minute."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._failed: deque[tuple[float, str]] = deque()
        self._lock = Lock()

    def wait_seconds(self, address: str) -> float:
        """Return the seconds this address has to wait before its next attempt; 0 for none."""
        with self._lock:
            now = self._drop_old()
            mine = [at for at, who in self._failed if who == address]
            if len(mine) < TRIES and len(self._failed) < TRIES_OF_ALL:
                return 0.0
            oldest = mine[-TRIES] if len(mine) >= TRIES else self._failed[0][0]
            return max(oldest + TRIES_SECONDS - now, 1.0)

    def failed(self, address: str) -> None:
        """Count a failed attempt."""
        with self._lock:
            self._failed.append((self._drop_old(), address))

    def _drop_old(self) -> float:
        now = self._monotonic()
        while self._failed and self._failed[0][0] <= now - TRIES_SECONDS:
            self._failed.popleft()
        return now


def is_secure(scheme: str, *, origin: str, host: str) -> bool:
    """Tell whether a cookie is marked `Secure`, so that it is sent over https only.

    A proxy that speaks https may not have told us so. The Origin of a form is the browser's own
    statement of its scheme; over plain http the browser would drop a Secure cookie. Without Origin
    https is assumed, except on this machine itself.
    """
    if scheme == "https" or origin.startswith("https://"):
        return True
    return not origin.startswith("http://") and not is_loopback(host)


def trusted(proxies: Sequence[str]) -> list[str]:
    """Return the proxies of the settings as addresses and networks."""
    found = [each for each in proxies if each != GATEWAY]
    if len(found) < len(proxies):
        address = gateway(ROUTES.read_text("ascii") if ROUTES.exists() else "")
        if address is None:
            log().warning("this machine has no gateway: the proxy is not known", proxies=found)
        else:
            found.append(address)
    return found


def gateway(routes: str) -> str | None:
    """Return the default gateway in /proc/net/route; inside a container this is the host."""
    for line in routes.splitlines()[1:]:
        _, destination, address, flags, *_ = line.split()
        if int(destination, 16) == 0 and int(flags, 16) & 2:  # RTF_GATEWAY
            return socket.inet_ntoa(struct.pack("=L", int(address, 16)))
    return None


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address, with or without a port, is this machine's own."""
    if host.startswith("["):
        name = host[1:].partition("]")[0]
    else:
        name = host.rpartition(":")[0] if host.count(":") == 1 else host
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
