"""Writes of several programs at once, and a mirror that follows: its claims are true all along."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest

from sync.resources import RESOURCES
from sync.sandbox import Account, conformance, running
from sync.sandbox.kinds.corporate_writes import FIRM
from sync.sandbox.kinds.costs import COST
from sync.sandbox.kinds.customer_writes import CUSTOMER
from sync.sandbox.kinds.order_writes import ORDER
from sync.sandbox.kinds.packs import PACK
from sync.sandbox.kinds.tasks import TASK
from sync.sandbox.shapes import Shape
from tests.integration.pipeline.claims import watch, wrong
from tests.integration.pipeline.conftest import Open, open_mirror
from tests.integration.pipeline.harness import Mirror, small

__all__ = ["open_mirror"]

retailcrm = pytest.importorskip("retailcrm", reason="the official client is not installed")
CLIENTS, WRITES = 3, 67  # 201 writes in all
SOME = ("orders", "order_history", "customers", "customer_history", "corporate_customers",
             "corporate_customer_history")  # fmt: skip


class Program:
    """A program with an official client and a key of its own, which writes at random."""

    def __init__(self, url: str, account: Account, number: int) -> None:
        self._client = retailcrm.v5(url, account.add_key())
        self._account, self._rng, self._name = account, random.Random(number), f"p{number}"
        self.done: dict[str, int] = {}
        self.failed: list[Any] = []

    def run(self) -> None:
        """Write so many times; what is refused because of another program counts too."""
        for n in range(WRITES):
            what = self._rng.choice((
                self._order, self._order, self._edit, self._edit, self._edit, self._pay,
                self._person, self._rename, self._firm, self._vip, self._combine, self._upload,
                self._give_away,
            ))  # fmt: skip
            answer = what(f"{self._name}-{n}")
            name = what.__name__ if answer.is_successful() else "refused"
            self.done[name] = self.done.get(name, 0) + 1
            if answer.get_status_code() not in (200, 201, 400, 404, 460):
                self.failed.append(answer.get_response())

    def _pick(self, collection: str) -> int:
        return self._rng.choice(self._account.ids(collection)[-25:])

    def _items(self) -> list[dict[str, Any]]:
        return [{"productName": f"Tea {n}", "initialPrice": self._rng.randint(1, 999) / 10,
                 "quantity": self._rng.randint(1, 4), "purchasePrice": 1}
                for n in range(self._rng.randint(1, 3))]  # fmt: skip

    def _order(self, name: str) -> Any:
        order: dict[str, Any] = {"externalId": name, "items": self._items()}
        match self._rng.randint(0, 2):
            case 0:
                order |= {"firstName": "Ana", "phone": f"+34{self._rng.randint(1, 30)}"}
            case 1:
                order["customer"] = {"id": self._pick("customers")}
            case _:
                order["customer"] = {"id": self._pick("customers-corporate")}
        return self._client.order_create(order, self._rng.choice(("main", "outlet")))

    def _edit(self, name: str) -> Any:
        order: dict[str, Any] = {"id": self._pick("orders"), "managerComment": name}
        if self._rng.random() < 0.5:
            order["status"] = self._rng.choice(("new", "complete", "cancel-other", "delivering"))
        if self._rng.random() < 0.3:
            order["items"] = self._items()
        return self._client.order_edit(order, "id")

    def _pay(self, _: str) -> Any:
        payment = {"order": {"id": self._pick("orders")}, "type": "cash", "status": "paid"}
        return self._client.order_payment_create(payment)

    def _person(self, name: str) -> Any:
        person = {"externalId": name, "firstName": name, "email": f"{name}@example.com"}
        return self._client.customer_create(person, "main")

    def _rename(self, name: str) -> Any:
        return self._client.customer_edit({"id": self._pick("customers"), "lastName": name}, "id")

    def _firm(self, name: str) -> Any:
        firm = {"nickName": name, "externalId": name, "addresses": [{"city": "Lugo"}]}
        return self._client.customer_corporate_create(firm, "outlet")

    def _vip(self, _: str) -> Any:
        firm = {"id": self._pick("customers-corporate"), "vip": self._rng.random() < 0.5}
        return self._client.customer_corporate_edit(firm, "id")

    def _combine(self, _: str) -> Any:
        one, other = self._pick("customers"), self._pick("customers")
        return self._client.customers_combine([{"id": one}], {"id": other})

    def _upload(self, name: str) -> Any:
        orders = [{"externalId": f"{name}-{n}", "items": self._items(),
                   "customer": {"id": self._pick("customers")}} for n in range(3)]  # fmt: skip
        return self._client.orders_upload([*orders, {"status": "none"}], "main")

    def _give_away(self, _: str) -> Any:
        order = {"id": self._pick("orders"), "customer": {"id": self._pick("customers")}}
        return self._client.order_edit(order, "id")


def test_what_three_programs_write_at_once_is_mirrored_exactly(open_mirror: Open) -> None:
    """Every claim made meanwhile is true; in the end orders, customers and their sums are equal."""
    mirror = open_mirror(resources=small(*SOME), orders=60, customers=120)
    mirror.settle()
    watch(mirror)
    looks = 0
    with running(mirror.sandbox) as url:
        programs = [Program(url, mirror.account, number) for number in range(CLIENTS)]
        threads = [threading.Thread(target=program.run) for program in programs]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads) or not looks:
            mirror.feeds()
            mirror.pass_time(2)
            looks += 1
            assert_true(mirror)
        for thread in threads:
            thread.join()
    assert [program.failed for program in programs] == [[]] * CLIENTS
    done = [sum(program.done.values()) for program in programs]
    assert done == [WRITES] * CLIENTS
    wrote = sum(sum(p.done.values()) - p.done.get("refused", 0) for p in programs)
    assert wrote > 150
    mirror.settle()
    assert_true(mirror)
    mirror.assert_equal_to_oracle("orders", "customers")
    assert_sums(mirror)
    authors = mirror.rows(
        "SELECT source, api_key_current FROM crm.order_history WHERE store_id = :store"
        " AND id > :bookmark GROUP BY 1, 2",
        bookmark=mirror.value(
            "SELECT bookmark FROM sync.feed WHERE store_id = :store AND resource = 'order_history'"
        ),
    )
    assert ("api", False) in {tuple(row) for row in authors}


def test_a_write_is_in_the_mirror_at_the_next_look(open_mirror: Open) -> None:
    """With its entry, which is `current` for the mirror's own key, and the customer's totals."""
    mirror = open_mirror(resources=small(*SOME), orders=45, customers=60)
    mirror.settle()
    with running(mirror.sandbox) as url:
        client = retailcrm.v5(url, mirror.account.key)
        person = client.customer_create({"firstName": "Ana", "externalId": "ana"}, "main")
        items = [{"productName": "Tea", "initialPrice": 12.5, "quantity": 2}]
        order = {"customer": {"externalId": "ana"}, "items": items, "customerComment": "día ñ"}
        made = client.order_create(order, "main").get_response()["id"]
    mirror.feeds()
    [row] = mirror.rows(
        "SELECT o.customer_comment, o.total_summ, h.source, h.api_key_current, h.created"
        " FROM crm.orders AS o JOIN crm.order_history AS h USING (store_id)"
        " WHERE o.store_id = :store AND o.id = :id AND h.order_id = o.id",
        id=made,
    )
    assert tuple(row) == ("día ñ", 25, "api", True, True)
    mirror.come_to_rest()
    [sums] = mirror.rows(
        "SELECT orders_count, total_summ FROM crm.customers WHERE store_id = :store AND id = :id",
        id=person.get_response()["id"],
    )
    assert tuple(sums) == (1, 25)


def assert_true(mirror: Mirror) -> None:
    for resource in ("orders", "customers"):
        assert wrong(mirror, resource) == []


def assert_sums(mirror: Mirror) -> None:
    """Customers' and corporate customers' sums are the CRM's, and those of the mirrored orders."""
    for resource, collection in (
        ("customers", "customers"), ("corporate_customers", "customers-corporate"),
    ):  # fmt: skip
        true = {r["id"]: r for r in mirror.sandbox.truth(mirror.account.name, collection)}
        rows = mirror.rows(
            "SELECT c.id, c.orders_count, c.total_summ, coalesce(o.orders, 0) AS orders,"
            " coalesce(o.total, 0) AS total"
            f" FROM crm.{resource} AS c LEFT JOIN (SELECT customer_id, count(*) AS orders,"
            "  sum(total_summ) AS total FROM crm.orders WHERE store_id = :store"
            "  AND deleted_at IS NULL AND status NOT IN ('cancel-other', 'no-call', 'no-product',"
            "  'returned') GROUP BY 1) AS o ON o.customer_id = c.id"
            " WHERE c.store_id = :store AND c.deleted_at IS NULL"
        )
        assert {row.id for row in rows} == true.keys()
        for row in rows:
            told = true[row.id]
            assert (row.orders_count, float(row.total_summ)) == (
                told["ordersCount"], pytest.approx(told["totalSumm"]),
            ), (resource, row)  # fmt: skip
            assert (row.orders, float(row.total)) == (
                told["ordersCount"], pytest.approx(told["totalSumm"]),
            ), (resource, row)  # fmt: skip


def test_all_that_can_be_written_is_mirrored_without_a_reject(open_mirror: Open) -> None:
    """Every write once, and the largest with all their fields: no unknown field, no reject."""
    mirror = open_mirror(resources=RESOURCES, orders=60, customers=100)
    mirror.settle(most=30)
    account, sandbox = mirror.account, mirror.sandbox
    account.create_bonus(account.ids("loyalty-accounts")[0], 10_000)
    item = {"productName": "Tea", "quantity": 2, "initialPrice": 5, "discountManualPercent": 10,
            "comment": "x", "externalIds": [{"code": "shop", "value": "9"}],
            "properties": [{"code": "size", "name": "Size", "value": "L"}]}  # fmt: skip
    whole = {
        "orders/create": {"order": every_field(ORDER, account) | {"items": [item]}},
        "customers/create": {"customer": every_field(CUSTOMER, account)},
        "customers-corporate/create": {"customerCorporate": every_field(FIRM, account)},
        "tasks/create": {"task": every_field(TASK, account)},
        "costs/create": {"cost": every_field(COST, account)},
        "orders/packs/create": {"pack": every_field(PACK, account)},
    }
    for path, form in whole.items():
        status, told = sandbox.post(path, site="main", **form)
        assert status == 201, (path, told)
    refused = [
        (path, status, told)
        for verb, path, sort in conformance.methods()
        if (verb, sort) == ("POST", "served")
        for status, told in [conformance.call(sandbox, account, verb, path)]
        if status >= 400
    ]
    # Some need what others have just taken away, or are there already.
    assert len(refused) < 12, refused
    mirror.pass_time(90_000)
    mirror.settle(most=30)
    unknown = mirror.rows("SELECT resource, path FROM sync.unknown_field WHERE store_id = :store")
    assert unknown == []
    assert mirror.rows("SELECT * FROM sync.reject WHERE store_id = :store") == []
    assert mirror.errors() == []
    mirror.assert_equal_to_oracle("orders", "customers")


def every_field(shape: Shape, account: Account) -> dict[str, Any]:
    """Return an object with all fields that a shape reads."""
    return {name: check.sample(account) for name, check in shape.fields.items()}
