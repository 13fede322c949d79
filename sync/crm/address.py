"""The check of a store's URL: the only check between a person's input and our API keys.

A key is sent to the host in the URL. So the host must belong to RetailCRM or Simla, or the
operator must have named it in SYNC_ALLOW_HOSTS. Plain http is accepted for this machine only.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from sync.errors import BadRequest

# An account is always a subdomain; `retailcrm.io` carries the technical URLs of system-info. The
# others are those that the vendor's own transport library accepts, and simla.io.
DOMAINS = (
    "retailcrm.ru", "retailcrm.pro", "retailcrm.es", "retailcrm.io", "simla.com", "simla.io",
    "simlachat.com", "simlachat.ru", "ecomlogic.com",
)  # fmt: skip

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?")
_PATH = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*")
_EXAMPLE = "write it like https://demo.retailcrm.ru"


def check_url(url: str, *, allow_hosts: Iterable[str] = ()) -> str:
    """Return the account's URL in canonical form, or raise BadRequest.

    Canonical: lower case, no default port, no trailing slash. `allow_hosts` are bare host names,
    matched exactly. A path is accepted only for `allow_hosts` and this machine.
    """
    text = url.strip()
    # urlsplit silently drops tabs and line breaks, and browsers read "\" as "/".
    if not text or not text.isascii() or not text.isprintable() or set(text) & set(' \\"<>^`{|}'):
        raise BadRequest(f"The URL has characters that no account address has; {_EXAMPLE}")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise BadRequest(f"The URL's host or port cannot be read; {_EXAMPLE}") from None
    if parts.scheme not in {"https", "http"} or not host:
        raise BadRequest(f"The URL does not begin with https:// and a host; {_EXAMPLE}")
    if "@" in parts.netloc:
        raise BadRequest(f"The URL must not hold a user name or password; {_EXAMPLE}")
    if "?" in text or "#" in text:
        raise BadRequest(f"The URL must end before any ? or #; {_EXAMPLE}")
    if port == 0:
        raise BadRequest(f"The URL's port is 0; {_EXAMPLE}")

    path = parts.path.rstrip("/")
    _check_host(parts.scheme, host, path, frozenset(allow_hosts))
    shown = f"[{host}]" if ":" in host else host
    default = 443 if parts.scheme == "https" else 80
    return f"{parts.scheme}://{shown}{'' if port in {None, default} else f':{port}'}{path}"


def same_address(url: str) -> str:
    """Return a form that two spellings of one address share, whichever source they are from."""
    text = url.strip().rstrip("/")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return text
    return f"{host}{'' if port in {None, 80, 443} else f':{port}'}{parts.path}" if host else text


def _check_host(scheme: str, host: str, path: str, allowed: frozenset[str]) -> None:
    if scheme == "http":
        if not _is_loopback(host):
            raise BadRequest(f"Plain http is for this machine only; {_EXAMPLE}")
    elif not (_is_loopback(host) or host in allowed):
        if not _is_account(host):
            raise BadRequest(
                f"{host} is not on {', '.join(DOMAINS)}; if it is your own RetailCRM, name it in "
                "SYNC_ALLOW_HOSTS"
            )
        if path:
            raise BadRequest(f"The URL must be the account's address without a path; {_EXAMPLE}")
    if not _PATH.fullmatch(path):
        raise BadRequest(f"The URL's path cannot be used; {_EXAMPLE}")


def _is_account(host: str) -> bool:
    """Tell whether a host is a subdomain of DOMAINS, without trailing dot or punycode label."""
    labels = host.split(".")
    return (
        len(host) <= 253
        and ".".join(labels[-2:]) in DOMAINS
        and len(labels) > 2
        and all(_LABEL.fullmatch(label) and not label.startswith("xn--") for label in labels)
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    # Only the plain forms: libraries disagree whether `::ffff:127.0.0.1`, `::1%eth0` are loopback.
    return str(address) == host and (address.version == 4 or host == "::1") and address.is_loopback
