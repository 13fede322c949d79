"""Erasure that sticks: nothing of a person is left, and nothing of them comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from sync.declare.moments import zone_of
from sync.errors import BadRequest
from sync.privacy import erasure
from sync.rows import versions as contents
from sync.state import coverage, stores
from tests.integration.pipeline import typed
from tests.integration.pipeline.harness import Mirror, small

PERSON = {
    "firstName": "Клеопатра",
    "lastName": "Незабудкина",
    "patronymic": "Птолемеевна",
    "email": "cleo@nile.example",
    "phones": [{"number": "+79995550001"}],
    "address": {"text": "ул. Гробничная, д. 3", "street": "Гробничная", "building": "3b-unique"},
    "customFields": {"passport": "4509-unique"},
}
ORDERED = {
    "firstName": "Клеопатра",
    "lastName": "Незабудкина",
    "phone": "+79995550001",
    "email": "cleo@nile.example",
    "customerComment": "позвонить Незабудкиной",
    "managerComment": "Незабудкина просила тише",
}
WORDS = ("Клеопатр", "Незабудкин", "Птолемеевн", "cleo@nile", "9995550001", "Гробничная",
         "3b-unique", "4509-unique")  # fmt: skip


class Person:
    """A customer with two orders in the CRM, found by words that nobody else has."""

    def __init__(self, mirror: Mirror) -> None:
        self.mirror = mirror
        account = mirror.account
        self.id = account.create_customer(**PERSON)
        self.orders = [account.create_order(customer=self.id, **ORDERED) for _ in range(2)]
        account.update_order(self.orders[0], managerComment="Незабудкина передумала")
        account.update_order(self.orders[0], status="assembling")

    def traces(self) -> dict[str, int]:
        """Rows anywhere in the database that hold one of the person's words."""
        found = {}
        with self.mirror.engine.begin() as connection:
            tables = connection.exec_driver_sql(
                "SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_class AS c"
                " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
                " WHERE n.nspname IN ('crm', 'sync') AND c.relkind IN ('r', 'p')"
            ).scalars()
            for table in list(tables):
                count = connection.execute(
                    sa.text(f"SELECT count(*) FROM {table} AS t WHERE t::text LIKE ANY(:words)"),
                    {"words": [f"%{word}%" for word in WORDS]},
                ).scalar()
                # bytea is shown as hex: bodies of parked answers are looked through as text.
                if count:
                    found[table] = count
        return found

    def erase(self) -> list[erasure.Touched]:
        """Erase the person."""
        mirror = self.mirror
        with mirror.engine.begin() as connection:
            store = stores.by_id(connection, mirror.store_id)
            assert store is not None
            return erasure.erase(connection, store, self.id)

    def state(self) -> Any:
        """The person's rows with everything that moves when they are written."""
        return self.mirror.rows(
            "SELECT 'customers', id, xmin::text, changed_at FROM crm.customers"
            " WHERE store_id = :store AND id = :id UNION ALL"
            " SELECT 'orders', id, xmin::text, changed_at FROM crm.orders"
            " WHERE store_id = :store AND customer_id = :id ORDER BY 1, 2",
            id=self.id,
        )


@pytest.fixture
def person(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Person]:
    """Loaded and at rest, with the person in every table that has something of them."""
    mirror = Mirror(database, monkeypatch, orders=12, customers=5)
    made = Person(mirror)
    mirror.settle()
    assert {"crm.customers", "crm.orders", "crm.order_history", "crm.customer_phones"} <= set(
        made.traces()
    )
    yield made
    mirror.close()


def test_nothing_of_the_person_is_left_and_amounts_and_dates_stay(person: Person) -> None:
    """Rows, children, raw, histories; what was bought when for how much is still there."""
    mirror = person.mirror
    amounts = (
        "SELECT sum(total_summ), sum(summ), min(created_at), max(status_updated_at), count(*),"
        " (SELECT count(*) FROM crm.order_items), (SELECT sum(amount) FROM crm.order_payments),"
        " (SELECT count(*) FROM crm.order_history WHERE field = 'status' AND new_value IS NOT NULL)"
        " FROM crm.orders WHERE deleted_at IS NULL"
    )
    before = mirror.rows(amounts)
    person.erase()
    assert person.traces() == {}
    assert mirror.rows(amounts) == before
    row = mirror.rows("SELECT * FROM crm.customers WHERE id = :id", id=person.id)[0]
    assert (row.first_name, row.email, row.deleted_at) == (None, None, None)
    assert row.created_at is not None
    assert coverage_holds(mirror)


def coverage_holds(mirror: Mirror) -> bool:
    """The person's rows stay live and counted: the CRM still has them."""
    return all(
        mirror.coverage(name).mirrored == mirror.coverage(name).expected
        for name in ("orders", "customers")
    )


def test_a_dry_run_says_what_it_would_touch_and_touches_nothing(person: Person) -> None:
    """Counted by table; a customer that is not there is said so."""
    mirror = person.mirror
    before = person.state(), person.traces()
    with mirror.engine.begin() as connection:
        store = stores.by_id(connection, mirror.store_id)
        assert store is not None
        told = {each.table: each.rows for each in erasure.look(connection, store, person.id)}
        with pytest.raises(BadRequest, match="no customer"):
            erasure.look(connection, store, 999_999)
    assert told["customers"] == 1
    assert told["orders"] == 2
    assert told["order_history"] > 2
    assert told["customer_phones"] == 1
    assert (person.state(), person.traces()) == before
    assert {each.table: each.rows for each in person.erase()} == told


def test_a_full_walk_brings_nothing_back_and_the_next_one_writes_nothing(person: Person) -> None:
    """The same records come masked, and equal: a re-walk is quiet."""
    mirror = person.mirror
    person.erase()
    mirror.pass_time(8_000)  # what was told lately is sampled for two hours, and sampling reads it
    mirror.come_to_rest()
    for _ in range(2):
        before = person.state()
        for name in ("customers", "orders", "order_history", "customer_history"):
            with mirror.engine.begin() as connection:
                coverage.withdraw(connection, mirror.store_id, name)
            mirror.queue(name, "load" if not name.endswith("history") else "backfill")
        mirror.settle(most=30)
        assert person.traces() == {}
    assert person.state() == before
    assert coverage_holds(mirror)


def test_feeds_bring_news_without_the_person(person: Person) -> None:
    """A new name, a new order, a status: what is a code or an amount is mirrored, the rest not."""
    mirror, account = person.mirror, person.mirror.account
    person.erase()
    account.update_customer(person.id, firstName="Клеопатра-Селена")
    account.update_order(person.orders[1], managerComment="Незабудкина ждёт", status="complete")
    new = account.create_order(customer=person.id, **ORDERED)
    account.update_order(new, customerComment="опять Незабудкина")
    mirror.come_to_rest()
    assert person.traces() == {}
    assert mirror.value("SELECT status FROM crm.orders WHERE id = :id", id=person.orders[1]) == (
        "complete"
    )
    assert mirror.value("SELECT total_summ > 0 FROM crm.orders WHERE id = :id", id=new)
    assert mirror.rows(
        "SELECT 1 FROM crm.order_history WHERE order_id = :id AND field = 'status'"
        " AND new_value ->> 'code' = 'complete'",
        id=person.orders[1],
    )
    assert coverage_holds(mirror)


def test_a_page_read_before_the_erasure_and_written_after_it_is_masked(person: Person) -> None:
    """Whether a row is masked is decided in the transaction that writes it."""
    mirror = person.mirror
    mirror.account.update_order(person.orders[0], status="complete")
    with mirror.between("/api/v5/orders?", person.erase):
        mirror.feeds()
    mirror.come_to_rest()
    assert person.traces() == {}
    assert mirror.value("SELECT status FROM crm.orders WHERE id = :id", id=person.orders[0]) == (
        "complete"
    )


def test_a_rebuild_makes_the_same_masked_rows_of_masked_raw(person: Person) -> None:
    """Typed columns follow from raw also for what is masked."""
    mirror = person.mirror
    person.erase()
    with mirror.engine.begin() as connection:
        for name in ("customers", "orders"):
            typed.assert_columns_follow_from_raw(connection, mirror.store_id, name, "Europe/Moscow")
    before = mirror.rows("SELECT id, content_hash, raw FROM crm.orders ORDER BY id")
    mirror.queue("orders", "rebuild")
    mirror.queue("customers", "rebuild")
    mirror.settle()
    assert mirror.rows("SELECT id, content_hash, raw FROM crm.orders ORDER BY id") == before
    assert person.traces() == {}
    assert zone_of("Europe/Moscow") is not None


def test_an_erased_person_who_is_combined_into_another_record_stays_erased(
    person: Person,
) -> None:
    """Their data and their orders live on under the survivor's id: that one is erased as well."""
    mirror, account = person.mirror, person.mirror.account
    person.erase()
    survivor = account.create_customer(**PERSON)
    mirror.come_to_rest()
    assert person.traces() != {}, "a new record is another one until the CRM says otherwise"
    account.merge_customers(survivor, [person.id])
    mirror.come_to_rest()
    assert person.traces() == {}
    account.update_order(person.orders[0], managerComment="Незабудкина опять")
    mirror.come_to_rest()
    assert person.traces() == {}


def test_records_combined_into_the_person_before_are_erased_with_them(person: Person) -> None:
    """A tombstone keeps its raw, so it keeps the person; its reason then says erased, but for
    combined ones, by which the mirror follows merges."""
    mirror, account = person.mirror, person.mirror.account
    double = account.create_customer(**PERSON)
    gone = account.create_order(customer=person.id, **ORDERED)
    mirror.come_to_rest()
    account.merge_customers(person.id, [double])
    account.delete_order(gone)
    mirror.come_to_rest()
    assert mirror.tombstones("orders")[gone] == "history"
    person.erase()
    assert person.traces() == {}
    assert mirror.tombstones("customers")[double] == "combined"
    assert mirror.tombstones("orders")[gone] == "erased"


def test_the_suppression_list_does_not_name_anybody(person: Person) -> None:
    """Salted hashes alone: without the salt nobody finds out who is on it."""
    mirror = person.mirror
    person.erase()
    listed = mirror.rows("SELECT digest, resource FROM sync.suppressed WHERE store_id = :store")
    assert {row.resource for row in listed} == {"customers", "orders"}
    assert len(listed) == 3
    with mirror.engine.begin() as connection:
        salt = connection.exec_driver_sql("SELECT salt FROM sync.salt").scalar_one()
        from sync.rows.suppress import digest

        assert digest(bytes(salt), "customers", person.id) in {bytes(row[0]) for row in listed}
        assert digest(b"guess", "customers", person.id) not in {bytes(row[0]) for row in listed}


def test_earlier_contents_are_erased_too(person: Person) -> None:
    """crm.order_versions holds the person as the order did."""
    mirror = person.mirror
    with mirror.engine.begin() as connection:
        contents.switch(connection, mirror.store_id, on=True, keep_days=None)
    mirror.account.update_order(person.orders[0], managerComment="Незабудкина звонила")
    mirror.account.update_customer(person.id, firstName="Клеопатра VII")
    mirror.come_to_rest()
    assert {"crm.order_versions", "crm.customer_versions"} <= set(person.traces())
    person.erase()
    assert person.traces() == {}
    kept = mirror.rows("SELECT total_summ, raw FROM crm.order_versions WHERE store_id = :store")
    assert kept
    assert all(row.total_summ is not None for row in kept)
    assert all(row.raw["totalSumm"] is not None for row in kept)


def test_notes_tasks_files_and_loyalty_of_the_person_are_masked(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever hangs on the customer or on one of their orders, also members of child lists."""
    names = ("customers", "customer_history", "orders", "order_history", "customer_notes", "tasks",
             "task_history", "files", "loyalty_accounts", "loyalties", "costs")  # fmt: skip
    mirror = Mirror(database, monkeypatch, resources=small(*names), orders=15, customers=6)
    mirror.settle(most=30)
    marked = [
        ("customer_notes", "text", "customer_id"),
        ("tasks", "text", "customer_id"),
        ("loyalty_accounts", "phone_number", "customer_id"),
    ]
    try:
        for table, column, link in marked:
            found = mirror.rows(
                f"SELECT {link} AS customer, count(*) FROM crm.{table} WHERE {link} IS NOT NULL"
                f" AND {column} IS NOT NULL GROUP BY 1 ORDER BY 2 DESC LIMIT 1"
            )
            if not found:
                continue
            with mirror.engine.begin() as connection:
                store = stores.by_id(connection, mirror.store_id)
                assert store is not None
                erasure.erase(connection, store, found[0].customer)
            left = mirror.rows(
                f"SELECT {column}, raw FROM crm.{table} WHERE {link} = :id", id=found[0].customer
            )
            assert left
            assert all(row[0] is None for row in left), table
            assert not [row for row in left if "phoneNumber" in json.dumps(row.raw)]
    finally:
        mirror.close()
