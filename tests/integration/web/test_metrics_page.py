"""Metrics, readiness, alerts and dashboard agree with each other and with promtool."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from sync.crm import Bucket, Limiter, Priority
from sync.crm.budget.redis_state import MOST_EGRESSES
from sync.metrics import rows
from sync.metrics.budget import sample
from sync.metrics.scraping import scrape
from sync.state.heartbeat import BEAT_SECONDS, FRESH_SECONDS, consumed
from sync.web import charts, queries
from sync.work.services import Services
from sync.worker.celery import QUEUES
from tests.integration.web.conftest import Open, Serve

OPS = Path(__file__).parents[3] / "ops"
RULES = OPS / "prometheus" / "alerts.yml"


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("there is no promtool: apt-get install prometheus")
    return found


def alerts() -> list[dict[str, object]]:
    groups = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def heading(name: str) -> str:
    return re.sub(r"[^a-z0-9 -]", "", name.lower()).replace(" ", "-")


def test_a_scrape_during_a_load_is_what_prometheus_wants(
    serve: Serve, open_mirror: Open, promtool: str
) -> None:
    """Half loaded: some rows written, a lease held, a failure, crawls open."""
    mirror = open_mirror()
    mirror.feeds()
    mirror.work("orders", "walk")
    mirror.rows(
        "INSERT INTO sync.worker (id, host, pid, started_at, beat_at)"
        " VALUES ('x', 'h', 1, now(), clock_timestamp() - interval '12 s')"
    )
    mirror.rows(
        "UPDATE sync.lane SET lease_until = clock_timestamp() + interval '50 s', holder = 'x',"
        " failing_since = now() - interval '1 min', failures = 2"
        " WHERE store_id = :store AND resource = 'customers'"
    )
    served = serve()
    _spend(served.services.limiter, mirror.store_id, requests=3)
    body, kind = scrape(served.services)
    assert kind.startswith("text/plain")
    done = subprocess.run(
        [promtool, "check", "metrics"], input=body, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
    text = body.decode()
    name = mirror.value("SELECT name FROM sync.store WHERE id = :store")
    both = f'resource="orders",store="{name}"'
    assert re.search(rf"mirror_rows_written_total{{{both}}} 45\.0", text)
    assert re.search(rf"mirror_live_rows{{{both}}} 45\.0", text)
    assert re.search(r'mirror_lease_age_seconds{lane="walk",.*} 1\d\.', text)
    about = re.search(r"# HELP mirror_lease_age_seconds (.+)", text)
    assert about
    assert f"every {BEAT_SECONDS:.0f} s while it lives" in about[1]
    assert f"at {FRESH_SECONDS:.0f} s its leases are over" in about[1]
    assert re.search(r'mirror_crawl_failures_total{lane="walk",resource="customers",.*} 2\.0', text)
    assert re.search(r"mirror_lane_failing_seconds{.*} 6\d\.", text)
    assert re.search(
        r'mirror_requests_granted_total{bucket="default",class="walk",egress="default",'
        rf'store="{name}"}} 3\.0',
        text,
    )


def test_rows_written_count_only_what_changed(open_settled: Open) -> None:
    """A walk again over unchanged rows writes nothing, and the count stands still."""
    mirror = open_settled()
    count = "SELECT rows_written FROM sync.coverage WHERE store_id = :store AND resource = 'orders'"
    assert mirror.value(count) == 45
    mirror.queue("orders", "backfill")
    mirror.settle()
    assert mirror.value(count) == 45
    mirror.account.update_order(min(mirror.truth("orders")), managerComment="counted")
    mirror.work("order_history", "feed")
    assert mirror.value(count) == 46


def test_ready_means_that_both_queues_are_consumed(serve: Serve, open_mirror: Open) -> None:
    """A ping proves nothing: a worker may be there and take no task."""
    mirror = open_mirror()
    with serve(secret_key=mirror.cfg.secret_key).client(logged_in=False) as client:
        answer = client.get("/readyz")
        assert answer.status_code == 503
        told = {"ok": False, "why": "no worker has taken work from it yet"}
        assert answer.json()["checks"]["crawls"] == told
        with mirror.engine.begin() as connection:
            consumed(connection, process="h:1", queue="feeds")
            consumed(connection, process="h:2", queue="crawls")
        assert client.get("/readyz").json()["ready"] is True
        mirror.rows("UPDATE sync.heartbeat SET consumed_at = consumed_at - interval '2 min'")
        assert client.get("/readyz").status_code == 503


def test_a_queue_that_was_never_consumed_is_told_as_such(serve: Serve, open_mirror: Open) -> None:
    """A series that is absent fires no alert: there is one for each queue from the beginning."""
    mirror = open_mirror()
    services = serve().services
    assert QUEUES == rows.QUEUES
    assert consumed_ages(services) == dict.fromkeys(QUEUES, math.inf)
    with mirror.engine.begin() as connection:
        consumed(connection, process="h:1", queue="feeds")
    ages = consumed_ages(services)
    assert ages["feeds"] < 60
    assert ages["crawls"] == math.inf


def consumed_ages(services: Services) -> dict[str, float]:
    return {
        queue: float(age)
        for queue, age in re.findall(
            r'mirror_consumed_age_seconds{queue="(\w+)"} (\S+)', _text(services)
        )
    }


def test_every_address_that_shares_the_budgets_redis_is_told_of(
    serve: Serve, open_mirror: Open
) -> None:
    """Whichever the status page itself sends from: refusals and a full budget of another one fire
    their alerts too. What is in Redis besides is no address, and there is a bound to them."""
    mirror = open_mirror()
    services = serve().services
    _spend(services.limiter, mirror.store_id, requests=2)
    second = Limiter(services.redis, egress="second-1.example")
    slot = second.reserve(
        store=mirror.store_id, bucket=Bucket.DEFAULT, priority=Priority.WALK, give_up_after=5
    )
    second.refused(slot)
    services.redis.hset("sync:limit:{odd name:default}:pace", "n", 1)
    services.redis.hset("sync:limit:{idle:default}:pace", "n", 1)
    text = _text(services)
    granted = re.findall(r'mirror_requests_granted_total{.*egress="([^"]+)".*} (\S+)', text)
    assert sorted(granted) == [("default", "2.0"), ("second-1.example", "1.0")]
    refused = re.findall(r'mirror_requests_refused_total{.*egress="([^"]+)".*} (\S+)', text)
    assert sorted(refused) == [("default", "0.0"), ("second-1.example", "1.0")]
    assert re.search(
        r'mirror_requests_used_ratio{bucket="default",egress="second-1.example"}', text
    )
    services.redis.delete("sync:limit:{idle:default}:pace")
    for number in range(MOST_EGRESSES * 2):
        Limiter(services.redis, egress=f"many-{number}").reserve(
            store=1, bucket=Bucket.DEFAULT, priority=Priority.WALK, give_up_after=5
        )
    told = set(re.findall(r'mirror_slots_lost_total{.*egress="([^"]+)"', _text(services)))
    assert len(told) == MOST_EGRESSES
    assert "default" in told


def _text(services: Services) -> str:
    return scrape(services)[0].decode()


def test_the_picture_of_the_budget_adds_up_also_after_redis_was_emptied(
    serve: Serve, open_mirror: Open
) -> None:
    mirror = open_mirror()
    services = serve().services
    for requests in (2, 3):
        _spend(services.limiter, mirror.store_id, requests=requests)
        sample(mirror.engine, services.limiter)
    services.redis.flushdb()
    _spend(services.limiter, mirror.store_id, requests=1)
    sample(mirror.engine, services.limiter)
    sample(mirror.engine, services.limiter)  # nothing new: no row
    with mirror.engine.begin() as connection:
        uses = queries.budget_use(connection)
    assert sum(use.granted for use in uses) == 6
    assert mirror.value("SELECT count(*) FROM sync.budget_use WHERE store_id = :store") == 3
    picture = charts.budget(uses, limit=10)
    assert picture.total == 6
    assert {bar.kind for bar in picture.bars} == {"use-0"}


def _spend(limiter: Limiter, store: int, *, requests: int) -> None:
    for _ in range(requests):
        limiter.reserve(store=store, bucket=Bucket.DEFAULT, priority=Priority.WALK, give_up_after=5)


def test_the_rules_are_valid_and_every_alert_has_a_test_that_fires_it(promtool: str) -> None:
    tests = OPS / "prometheus" / "alerts_test.yml"
    for arguments in (["check", "rules", RULES], ["test", "rules", tests]):
        done = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    fired = {
        case["alertname"]
        for each in yaml.safe_load(tests.read_text("utf-8"))["tests"]
        for case in each["alert_rule_test"]
        if case.get("exp_alerts")
    }
    assert fired == {rule["alert"] for rule in alerts()}


def test_every_alert_leads_to_its_section_of_the_runbook() -> None:
    lines = (OPS / "docs" / "runbook.md").read_text("utf-8").splitlines()
    headings = {heading(line.lstrip("# ")) for line in lines if line.startswith("#")}
    for rule in alerts():
        file, _, anchor = rule["annotations"]["runbook_url"].partition("#")  # type: ignore[index]
        assert file == "ops/docs/runbook.md"
        assert anchor == heading(str(rule["alert"]))
        assert anchor in headings, rule["alert"]


def test_alerts_and_dashboard_name_only_metrics_there_are(serve: Serve, open_mirror: Open) -> None:
    open_mirror()
    text = scrape(serve().services)[0].decode()
    there = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    board = json.loads((OPS / "grafana" / "mirror.json").read_text("utf-8"))
    asked = [str(rule["expr"]) for rule in alerts()]
    asked += [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    named = {name for each in asked for name in re.findall(r"\bmirror_\w+", each)}
    assert named - there == set()
    assert len(board["panels"]) == len({panel["title"] for panel in board["panels"]}) > 12
