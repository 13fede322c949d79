"""The one parser of the URLs of Postgres and Redis (redis_address.py has more of the latter).

SQLAlchemy, libpq, redis-py and kombu each have a parser of their own, and they disagree about a raw
`@` in a password, several hosts, sockets and plus signs. So the text of an operator is taken apart
here alone. What leaves is quoted, and lists its hosts the one way all agree on.

Errors are ValueErrors in words. They quote no part of the URL but the name of an option: whatever
is misread may be a piece of the password.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

DRIVER = "postgresql+psycopg"
POSTGRES = ("postgresql", "postgres", DRIVER)
OVERRIDDEN = (
    "application_name", "client_encoding", "connect_timeout", "keepalives", "keepalives_count",
    "keepalives_idle", "keepalives_interval", "tcp_user_timeout",
)  # fmt: skip
"""The options of a database URL that every connection sets for itself (sync/database/engine.py)."""
OF_TRANSACTIONS = (
    "client_encoding", "datestyle", "default_toast_compression", "extra_float_digits",
    "idle_in_transaction_session_timeout", "intervalstyle", "lock_timeout", "plan_cache_mode",
    "row_security", "search_path", "standard_conforming_strings", "statement_timeout", "timezone",
    "transaction_timeout",
)  # fmt: skip
"""The settings that every transaction makes for itself (sync/database/contract.py)."""
_GIVEN_SETTING = re.compile(r"(?:-c\s*|--)([\w.-]+)=")
# Of libpq's options: it makes another kind of connection.
_NOT_OURS = frozenset({"replication"})
_CURES: Mapping[str, str] = {
    "schema": "the mirror's schemas are crm and sync",
    "currentSchema": "the mirror's schemas are crm and sync",
    "search_path": "the mirror's schemas are crm and sync",
    "pgbouncer": "poolers work without it",
    "prepareThreshold": "poolers work without it",
    "statement_cache_size": "poolers work without it",
    "prepared_statement_cache_size": "poolers work without it",
    "connection_limit": "the mirror keeps a pool of its own",
    "pool_timeout": "the mirror keeps a pool of its own",
    "ssl": "Postgres' own client says sslmode=require or sslmode=verify-full",
    "sslaccept": "Postgres' own client says sslmode=require or sslmode=verify-full",
    "timezone": "the mirror's sessions are in UTC",
}
_CODES = "special characters of a password are written as %-codes (@ is %40, / is %2F, # is %23)"
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_LOCATED = re.compile(r"(\[[^\[\]]+\]|[^:\[\]]*)(?::(\d{1,5})?)?")
_PORTS = range(1, 65536)


class Unreadable(ValueError):
    """The host or port of a URL cannot be read."""

    def __init__(self) -> None:
        super().__init__(f"its host or port cannot be read; {_CODES}")


@dataclass(frozen=True, slots=True)
class Host:
    """A host name, an address without brackets, or a socket's folder; and a port if given."""

    name: str
    port: int | None = None

    def __str__(self) -> str:
        shown = f"[{self.name}]" if ":" in self.name else self.name
        return shown if self.port is None else f"{shown}:{self.port}"


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """The parts of a URL, unquoted. `name` is what follows the first slash."""

    scheme: str
    user: str = ""
    password: str = field(default="", repr=False)
    hosts: tuple[Host, ...] = ()
    name: str = ""
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    def text(self, *, has_hosts_in_query: bool = False) -> str:
        """Return the URL, quoted; several hosts, and sockets, stand in its query if so asked."""
        options = dict(self.options)
        where = ",".join(map(str, self.hosts))
        if has_hosts_in_query:
            where = ""
            options["host"] = ",".join(host.name for host in self.hosts)
            ports = [str(host.port or "") for host in self.hosts]
            if any(ports):
                options["port"] = ",".join(ports)
        person = quote(self.user, safe="")
        if self.password:
            person += f":{quote(self.password, safe='')}"
        query = "&".join(f"{key}={quote(each, safe='/:,')}" for key, each in options.items())
        return (
            f"{self.scheme}://{person}{'@' if person else ''}{where}/{quote(self.name, safe='')}"
            f"{'?' if query else ''}{query}"
        )


def split(text: str, schemes: Iterable[str]) -> ServerUrl:
    """Take a URL apart; ValueError with a sentence about what cannot be read.

    A raw `@` in a user's name or password is read as such: the last one ends them. A raw `/`, `?`
    or `#` is not, because the host would begin too early; then a later `@` gives it away.
    """
    known = tuple(schemes)
    scheme, separator, rest = text.strip().partition("://")
    if not separator or scheme.lower() not in known:
        raise ValueError(f"it does not begin with {' or '.join(f'{each}://' for each in known)}")
    if not rest.isprintable():
        raise ValueError("it has line breaks or other characters that cannot be printed")
    end = re.search(r"[/?#]|$", rest)
    assert end is not None
    authority, tail = rest[: end.start()], rest[end.start() :]
    if "@" in tail or "#" in tail:
        raise Unreadable
    person, _, where = authority.rpartition("@")
    user, _, password = person.partition(":")
    path, _, query = tail.partition("?")
    options = _options(query)
    hosts = _hosts(where, options)
    return ServerUrl(
        scheme.lower(),
        user=unquote(user) or options.pop("user", ""),
        password=unquote(password) or options.pop("password", ""),
        hosts=hosts,
        name=unquote(path.removeprefix("/")) or options.pop("dbname", ""),
        options=options,
    )


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        key, _, value = part.partition("=")
        key, value = unquote(key), unquote(value)
        if key in {"host", "port"} and key in options:
            value = f"{options[key]},{value}"  # SQLAlchemy's way: ?host=a:1&host=b:2
        elif key in options:
            raise ValueError(f"it has the option {_shown(key)} twice")
        options[key] = value
    return options


def _hosts(where: str, options: dict[str, str]) -> tuple[Host, ...]:
    """Return the hosts, wherever the URL has them; those in the options are taken out of these."""
    elsewhere, ports = options.pop("host", ""), options.pop("port", "")
    if where and elsewhere:
        raise ValueError("it names hosts twice, before the path and as ?host=")
    written = [each for each in (where or elsewhere).split(",") if where or elsewhere]
    hosts = [_host(each) for each in written] or [Host("")] * bool(ports)
    if ports:
        given = [_port(each) for each in ports.split(",")]
        if len(given) not in {1, len(hosts)} or any(host.port for host in hosts):
            raise ValueError("its hosts and its ports are not equally many")
        given *= len(hosts) if len(given) == 1 else 1
        hosts = [Host(host.name, port) for host, port in zip(hosts, given, strict=True)]
    return tuple(hosts)


def _host(text: str) -> Host:
    if unquote(text).startswith(("/", "@")):
        folder, _, number = unquote(text).partition(":")
        return Host(folder, _port(number))
    match = _LOCATED.fullmatch(text)
    if match is None:
        raise Unreadable
    name, port = unquote(match[1]), _port(match[2] or "")
    if name.startswith("["):
        try:
            ipaddress.IPv6Address(name[1:-1])
        except ValueError:
            raise Unreadable from None
        return Host(name[1:-1], port)
    if name and not _HOST.fullmatch(name):
        raise Unreadable
    return Host(name, port)


def _port(text: str) -> int | None:
    if not text:
        return None
    if not text.isdecimal() or int(text) not in _PORTS:
        raise Unreadable
    return int(text)


def database(text: str) -> str:
    """Return the URL of a Postgres as SQLAlchemy and psycopg read it; ValueError in words."""
    url = split(text, POSTGRES)
    require_known(url.options, frozenset(_libpq_options()) - _NOT_OURS)
    one = url.hosts[0] if len(url.hosts) == 1 else None
    is_plain = one is not None and one.name and not one.name.startswith(("/", "@"))
    parts = ServerUrl(DRIVER, url.user, url.password, url.hosts, url.name, url.options)
    return parts.text(has_hosts_in_query=bool(url.hosts) and not is_plain)


def overridden(url: str) -> list[str]:
    """Return the options of a database URL that the mirror's connections set otherwise.

    Settings that `?options=` gives to the session are among them.
    """
    options = split(url, POSTGRES).options
    given = _GIVEN_SETTING.findall(options.get("options", ""))
    settings = [name.lower().replace("-", "_") for name in given]
    return [
        *(name for name in options if name in OVERRIDDEN),
        *(name for name in settings if name in OF_TRANSACTIONS),
    ]


def _libpq_options() -> list[str]:
    from psycopg.pq import Conninfo

    return [each.keyword.decode() for each in Conninfo.get_defaults()]


def require_known(options: Mapping[str, str], known: frozenset[str]) -> None:
    """Raise ValueError, with the cure, for an option that nothing reads."""
    for name in options:
        if name in known:
            continue
        near = difflib.get_close_matches(name, known, 1, cutoff=0.8)
        cure = _CURES.get(name) or (f"did you mean {near[0]}?" if near else "nothing here reads it")
        raise ValueError(f"its option {_shown(name)} is unknown, leave it out: {cure}")


def _shown(name: str) -> str:
    """Return an option's name if it looks like one: it may be the end of a password."""
    return f"?{name}=" if re.fullmatch(r"[A-Za-z][A-Za-z_-]{1,30}", name) else "after the ?"
