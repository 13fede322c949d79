"""Erasure that sticks: nothing of a person is left, and nothing of them comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from sync.declare.moments import zone_of
from sync.errors import BadRequest
from sync.privacy import erasure, places, search, statistics, suppression_list
from sync.resources import RESOURCES
from sync.rows import versions as contents
from sync.schema.everything import METADATA
from sync.state import accounts, coverage, diagnostics, stores
from tests.integration.analysts.conftest import put
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
        """Tables of the database in whose bytes one of the person's words stands, and how often.

        The bytes are those of COPY, as in a dump; columns of bytes, which it writes as hex, and
        escaped JSON are searched for the words in those forms too. The planner's statistics are
        among the tables.
        """
        forms = {
            form.encode()
            for word in WORDS
            for form in (word, json.dumps(word)[1:-1], word.encode().hex(),
                         json.dumps(word)[1:-1].encode().hex(),
                         json.dumps(word)[1:-1].replace("\\", "\\\\"))
        }  # fmt: skip
        found = {}
        with self.mirror.engine.begin() as connection:
            tables = connection.exec_driver_sql(
                "SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_class AS c"
                " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
                " WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'information_schema'"
            ).scalars()
            driver: Any = connection.connection.driver_connection
            for table in list(tables):
                with driver.cursor().copy(f"COPY (SELECT * FROM {table}) TO STDOUT") as copied:
                    dump = b"".join(bytes(block) for block in copied)
                count = sum(dump.count(form) for form in forms)
                if count:
                    found[table] = count
        return found

    def erase(self, *, by_contact: bool = False) -> list[erasure.Touched]:
        """Erase the person."""
        mirror = self.mirror
        with mirror.engine.begin() as connection:
            store = stores.by_id(connection, mirror.store_id)
            assert store is not None
            touched = erasure.erase(connection, store, self.id, by_contact=by_contact)
        statistics.forget(mirror.engine)
        return touched

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
        theirs = erasure.person(connection, store, person.id)
        told = {each.table: each.rows for each in erasure.look(connection, store, theirs.records)}
        with pytest.raises(BadRequest, match="no customer"):
            erasure.person(connection, store, 999_999)
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


def test_all_that_others_belong_to_is_listed_with_a_survivor(person: Person) -> None:
    """What links to a pack or a loyalty account of theirs is recognised when it comes first."""
    mirror, account = person.mirror, person.mirror.account
    person.erase()
    survivor = account.create_customer(**PERSON)
    order = account.create_order(customer=survivor, **ORDERED)
    mirror.come_to_rest()
    store = mirror.store_id
    put(mirror.engine, "packs", {"store_id": store, "id": 1, "item_order_id": order})
    put(mirror.engine, "loyalty_accounts", {"store_id": store, "id": 1, "customer_id": survivor})
    account.merge_customers(survivor, [person.id])
    mirror.come_to_rest()
    listed = {row[0] for row in mirror.rows("SELECT DISTINCT resource FROM sync.suppressed")}
    assert listed >= {"customers", "orders", "packs", "loyalty_accounts"}


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


def test_the_survivor_of_merges_is_erased_with_those_it_took_up(person: Person) -> None:
    """The person's phone and orders live on under the last survivor, whichever id is erased."""
    mirror, account = person.mirror, person.mirror.account
    middle, last = account.create_customer(**PERSON), account.create_customer(**PERSON)
    mirror.come_to_rest()
    account.merge_customers(middle, [person.id])
    mirror.come_to_rest()
    account.merge_customers(last, [middle])
    mirror.come_to_rest()
    assert mirror.tombstones("customers")[person.id] == "combined"
    person.erase()
    assert person.traces() == {}
    account.update_customer(last, firstName="Клеопатра")
    mirror.come_to_rest()
    assert person.traces() == {}


def test_the_planner_forgets_the_person_too(person: Person) -> None:
    """Statistics keep the commonest values of a column: a name, a phone."""
    with person.mirror.engine.execution_options(
        isolation_level="AUTOCOMMIT"
    ).connect() as connection:
        connection.exec_driver_sql("ANALYZE crm.customers, crm.orders, crm.order_history")
    assert "pg_catalog.pg_statistic" in person.traces()
    person.erase()
    assert person.traces() == {}


def sending(mirror: Mirror, path: str, change: Any) -> None:
    """Answers of one method, each of its records changed on the way."""

    def answer(request: httpx.Request) -> httpx.Response | None:
        if request.url.path != path:
            return None
        data = json.loads(mirror.wire._answer(request).content)
        for record in data.get(path.rsplit("/", 1)[-1], []):
            change(record)
        return httpx.Response(200, json=data)

    mirror.wire.answers = answer


def test_a_name_where_a_number_belongs_is_removed_and_never_quoted(person: Person) -> None:
    """Rejects keep the value apart from its reason; `raw` keeps of a number's path a number."""
    mirror = person.mirror

    def misplace(record: dict[str, Any]) -> None:
        if record["id"] == person.orders[0]:
            record["summ"] = record["weight"] = "Незабудкина"
            record["shipmentDate"] = "2026-01-01 Незабудкина"
            record["delivery"] = {**record.get("delivery", {}), "cost": "у Незабудкиной"}

    sending(mirror, "/api/v5/orders", misplace)
    mirror.account.update_order(person.orders[0], managerComment="впервые")
    mirror.come_to_rest()
    rejects = "SELECT reason FROM sync.reject WHERE record = :id ORDER BY 1"
    reasons = mirror.rows(rejects, id=str(person.orders[0]))
    assert {row.reason for row in reasons} >= {"expected a number, got text"}
    person.erase()
    assert person.traces() == {}
    mirror.account.update_order(person.orders[0], managerComment="снова")
    mirror.come_to_rest()
    assert mirror.rows(rejects, id=str(person.orders[0])) == reasons, "still said, without values"
    assert person.traces() == {}


def test_answers_and_records_that_nobody_can_read_are_not_kept(person: Person) -> None:
    """Whose they are cannot be told: after an erasure their bytes are not kept at all."""
    mirror = person.mirror

    def break_(record: dict[str, Any]) -> None:
        if record["id"] == person.orders[0]:
            record["id"] = "unreadable"

    def fail_once() -> None:
        mirror.queue("orders", "backfill")
        for _ in range(4):
            mirror.work("orders", "walk")
            mirror.pass_time(900)

    sending(mirror, "/api/v5/orders", break_)
    fail_once()
    with mirror.engine.begin() as connection:
        park(connection, mirror)
    assert {"sync.reject", "sync.parked_page"} <= person.traces().keys()
    person.erase()
    assert person.traces() == {}
    fail_once()
    with mirror.engine.begin() as connection:
        park(connection, mirror)
    assert mirror.value("SELECT count(*) FROM sync.parked_page WHERE body IS NULL") >= 2
    assert person.traces() == {}


def park(connection: sa.Connection, mirror: Mirror) -> None:
    body = json.dumps({"success": "oui", "orders": [ORDERED]}).encode()
    diagnostics.park_page(
        connection, mirror.store_id, "orders", request="GET", reason="odd", body=body
    )


def test_the_list_outlives_the_store(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """Purged and added again, the account sends the person again: masked as before."""
    mirror = person.mirror
    person.erase()
    with mirror.engine.begin() as connection:
        accounts.forget(connection, mirror.store_id)
    assert sum(count for _, count in accounts.purge(mirror.engine, mirror.store_id,
                                                    RESOURCES.values())) > 0  # fmt: skip
    again = Mirror(
        mirror.cfg.database_url.get_secret_value(), monkeypatch,
        sandbox=mirror.sandbox, account=mirror.account, engine=mirror.engine,
    )  # fmt: skip
    again.settle()
    assert again.value("SELECT count(*) FROM crm.orders WHERE customer_id = :id", id=person.id) == 2
    assert person.traces() == {}
    again.close()


def test_a_saved_list_masks_what_a_backup_brings_back(person: Person, tmp_path: Path) -> None:
    """Rows as before the erasure and no list: after the restore nothing of the person is left, and
    a list of another database's secret is refused where one is in use."""
    mirror, file = person.mirror, tmp_path / "suppressed.json"
    tables = ("crm.customers", "crm.customer_phones", "crm.orders", "crm.order_history",
              "crm.customer_history")  # fmt: skip
    before = person.traces()
    with mirror.engine.begin() as connection:
        for table in tables:
            connection.exec_driver_sql(f"CREATE TABLE public.{table[4:]} AS TABLE {table}")
    person.erase()
    with mirror.engine.begin() as connection:
        assert suppression_list.save(connection, file) == 3
        with pytest.raises(BadRequest, match="exists"):
            suppression_list.save(connection, file)
        for table in tables:
            connection.exec_driver_sql(f"DELETE FROM {table}")
            connection.exec_driver_sql(f"INSERT INTO {table} TABLE public.{table[4:]}")
            connection.exec_driver_sql(f"DROP TABLE public.{table[4:]}")
        connection.exec_driver_sql("DELETE FROM sync.suppressed")
    assert file.stat().st_mode & 0o777 == 0o600
    assert person.traces().keys() >= before.keys() - {"pg_catalog.pg_statistic"}
    with mirror.engine.begin() as connection:
        new, masked = suppression_list.restore(connection, file)
        assert new == 3
        assert masked > 3
    assert person.traces() == {}
    told = json.loads(file.read_text())
    for wrong, word in (
        (told | {"salt": "00" * 32}, "another secret"),
        (told | {"format": "x"}, "no list"),
    ):
        file.write_text(json.dumps(wrong))
        with mirror.engine.begin() as connection, pytest.raises(BadRequest, match=word):
            suppression_list.restore(connection, file)


def test_by_contact_a_record_made_anew_is_masked_too(person: Person) -> None:
    """However the phone is spelled; a stranger with another phone is left alone."""
    mirror, account = person.mirror, person.mirror.account
    double = account.create_customer(**(PERSON | {"phones": [{"number": "8 (999) 555-00-01"}]}))
    mirror.come_to_rest()
    touched = {each.table: each.rows for each in person.erase(by_contact=True)}
    assert touched["customers"] == 2
    assert person.traces() == {}
    anew = account.create_customer(**(PERSON | {"email": None}))
    account.create_order(customer=None, **(ORDERED | {"phone": "+7-999-555-00-01"}))
    other = account.create_customer(firstName="Пелагея", phones=[{"number": "+79995550002"}])
    mirror.come_to_rest()
    assert {double, anew, other} <= mirror.live("customers").keys()
    assert person.traces() == {}
    assert mirror.value("SELECT first_name FROM crm.customers WHERE id = :id", id=other) == (
        "Пелагея"
    )


def test_the_search_finds_what_an_erasure_leaves(person: Person) -> None:
    """Another record of the person is found by its phone; after that one's erasure nothing is."""
    mirror = person.mirror
    double = mirror.account.create_customer(**PERSON)
    mirror.come_to_rest()
    with mirror.engine.begin() as connection:
        store = stores.by_id(connection, mirror.store_id)
        assert store is not None
        marks = erasure.person(connection, store, person.id).marks
    assert {"Клеопатра Незабудкина", "cleo@nile.example", "+79995550001", "9995550001"} <= set(
        marks
    )
    person.erase()
    assert {"crm.customers", "crm.customer_phones"} <= search.tables_with(
        mirror.engine, marks
    ).keys()
    person.id = double
    person.erase()
    assert search.tables_with(mirror.engine, marks) == {}


def test_entries_of_a_record_deleted_before_it_was_read_are_masked(person: Person) -> None:
    """Its tombstone names nobody, and its history may quote anybody."""
    mirror, account = person.mirror, person.mirror.account
    gone = account.create_order(customer=person.id, **ORDERED)
    account.delete_order(gone)
    mirror.come_to_rest()
    assert mirror.value("SELECT raw FROM crm.orders WHERE id = :id", id=gone) is None
    person.erase()
    assert person.traces() == {}
    late = account.create_order(customer=person.id, **ORDERED)
    account.delete_order(late)
    mirror.come_to_rest()
    assert late in mirror.tombstones("orders")
    assert person.traces() == {}


def test_every_column_that_may_quote_a_person_is_known() -> None:
    """A new column of text in `sync` is judged: what the CRM sent, or our own words."""
    quiet = (sa.BigInteger, sa.Boolean, sa.DateTime, sa.Date, sa.Float)
    columns = {
        f"{table.name}.{column.name}"
        for table in METADATA.tables.values()
        if table.schema == "sync" and table.name != "store"
        for column in table.columns
        if not isinstance(column.type, quiet) and column.name != "resource"
    }
    assert columns == places.QUOTING.keys() | places.OURS


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
