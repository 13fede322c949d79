"""ops/dbt against a mirrored sandbox account, by a role that was granted reading: `make dbt`.

dbt lives in an environment of its own; MIRROR_DBT names its command, and without it this is
skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from sync.privacy import readers
from tests.integration.analysts.conftest import MakeRole
from tests.integration.pipeline.harness import Mirror, small

PROJECT = Path(__file__).parents[3] / "ops/dbt"
DBT = os.environ.get("MIRROR_DBT", "")

pytestmark = [
    pytest.mark.skipif(not DBT, reason="MIRROR_DBT names no dbt: make dbt installs and runs it"),
    pytest.mark.timeout(600),
]


@pytest.mark.parametrize("schema", ["crm", "crm_masked"])
def test_the_project_builds_and_its_tests_pass(
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    make_role: MakeRole,
    tmp_path: Path,
    schema: str,
) -> None:
    """Sources, models, tests; freshness by what coverage proves. Masked readers can do the same.
    Incremental models hold what crm holds, also after orders changed; after a restore all is read
    again once, and what is quiet since is left alone."""
    names = ("orders", "order_history", "customers", "customer_history", "statuses",
             "status_groups", "payment_statuses")  # fmt: skip
    mirror = Mirror(database, monkeypatch, resources=small(*names), orders=20, customers=8)
    mirror.settle()
    role = make_role()
    readers.grant(mirror.engine, role.name, store_ids=None, is_masked=schema == "crm_masked")
    with mirror.engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA analytics AUTHORIZATION {role.name}")
        # dbt asks for the time as well, by the clock that the test has moved.
        connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA testclock TO {role.name}")
        connection.exec_driver_sql(f"GRANT SELECT ON testclock.shift TO {role.name}")
    url = mirror.engine.url
    environment = os.environ | {
        "MIRROR_HOST": str(url.host),
        "MIRROR_PORT": str(url.port),
        "MIRROR_USER": role.name,
        "MIRROR_PASSWORD": "secret",
        "MIRROR_DATABASE": str(url.database),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }

    def dbt(*arguments: str) -> None:
        done = subprocess.run(
            [DBT, *arguments, "--project-dir", PROJECT, "--profiles-dir", PROJECT,
             "--target-path", tmp_path / "target", "--log-path", tmp_path / "logs",
             "--vars", json.dumps({"crm_schema": schema})],
            capture_output=True, text=True, env=environment, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    try:
        dbt("parse")
        dbt("build")
        dbt("source", "freshness")
        assert_equal_to_crm(mirror)
        one, two, three, *_ = sorted(mirror.truth("orders").values(), key=lambda o: o["id"])
        mirror.account.update_order(one["id"], items=one["items"][1:], managerComment="less")
        mirror.account.delete_order(two["id"])
        mirror.account.update_order(three["id"], status="complete")
        buyer = mirror.account.create_customer()
        for _ in range(2):  # a first day with two orders, neither of which has to be paid
            mirror.account.create_order(customer=buyer, totalSumm=0, status="new")
        mirror.come_to_rest()
        dbt("build")
        assert_equal_to_crm(mirror)
        mirror.rows("UPDATE sync.era SET server = 'ended ' || first_no")
        mirror.account.update_order(one["id"], managerComment="in the next era")
        mirror.come_to_rest()
        written = "SELECT min(xmin::text), max(xmin::text) FROM analytics.order_payments"
        before = mirror.rows(written)
        dbt("run", "--select", "incremental")
        again = mirror.rows(written)
        assert again != before
        dbt("run", "--select", "incremental")
        assert mirror.rows(written) == again
        assert_equal_to_crm(mirror)
        sold = "SELECT sum(orders), sum(total_summ) FROM analytics.monthly_sales"
        with mirror.engine.begin() as connection:
            orders, total = connection.exec_driver_sql(sold).one()
            assert orders > 10
            assert total > 0
    finally:
        mirror.close()


def assert_equal_to_crm(mirror: Mirror) -> None:
    """Row by row: what dbt keeps is what the mirror has."""
    for table, columns, key in (
        ("orders", "order_id, status, total_summ, change_no, deleted_at", "id AS order_id"),
        ("order_items", "order_id, item_id, quantity, change_no", "id AS item_id"),
        ("order_payments", "order_id, payment_id, amount, change_no", "id AS payment_id"),
    ):
        kept = mirror.rows(f"SELECT {columns} FROM analytics.{table} ORDER BY 1, 2")
        held = mirror.rows(
            f"SELECT {columns} FROM (SELECT *, {key} FROM crm.{table}) AS t ORDER BY 1, 2"
        )
        assert kept == held, table
        assert kept, table
