"""Variables that are not ours and decide how accounts are reached: certificates and proxies.

SSL_CERT_FILE and SSL_CERT_DIR are read by the HTTP client (sync/crm/wire.py). HTTPS_PROXY and
NO_PROXY, or the same in lower case, are read here. A mistake in one would else be found by the
first request to an account, and be told as an outage of that account.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from sync.settings import server_urls

CERT_FILE = "SSL_CERT_FILE"
CERT_DIR = "SSL_CERT_DIR"
HTTPS_PROXY = "HTTPS_PROXY"
# A name, an address, perhaps a port. Networks (10.0.0.0/8) are not read: accounts have names.
_DIRECT = re.compile(r"[A-Za-z0-9_.:*-]+")
_HERE = ("localhost", "127.0.0.1", "::1")


def mistakes(environ: Mapping[str, str]) -> list[str]:
    """Return a sentence for each variable that cannot be used."""
    told = _certificates(environ)
    try:
        proxy(environ)
    except ValueError as error:
        told.append(
            f"{HTTPS_PROXY} cannot be used ({error}); write the URL of an http proxy that takes"
            " CONNECT, e.g. http://proxy.example.com:3128, or leave it out."
        )
    return told


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Proxy:
    """An http proxy that makes tunnels to https hosts. `direct` are hosts reached without it."""

    url: str
    auth: tuple[str, str] | None = field(default=None, repr=False)
    direct: tuple[str, ...] = ()

    def mounts(self, transport: T) -> dict[str, T | None]:
        """Return httpx's table of ways: `transport` for https, None for hosts without proxy."""
        table: dict[str, T | None] = {"https://": transport}
        for host in (*_HERE, *self.direct):
            table[f"all://{_pattern(host)}"] = None
        return table


def proxy(environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy that the environment names; ValueError for one that cannot be used."""
    text = _either(environ, HTTPS_PROXY)
    hosts = [host.strip() for host in _either(environ, "NO_PROXY").split(",")]
    if not text or "*" in hosts:
        return None
    url = server_urls.split(text if "://" in text else f"http://{text}", ("http",))
    if len(url.hosts) != 1 or not url.hosts[0].name or url.name or url.options:
        raise ValueError("it is not the address of a proxy alone")
    auth = (url.user, url.password) if url.user else None
    if auth and not "".join(auth).isascii():
        raise ValueError("its user or password is not ASCII")
    return Proxy(f"http://{url.hosts[0]}", auth, tuple(filter(_DIRECT.fullmatch, hosts)))


def _either(environ: Mapping[str, str], name: str) -> str:
    """Return a variable in lower or upper case; lower goes first, as with curl."""
    return environ.get(name.lower(), "").strip() or environ.get(name, "").strip()


def _pattern(host: str) -> str:
    """Return a host of NO_PROXY as httpx writes it; a name stands for its subdomains as well."""
    name = host.removeprefix("*").removeprefix(".")
    try:
        is_v6 = ipaddress.ip_address(name).version == 6
    except ValueError:
        return name if name == "localhost" else f"*{name}"
    return f"[{name}]" if is_v6 else name


def _certificates(environ: Mapping[str, str]) -> list[str]:
    if file := environ.get(CERT_FILE, ""):
        try:
            ssl.create_default_context(cafile=file)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            is_read = isinstance(error, ssl.SSLError)
            reason = "it has no certificate in PEM form" if is_read else _reason(error)
            return [
                f'{CERT_FILE} is "{file}", which cannot be used ({reason}); write the path of a'
                " file of certificates that this user can read, or leave it out."
            ]
    elif (folder := environ.get(CERT_DIR, "")) and not Path(folder).is_dir():
        return [f'{CERT_DIR} is "{folder}", which is not a folder; correct it, or leave it out.']
    return []


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or "it is not a path"
