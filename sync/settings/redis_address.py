"""The address in SYNC_REDIS_URL, for the request budget's client and for Celery's.

redis://user:password@host:6379/0
rediss://…?ssl_ca_certs=/path/ca.pem            TLS; certificate and host name are verified
redis+sentinel://user:password@one:26379,two:26379,three:26379/mymaster/0
rediss+sentinel://…                             TLS to the Sentinels and to Redis
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sync.settings import server_urls

PORT, SENTINEL_PORT = 6379, 26379
SCHEMES = ("redis", "rediss", "redis+sentinel", "rediss+sentinel")
_TLS_OPTIONS = ("ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile",
                "ssl_check_hostname")  # fmt: skip
_SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")
_CERT_REQS = {"required": "required", "none": "none",
              "cert_required": "required", "cert_none": "none"}  # fmt: skip
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """A Redis and how to log in to it. Without Sentinel `service` is empty and `hosts` has one.

    `tls` has redis-py's own `ssl_…` parameters; None for a connection in the clear. `sentinel` has
    the user name and password for the Sentinels themselves.
    """

    hosts: tuple[tuple[str, int], ...]
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    service: str = ""
    tls: Mapping[str, object] | None = None
    sentinel: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def is_verified(self) -> bool:
        """Tell whether TLS shows who answers; true without TLS, which claims nothing."""
        return self.tls is None or (
            self.tls["ssl_cert_reqs"] == "required" and self.tls["ssl_check_hostname"] is True
        )

    @property
    def files(self) -> dict[str, str]:
        """The files that the URL names, by option."""
        tls = self.tls or {}
        return {
            name: str(tls[name])
            for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
            if name in tls
        }

    @property
    def shown(self) -> str:
        """Hosts and database, without user or password, for messages."""
        hosts = ",".join(f"{host}:{port}" for host, port in self.hosts)
        return f"{hosts}/{self.service}/{self.db}" if self.service else f"{hosts}/{self.db}"

    def __json__(self) -> str:
        """Return what `celery inspect stats` shows of it."""
        return self.shown


def parse(url: str) -> RedisAddress:
    """Take a URL apart; ValueError, which never quotes the URL, says what is wrong with it."""
    parts = server_urls.split(url, SCHEMES)
    has_sentinels = parts.scheme.endswith("+sentinel")
    has_tls = parts.scheme.startswith("rediss")
    service, db = _path(parts.name or parts.options.get("db", ""), has_sentinels=has_sentinels)
    options = _options(parts.options, tls=has_tls, sentinel=has_sentinels)
    port = SENTINEL_PORT if has_sentinels else PORT
    return RedisAddress(
        hosts=_hosts(parts.hosts, default=port, many=has_sentinels),
        db=db,
        username=parts.user or None,
        password=parts.password or None,
        service=service,
        tls=_tls(options) if has_tls else None,
        sentinel={
            name.removeprefix("sentinel_"): options[name]
            for name in _SENTINEL_OPTIONS
            if name in options
        },
    )


def _hosts(
    hosts: Sequence[server_urls.Host], *, default: int, many: bool
) -> tuple[tuple[str, int], ...]:
    if not hosts or any(not host.name or host.name.startswith(("/", "@")) for host in hosts):
        raise ValueError("it names no host")
    if len(hosts) > 1 and not many:
        raise ValueError(
            "it names several hosts: for Sentinel write redis+sentinel://host,host/MASTER/0; "
            "Redis Cluster cannot be used"
        )
    return tuple((host.name, host.port or default) for host in hosts)


def _path(path: str, *, has_sentinels: bool) -> tuple[str, int]:
    names = [name for name in path.split("/") if name]
    service = ""
    if has_sentinels:
        if not names or names[0].isdigit():
            raise ValueError(
                "it does not name the master that the Sentinels watch: …/mymaster or …/mymaster/0"
            )
        service, names = names[0], names[1:]
    if len(names) > 1 or not all(re.fullmatch(r"\d{1,4}", name) for name in names):
        what = "master" if has_sentinels else "host"
        raise ValueError(f"what follows the {what} is not a database number, e.g. /0")
    return service, int(names[0]) if names else 0


def _options(given: Mapping[str, str], *, tls: bool, sentinel: bool) -> dict[str, str]:
    found = {name: value for name, value in given.items() if name != "db"}
    if not tls and (wrong := [name for name in found if name in _TLS_OPTIONS]):
        raise ValueError(f"its option ?{wrong[0]}= needs rediss://")
    known = (_TLS_OPTIONS if tls else ()) + (_SENTINEL_OPTIONS if sentinel else ())
    server_urls.require_known(found, frozenset(known))
    return found


def _tls(options: Mapping[str, str]) -> dict[str, object]:
    """Return redis-py's parameters: everything is verified unless the URL says otherwise."""
    told = options.get("ssl_cert_reqs", "required")
    if (required := _CERT_REQS.get(told.lower())) is None:
        raise ValueError("its ssl_cert_reqs is neither required nor none")
    checks = _TRUTH.get(options.get("ssl_check_hostname", "true").lower())
    if checks is None:
        raise ValueError("its ssl_check_hostname is neither true nor false")
    files = {name: options[name] for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
             if name in options}  # fmt: skip
    return {
        "ssl_cert_reqs": required,
        "ssl_check_hostname": checks and required == "required",
        **files,
    }
