"""Checks of the values that an operator writes: they return one canonical form or raise ValueError.

Values that are not text pass unchanged: a default, or a value from a test.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import ipaddress
import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from sync.settings import redis_address, server_urls

GATEWAY = "gateway"
"""The word in SYNC_WEB_PROXIES for the container's gateway, from which its host connects."""
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9])?")
_EGRESS = re.compile(r"[A-Za-z0-9._-]{1,64}")


def _web_address(url: str) -> str:
    """Check an http URL; return it with its scheme in lower case. Messages never quote it."""
    scheme, separator, _ = url.partition("://")
    if not separator or scheme.lower() not in {"https", "http"}:
        raise ValueError("it does not begin with https:// or http://")
    try:
        parts = urlsplit(url)
        _ = parts.port  # parsed only when read
    except ValueError:
        raise server_urls.Unreadable from None
    return urlunsplit(parts._replace(scheme=scheme.lower()))


def database_url(text: Any) -> Any:
    return server_urls.database(text) if isinstance(text, str) else text


def redis_url(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    for option, path in redis_address.parse(text).files.items():
        if not os.access(path, os.R_OK):
            raise ValueError(f'its {option} names "{path}", which this user cannot read')
    return text


def sentry_dsn(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    url = _web_address(text)
    if not urlsplit(url).username or not urlsplit(url).hostname:
        raise ValueError("it has no public key before the host")
    return url


def webhook_url(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    url = _web_address(text)
    host = urlsplit(url).hostname
    if not host:
        raise ValueError("it names no host")
    if url.startswith("http:") and host not in {"localhost", "127.0.0.1", "::1"}:
        raise ValueError("plain http goes only to this machine")
    return url


def endpoint(text: Any) -> Any:
    if not isinstance(text, str) or not text:
        return text
    url = _web_address(text)
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


def secrets_in(text: str) -> Iterator[str]:
    """Yield a secret setting itself, and the secrets that it has as a URL."""
    yield text
    scheme, separator, _ = text.partition("://")
    if separator:
        with contextlib.suppress(ValueError):
            parts = server_urls.split(text, (scheme.lower(),))
            # The user of a web address is a key, as in Sentry's.
            yield parts.password or (parts.user if scheme.lower().startswith("http") else "")
            yield from (each for name, each in parts.options.items() if "password" in name)


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
                raise ValueError("it would trust every address")
            found.append(each)
    return tuple(dict.fromkeys(found))
