"""How fast a rebuild is: `make bench ARGS=tests/integration/resources/test_rebuild_speed.py`."""

from __future__ import annotations

import time

import pytest

from tests.integration.resources.conftest import Open

ORDERS = 6_000


@pytest.mark.bench
def test_orders_with_their_children(open_mirror: Open) -> None:
    """Orders of 4 KB with items and payments, read anew from raw; prints orders a second."""
    names = ("orders", "order_history", "customers", "customer_history")
    mirror = open_mirror(*names, page_size=100, orders=ORDERS, customers=ORDERS // 5)
    mirror.work("order_history", "feed")
    mirror.work("orders", "walk")
    mirror.queue("orders", "rebuild")
    cpu, began = time.process_time(), time.monotonic()
    mirror.work("orders", "walk")
    took, busy = time.monotonic() - began, time.process_time() - cpu
    count = mirror.value("SELECT count(*) FROM crm.orders")
    print(f"\n{count / took:,.0f} orders/s; {busy / count * 1e6:.0f} µs of this process each")
    assert count / took > 500
