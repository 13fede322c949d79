"""Feeds are looked at as often as the egress addresses that work allow."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from threading import Event

import pytest
import structlog

from sync import telemetry
from sync.state import heartbeat
from sync.work import dispatching
from sync.work.services import Services
from tests.integration.pipeline.conftest import Open
from tests.integration.pipeline.harness import Mirror

OLD_RELEASE = (
    "INSERT INTO sync.heartbeat AS h (process, queue, consumed_at)"
    " VALUES ('old:1', 'feeds', clock_timestamp())"
    " ON CONFLICT (process, queue) DO UPDATE SET consumed_at = excluded.consumed_at"
)


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


def services_of(mirror: Mirror, *, rate_limit: float) -> Services:
    """A worker's services, whose address sends so little that two feeds do not fit the floor."""
    made = Services(mirror.services.settings.model_copy(update={"rate_limit": rate_limit}), Event())
    made.__dict__["engine"] = mirror.engine
    return made


def lives(mirror: Mirror, process: str, *, egress: str, queue: str = "feeds") -> None:
    with mirror.engine.begin() as connection:
        heartbeat.consumed(connection, process=process, queue=queue, egress=egress)


def intervals(mirror: Mirror) -> list[float]:
    return [row[0] for row in mirror.rows("SELECT every_seconds FROM sync.feed ORDER BY resource")]


def test_a_second_address_halves_the_intervals_and_they_stretch_when_it_dies(
    open_mirror: Open,
) -> None:
    """However many workers an address has; one that only walks looks at no feed; and one that has
    nothing to do counts as long as it lives."""
    mirror = open_mirror()
    mirror.feeds()
    services = services_of(mirror, rate_limit=0.05)
    lives(mirror, "a:1", egress="default")
    lives(mirror, "a:2", egress="default")
    lives(mirror, "c:1", egress="walks-alone", queue="crawls")
    dispatching.set_cadence(services)
    alone = intervals(mirror)
    assert len(alone) == 2
    assert sum(1 / seconds for seconds in alone) == pytest.approx(0.025 / 1.15, rel=1e-3)

    lives(mirror, "b:1", egress="second")
    dispatching.set_cadence(services)
    assert intervals(mirror) == pytest.approx([seconds / 2 for seconds in alone], rel=1e-3)

    mirror.pass_time(heartbeat.WORKING_SECONDS / 2)
    lives(mirror, "a:1", egress="default")
    dispatching.set_cadence(services)
    assert intervals(mirror) == pytest.approx([seconds / 2 for seconds in alone], rel=1e-3)

    mirror.pass_time(heartbeat.WORKING_SECONDS / 2 + 1)
    dispatching.set_cadence(services)
    assert intervals(mirror) == pytest.approx(alone, rel=1e-3)


def test_a_worker_of_the_release_before_is_no_address_of_its_own(open_mirror: Open) -> None:
    """It notes itself without one while the release changes; whoever sets the cadence is one."""
    mirror = open_mirror()
    with mirror.engine.begin() as connection:
        connection.exec_driver_sql(OLD_RELEASE)
        connection.exec_driver_sql(OLD_RELEASE)
        assert dispatching.working_addresses(connection, own="default") == 1
        heartbeat.consumed(connection, process="new:1", queue="feeds", egress="second")
        assert dispatching.working_addresses(connection, own="default") == 2


def test_a_process_id_that_comes_again_may_send_from_elsewhere(open_mirror: Open) -> None:
    """Containers count their processes from one."""
    mirror = open_mirror()
    lives(mirror, "host:1", egress="first")
    mirror.pass_time(2)
    lives(mirror, "host:1", egress="second")
    with mirror.engine.begin() as connection:
        assert heartbeat.working_egresses(connection, queue="feeds") == {"second"}


def test_feeds_that_do_not_fit_the_ceiling_say_how_many_addresses_they_need(
    open_mirror: Open, logged: Callable[[], str]
) -> None:
    """And are quiet once as many work."""
    mirror = open_mirror()
    mirror.feeds()
    services = services_of(mirror, rate_limit=0.001)
    dispatching.set_cadence(services)
    assert (
        "2 feeds every 900 s need 6 egress addresses; at work: 1 (ops/docs/scaling.md)" in logged()
    )
    assert intervals(mirror) == [900, 900]
    for number in range(5):
        lives(mirror, f"h:{number}", egress=f"more-{number}")
    dispatching.set_cadence(services)
    assert "feeds do not fit" not in logged()
