"""Tokens, sessions, CSRF, log-in attempts, proxies, and the headers of every answer.

A session is a signed cookie with its end and a random number. The key is derived from the token
that was typed, so a new token ends its sessions. Only sessions that were logged out are stored,
until they would have ended (sync/state/ended_sessions.py).
"""

from __future__ import annotations

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
from enum import Enum
from pathlib import Path
from threading import Lock
from typing import Any

from itsdangerous import BadData, Signer, URLSafeSerializer

from sync.settings import GATEWAY
from sync.telemetry import log

SESSION_SECONDS = 12 * 3600
KNOWN_SECONDS = 90 * 86_400
"""Seconds for which a browser in which an operator logged in is told from a stranger's."""
TRIES, TRIES_SECONDS = 5, 60.0
"""Failed attempts of one address before that address has to wait."""
TRIES_OF_ALL = 60
"""Failed attempts of all addresses together, from which on strangers take turns (door.py)."""

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


class Role(Enum):
    """Rights that a token gives on the pages."""

    OPERATE = "operate"
    READ = "read"


@dataclass(frozen=True, slots=True)
class Session:
    """A logged-in person. `csrf` has to come with every form."""

    number: int
    ends_at: int
    csrf: str
    role: Role


class _Signed:
    """Signatures under one token; `salt` keeps one kind from being used as another."""

    def __init__(self, token: str) -> None:
        how: dict[str, Any] = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
        self.token = token
        self.session = URLSafeSerializer(token.encode(), salt="session", signer_kwargs=how)
        self.known = URLSafeSerializer(token.encode(), salt="known", signer_kwargs=how)
        self.message = URLSafeSerializer(token.encode(), salt="message", signer_kwargs=how)
        self.csrf = Signer(token.encode(), salt="csrf", **how)


class Sessions:
    """Makes and reads sessions, each under the token that was typed for it."""

    def __init__(
        self,
        token: str | None,
        *,
        read_token: str | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        tokens = {Role.OPERATE: token, Role.READ: read_token}
        self._signed = {role: _Signed(text) for role, text in tokens.items() if text}
        self._now = now
        self._ended: dict[int, int] = {}
        self._lock = Lock()

    def role_of(self, text: str) -> Role | None:
        """Return what a token lets its bearer do; None for one that is none of ours."""
        found = [role for role, each in self._signed.items() if is_same_text(text, each.token)]
        return found[0] if found else None

    def begin(self, role: Role = Role.OPERATE) -> str:
        """Return the cookie of a new session."""
        ends_at = int(self._now()) + SESSION_SECONDS
        return str(self._signed[role].session.dumps([ends_at, secrets.randbits(63)]))

    def read(self, cookie: str) -> Session | None:
        """Return the session of a cookie; None when it is forged, over, or logged out here."""
        for role, signed in self._signed.items():
            try:
                ends_at, number = signed.session.loads(cookie)
            except BadData:
                continue
            if ends_at < self._now() or number in self._ended:
                return None
            csrf = signed.csrf.get_signature(str(number)).decode()
            return Session(number, ends_at, csrf, role)
        return None

    def end(self, session: Session) -> None:
        """Log out: the cookie is refused from now on."""
        with self._lock:
            now = self._now()
            self._ended = {n: at for n, at in self._ended.items() if at > now}
            self._ended[session.number] = session.ends_at

    def know(self) -> str:
        """Return a cookie that tells an operator's browser from a stranger's."""
        ends_at = int(self._now()) + KNOWN_SECONDS
        signed = self._signed[Role.OPERATE]
        return str(signed.known.dumps([ends_at, secrets.token_urlsafe(16)]))

    def known(self, cookie: str) -> str | None:
        """Return the number of an operator's browser; None for a stranger's."""
        if Role.OPERATE not in self._signed:
            return None
        try:
            ends_at, number = self._signed[Role.OPERATE].known.loads(cookie)
        except BadData:
            return None
        return None if ends_at < self._now() else str(number)

    def seal(self, text: str) -> str:
        """Sign a short message for the next page; it travels in a cookie."""
        return str(next(iter(self._signed.values())).message.dumps(text))

    def unseal(self, cookie: str) -> str:
        """Return the message of a signed cookie; empty when the signature is wrong."""
        try:
            return str(next(iter(self._signed.values())).message.loads(cookie))
        except BadData:
            return ""


def is_same(csrf: str, session: Session) -> bool:
    """Tell whether a form's CSRF token belongs to this session."""
    return is_same_text(csrf, session.csrf)


def is_same_text(one: str, other: str) -> bool:
    """Compare two secrets; how long it takes tells neither where they differ nor their length."""
    return hmac.compare_digest(
        hashlib.sha256(one.encode("utf-8", "replace")).digest(),
        hashlib.sha256(other.encode("utf-8", "replace")).digest(),
    )


class Tries:
    """The failed attempts of the last minute."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._failed: deque[tuple[float, str]] = deque()
        self._lock = Lock()

    def wait_seconds(self, address: str) -> float:
        """Return the seconds a stranger of this address has to wait; 0 for none."""
        own = self.own_seconds(address)
        with self._lock:
            now = self._drop_old()
            if own or len(self._failed) < TRIES_OF_ALL:
                return own
            return max(self._failed[0][0] + TRIES_SECONDS - now, 1.0)

    def own_seconds(self, address: str) -> float:
        """Return the seconds this address has to wait because of its own failures; 0 for none."""
        with self._lock:
            now = self._drop_old()
            mine = [at for at, who in self._failed if who == address]
            return max(mine[-TRIES] + TRIES_SECONDS - now, 1.0) if len(mine) >= TRIES else 0.0

    def failed(self, address: str) -> None:
        """Count a failed attempt."""
        with self._lock:
            self._failed.append((self._drop_old(), address))

    def _drop_old(self) -> float:
        now = self._monotonic()
        while self._failed and self._failed[0][0] <= now - TRIES_SECONDS:
            self._failed.popleft()
        return now


def counted_as(address: str) -> str:
    """Return what an address is counted as: of IPv6 the network that one customer is given."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found.packed[:8] + bytes(8), 64)))
    return str(found)


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
