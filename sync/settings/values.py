"""Checks of the values that an operator writes: they return one canonical form or raise ValueError.

Values that are not text pass unchanged: a default, or a value from a test.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

GATEWAY = "gateway"
"""The word in SYNC_WEB_PROXIES for the container's gateway, from which its host connects."""
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9])?")
_EGRESS = re.compile(r"[A-Za-z0-9._-]{1,64}")


def _split(url: str, schemes: Mapping[str, str]) -> str:
    """Check a URL; return it with the scheme that our libraries use. Messages never quote it."""
    scheme, separator, _ = url.partition("://")
    if not separator or scheme.lower() not in schemes:
        known = " or ".join(f"{known}://" for known in schemes)
        raise ValueError(f"it does not begin with {known}")
    try:
        parts = urlsplit(url)
        _ = parts.port  # parsed only when read
    except ValueError:
        raise ValueError(
            "its host or port cannot be read; special characters of a password are written as "
            "%-codes (@ is %40, / is %2F, # is %23)"
        ) from None
    return urlunsplit(parts._replace(scheme=schemes[scheme.lower()]))


def database_url(text: Any) -> Any:
    schemes = ("postgresql", "postgres", "postgresql+psycopg")
    if not isinstance(text, str):
        return text
    url = _split(text, dict.fromkeys(schemes, "postgresql+psycopg"))
    # urlunsplit drops the empty host of a socket URL (postgresql:///mirror?host=/run).
    return url if "://" in url else url.replace(":", "://", 1)


def redis_url(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    url = _split(text, {"redis": "redis", "rediss": "rediss"})
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError("it names no host")
    if not re.fullmatch(r"/?\d*", parts.path):
        raise ValueError("what follows the host is not a database number, e.g. /0")
    return url


def sentry_dsn(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    url = _split(text, {"https": "https", "http": "http"})
    if not urlsplit(url).username or not urlsplit(url).hostname:
        raise ValueError("it has no public key before the host")
    return url


def webhook_url(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    url = _split(text, {"https": "https", "http": "http"})
    host = urlsplit(url).hostname
    if not host:
        raise ValueError("it names no host")
    if url.startswith("http:") and host not in {"localhost", "127.0.0.1", "::1"}:
        raise ValueError("plain http goes only to this machine")
    return url


def endpoint(text: Any) -> Any:
    if not isinstance(text, str) or not text:
        return text
    url = _split(text, {"https": "https", "http": "http"})
    if not urlsplit(url).hostname:
        raise ValueError("it names no host")
    return url.rstrip("/")


def secret_text(text: Any) -> Any:
    if isinstance(text, str) and (len(text) < 20 or not text.isascii() or not text.isprintable()):
        raise ValueError("it has fewer than 20 plain characters")
    return text


def secret_key(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    secret_bytes(text)
    return text


def secret_bytes(text: str) -> bytes:
    """Decode a SYNC_SECRET_KEY into its 32 bytes; ValueError with the reason."""
    # Python accepts + and / even with `altchars`, but never a space.
    text = text.replace("+", " ").replace("/", " ")
    try:
        raw = base64.b64decode(text, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("it is not url-safe base64") from None
    if len(raw) != 32:
        raise ValueError(f"it holds {len(raw)} bytes instead of 32")
    return raw


def hosts(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    hosts = [host.strip().lower() for host in text.split(",") if host.strip()]
    for host in hosts:
        if not _HOST.fullmatch(host):
            told = "one of them" if "@" in host else f'"{host}"'
            raise ValueError(f"{told} is not a bare host name")
    return tuple(dict.fromkeys(hosts))


def egress(text: Any) -> Any:
    if isinstance(text, str) and not _EGRESS.fullmatch(text):
        raise ValueError("it becomes part of Redis keys")
    return text


def address(text: Any) -> Any:
    if isinstance(text, str) and text:
        try:
            return str(ipaddress.ip_address(text))
        except ValueError:
            raise ValueError("it is not an IP address") from None
    return text


def proxies(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    found = []
    for each in (part.strip() for part in text.split(",")):
        if each == GATEWAY:
            found.append(each)
        elif each:
            try:
                network = ipaddress.ip_network(each)
            except ValueError:
                raise ValueError("one of them is no IP address or network") from None
            if network.prefixlen == 0:
                raise ValueError("whoever it is would be believed")
            found.append(each)
    return tuple(dict.fromkeys(found))
