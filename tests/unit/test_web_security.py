"""Sessions end when they should, and whoever guesses waits."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from sync import telemetry
from sync.web import security
from sync.web.security import (
    SESSION_SECONDS,
    TRIES,
    TRIES_OF_ALL,
    TRIES_SECONDS,
    Sessions,
    Tries,
    gateway,
    is_loopback,
    is_same,
    trusted,
)


class Clock:
    def __init__(self) -> None:
        self.at = 1_700_000_000.0

    def __call__(self) -> float:
        return self.at


def test_a_session_ends_by_itself_and_with_another_token() -> None:
    clock = Clock()
    sessions = Sessions("the first token of all", now=clock)
    cookie = sessions.begin()
    assert sessions.read(cookie) is not None
    assert Sessions("another token of length", now=clock).read(cookie) is None
    clock.at += SESSION_SECONDS + 1
    assert sessions.read(cookie) is None


def test_forms_of_one_session_are_worth_nothing_in_another() -> None:
    sessions = Sessions("the first token of all")
    mine, other = sessions.read(sessions.begin()), sessions.read(sessions.begin())
    assert mine is not None
    assert other is not None
    assert is_same(mine.csrf, mine)
    assert not is_same(other.csrf, mine)
    assert not is_same("", mine)
    assert not is_same("ü", mine)


def test_a_message_for_the_next_page_is_only_read_as_it_was_written() -> None:
    sessions = Sessions("the first token of all")
    sealed = sessions.seal("good:Köln → done")
    assert sessions.unseal(sealed) == "good:Köln → done"
    assert sessions.unseal("x" + sealed) == ""
    assert sessions.unseal("") == ""


def test_an_address_waits_after_some_failures_and_others_do_not() -> None:
    clock = Clock()
    tries = Tries(monotonic=clock)
    for _ in range(TRIES):
        assert tries.wait_seconds("192.0.2.1") == 0
        tries.failed("192.0.2.1")
    assert 0 < tries.wait_seconds("192.0.2.1") <= TRIES_SECONDS
    assert tries.wait_seconds("192.0.2.2") == 0
    clock.at += TRIES_SECONDS
    assert tries.wait_seconds("192.0.2.1") == 0


def test_many_addresses_are_no_way_around() -> None:
    tries = Tries(monotonic=Clock())
    for number in range(TRIES_OF_ALL):
        tries.failed(f"192.0.2.{number}")
    assert tries.wait_seconds("198.51.100.1") > 0


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("127.0.0.1:8080", True), ("localhost", True), ("[::1]:80", True), ("::1", True),
        ("127.9.9.9", True), ("localhost.evil.example", False), ("127.0.0.1.evil.example", False),
        ("192.0.2.1:80", False), ("", False), ("[::1", True), ("x:y:z", False),
    ],
)  # fmt: skip
def test_only_this_machines_own_names_are_loopback(host: str, ours: bool) -> None:
    assert is_loopback(host) is ours


ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth1\t000014AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
eth0\t00000000\t010013AC\t0003\t0\t0\t0\t00000000\t0\t0\t0
"""


@pytest.mark.skipif(sys.byteorder != "little", reason="the addresses above are a PC's")
def test_the_gateway_is_where_the_default_route_leads() -> None:
    assert gateway(ROUTES) == "172.19.0.1"
    assert gateway("\n".join(ROUTES.splitlines()[:2])) is None
    assert gateway("") is None


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    """What was logged since it was asked last."""
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    telemetry.configure("console")

    def read() -> str:
        text = out.getvalue()
        out.seek(0)
        out.truncate()
        return text

    yield read
    structlog.reset_defaults()


def test_proxies_are_addresses_with_the_gateway_among_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, logged: Callable[[], str]
) -> None:
    """Without one nobody else is believed in its place, and that is said."""
    routes = tmp_path / "route"
    monkeypatch.setattr(security, "ROUTES", routes)
    assert trusted(("192.0.2.1", "gateway")) == ["192.0.2.1"]
    assert "no gateway" in logged()
    routes.write_text(ROUTES)
    assert trusted(("192.0.2.1", "gateway")) == ["192.0.2.1", gateway(ROUTES)]
    assert trusted(("10.0.0.0/8",)) == ["10.0.0.0/8"]
