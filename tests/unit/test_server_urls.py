"""A URL means the same to every library; one that cannot be read shows nothing of itself."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote

import pytest
import sqlalchemy as sa
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from sync.database import contract, engine
from sync.errors import NeedsOperator
from sync.settings import Settings, redis_address, server_urls, warnings

KEY = "A" * 43 + "="


def taken(text: str) -> dict[str, Any]:
    """What libpq is given for an operator's URL: the setting, then SQLAlchemy's reading of it."""
    found = Settings.from_env({"SYNC_DATABASE_URL": text, "SYNC_SECRET_KEY": KEY}).database_url
    assert found is not None
    url = sa.make_url(found.get_secret_value())
    _, arguments = PGDialect_psycopg().create_connect_args(url)
    return {name: str(value) for name, value in arguments.items()}


def refused(text: str) -> str:
    with pytest.raises(NeedsOperator) as caught:
        Settings.from_env({"SYNC_DATABASE_URL": text, "SYNC_SECRET_KEY": KEY})
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("postgresql://weak:s3cr@tRest@h/d", {"user": "weak", "password": "s3cr@tRest"}),
        ("postgresql://u@server:p:w@h/d", {"user": "u@server", "password": "p:w"}),
        ("postgresql://u:p[w@h/d", {"password": "p[w"}),
        ("postgresql://u:p+w@h/d", {"password": "p+w"}),
        ("postgresql://u:p%2Bw%25@h/d", {"password": "p+w%"}),
        ("postgresql://u:100%@h/d", {"password": "100%"}),
        ("postgresql://h/d?user=u&password=p%40", {"user": "u", "password": "p@"}),
    ],
)
def test_a_password_is_read_as_it_is_meant(text: str, arguments: dict[str, str]) -> None:
    """The last @ ends the password; a + is a +. Nothing of it becomes a part of the host."""
    assert taken(text) == {"host": "h", "dbname": "d", "user": "u"} | arguments


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("postgresql://u@a:1,b:2/d", "a,b", "1,2"),
        ("postgresql://u@a,b:2/d?target_session_attrs=read-write", "a,b", ",2"),
        ("postgresql://u@[::1]:5,[::2]:6/d", "::1,::2", "5,6"),
        ("postgresql://u@/d?host=a,b&port=1,2", "a,b", "1,2"),
        ("postgresql://u@/d?host=a:1&host=b:2", "a,b", "1,2"),
        ("postgresql://u@/d?host=a,b&port=5433", "a,b", "5433,5433"),
        ("postgresql://u@/d?host=/run/postgresql", "/run/postgresql", None),
        ("postgresql://u@%2Frun%2Fpostgresql:5433/d", "/run/postgresql", "5433"),
        ("postgresql://u@[::1]:5433/d", "::1", "5433"),
        ("postgresql://u@[fe80::1]/d", "fe80::1", None),
    ],
)
def test_several_hosts_and_sockets_are_read_however_they_are_written(
    text: str, host: str, port: str | None
) -> None:
    """libpq's way, SQLAlchemy's way and the sockets of both give libpq the same."""
    arguments = taken(text)
    assert (arguments["host"], arguments.get("port")) == (host, port)
    assert (arguments["user"], arguments["dbname"]) == ("u", "d")


@pytest.mark.parametrize(
    ("option", "cure"),
    [
        ("schema=public", "?schema= is unknown, leave it out: the mirror's schemas are crm and"),
        ("pgbouncer=true", "?pgbouncer= is unknown, leave it out: poolers work without it"),
        ("sslmode=require&connection_limit=5", "?connection_limit= is unknown, leave it out"),
        ("ssl=true", "sslmode=require"),
        ("sslmod=require", "did you mean sslmode?"),
        ("sslmode=require&sslmode=disable", "the option ?sslmode= twice"),
        ("replication=database", "?replication="),
    ],
)
def test_an_option_nobody_reads_is_refused_by_name(option: str, cure: str) -> None:
    """Copied from another program's settings it would pass for set, or fail as a bug of ours."""
    told = refused(f"postgresql://weak:hidden@h/d?{option}")
    assert cure in told
    assert "hidden" not in told


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://u:hid/den@h/d",
        "postgresql://u:hid?den@h/d",
        "postgresql://u:hid#den@h/d",
        "postgresql://u:12/hid@den:5/d",
        "postgresql://u:p@hid den/d",
        "postgresql://u:p@h:hidden/d",
        "postgresql://u:p@h:99999/hidden",
        "postgresql://u:p@[hidden]/d",
        "postgresql://u:p@h/d?hidden%40=x",
        "postgresql://u:p@hid\nden/d",
        "postgresql://u:p@h/d?host=hidden",
        "mysql://u:hidden@h/d",
    ],
)
def test_nothing_of_an_unreadable_url_is_shown(text: str) -> None:
    """Where a URL is broken anything in it may be a piece of the password."""
    told = refused(text)
    assert "SYNC_DATABASE_URL cannot be used" in told
    assert "hid" not in told
    assert "den" not in told


_texts = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12)


@given(user=_texts, password=_texts, name=_texts)
@example(user="u@s", password="p@:/?#[]%+&= ß", name="d/%2F")
def test_quoted_parts_come_out_whole_in_every_library(user: str, password: str, name: str) -> None:
    """SQLAlchemy, libpq, redis-py and kombu have four parsers, and read our form alike."""
    person = f"{quote(user, safe='')}:{quote(password, safe='')}"
    wanted = {"user": user, "password": password, "host": "h", "port": "5433", "dbname": name}
    text = f"postgresql://{person}@h:5433/{quote(name, safe='')}"
    assert taken(text) == wanted
    ours = server_urls.database(text).replace("+psycopg", "", 1)
    assert conninfo_to_dict(ours) == wanted

    broker = redis_address.parse(f"rediss://{person}@h:6380/3")
    assert (broker.hosts, broker.db) == ((("h", 6380),), 3)
    assert (broker.username, broker.password) == (user, password)


@given(user=_texts.filter(lambda t: not set(t) & set(":/?#%,")), password=_texts)
def test_a_raw_password_is_read_or_refused_and_never_cut(user: str, password: str) -> None:
    """Whatever people paste, no part of it is taken for a host, which DNS would be asked for."""
    text = f"postgresql://{user}:{password}@db.example.com/d"
    try:
        found = server_urls.split(text, server_urls.POSTGRES)
    except ValueError:
        assert set(password) & set("/?#")
    else:
        assert [host.name for host in found.hosts] == ["db.example.com"]
        assert found.password == unquote(password)


def test_options_that_every_connection_sets_itself_are_told() -> None:
    """An option that has no effect is worse than one that is missing. The list is the engine's."""
    url = "postgresql://u:hidden@h/d?application_name=x&sslmode=require&connect_timeout=3"
    told = warnings(Settings.from_env({"SYNC_DATABASE_URL": url, "SYNC_SECRET_KEY": KEY}))
    assert [sentence.split()[2] for sentence in told] == ["application_name,", "connect_timeout,"]
    assert "hidden" not in "".join(told)
    seen: dict[str, Any] = {}
    made = engine.connect("postgresql+psycopg://127.0.0.1:1/d")

    @sa.event.listens_for(made, "do_connect")
    def note(_dialect: Any, _record: Any, _args: Any, arguments: dict[str, Any]) -> None:
        seen.update(arguments)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        made.connect()
    no_options = {"host", "port", "dbname", "context", "prepare_threshold", "options"}
    assert set(seen) <= {*server_urls.OVERRIDDEN, *no_options}


def test_settings_of_the_session_that_have_no_effect_are_told() -> None:
    """Whoever sets a time limit by the URL learns that transactions have their own; a role, or a
    provider's own option, is passed on without a word."""
    given = "-c statement_timeout=5 --DateStyle=German -crole=mirror endpoint=x"
    url = f"postgresql://u:p@h/d?options={quote(given)}"
    told = warnings(Settings.from_env({"SYNC_DATABASE_URL": url, "SYNC_SECRET_KEY": KEY}))
    assert [sentence.split()[2] for sentence in told] == ["statement_timeout,", "datestyle,"]
    assert taken(url)["options"] == given
    ours = [*contract.MEANING, *contract.LIMITS, contract.COMPRESSION]
    assert set(server_urls.OF_TRANSACTIONS) == {each.name.lower() for each in ours}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("redis://a:1,b:2/0", "names several hosts"),
        ("redis:///0", "names no host"),
        ("redis://:p@h/zero", "not a database number"),
        ("redis://:p@h/0?foo=1", "?foo= is unknown"),
        ("redis://:hid/den@h/0", "%-codes"),
    ],
)
def test_a_redis_url_that_cannot_be_used_says_why(text: str, told: str) -> None:
    with pytest.raises(NeedsOperator) as caught:
        Settings.from_env({"SYNC_REDIS_URL": text})
    assert told in str(caught.value)
    assert "hid" not in str(caught.value)


def test_a_redis_url_is_read_one_way() -> None:
    """A raw @ belongs to the password; the database is a path, or an option as in redis-py."""
    assert redis_address.parse("redis://:p@w@h").password == "p@w"
    told = redis_address.parse("REDISS://h:6380?db=2&ssl_cert_reqs=required")
    assert (told.hosts, told.db, told.is_verified) == ((("h", 6380),), 2, True)
