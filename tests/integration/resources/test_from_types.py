"""Records made of the API's types, as odd as they may be, and taken by a real Postgres."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sync.crm.decode import decode
from sync.database.engine import connect
from sync.declare import Resource
from sync.resources import RESOURCES
from sync.rows.upsert import load
from sync.state import diagnostics
from tests.unit.test_declarations import API, declared, endpoints, facts
from tests.unit.test_normalise_accounts import UNSTORABLE, lost, normalise

pytestmark = pytest.mark.skipif(not API.is_dir(), reason="the API facts are not on this machine")

WORDS = st.sampled_from(
    ["", "text", "имя", "\x00", "a\x00b", "\ud800", "\U0001f600", "'; DROP TABLE crm.orders; --",
     "\\", "%s", "x" * 3_000]
) | st.text(st.characters(exclude_categories=()), max_size=8)  # fmt: skip
DAYS = st.sampled_from(["0001-01-01", "9999-12-31", "0000-00-00", "-0001-11-30", "2024-02-30", ""])
MOMENTS = st.sampled_from(
    ["0001-01-01 00:00:00", "9999-12-31 23:59:59", "0000-00-00 00:00:00", "-0001-11-30 00:00:00",
     "2024-10-27 02:30:00", "2024-03-31 02:30:00", "2024-01-01", "soon", ""]
)  # fmt: skip
AMOUNTS = st.sampled_from(
    [0, 1, -1, 5, 1e15, -1e15, 0.1, "12.50", "1,5", 10**15, 10**40, 1e300, "NaN", ""]
)
IDS = st.integers(1, 50) | st.sampled_from(["7", "007", 2**63, -1, 3.0, "x", "", 0])
UNKNOWN = st.none() | st.booleans() | st.integers() | WORDS | st.just([]) | st.just({})
SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "string": WORDS,
    "int": IDS,
    "float": AMOUNTS,
    "bool": st.sampled_from([True, False, "1", "0", 1, 0, "true", "maybe", ""]),
    "date": st.dates().map(str) | DAYS,
    "datetime": st.datetimes().map(lambda m: m.isoformat(" ", "seconds")) | MOMENTS,
    "datetime_minute": st.datetimes().map(lambda m: m.isoformat(" ", "minutes")) | MOMENTS,
    "datetime_tz": st.sampled_from(["2024-01-01 10:00:00+03:00", "0001-01-01 00:00:00+14:00", "x"]),
    "time": st.sampled_from(["10:00", "10:00:00", "24:00", "99:99", ""]),
    "mixed": UNKNOWN,
}
NOTHING = st.sampled_from([None, [], {}, ""])


@cache
def values_of(kind: str, depth: int) -> st.SearchStrategy[Any]:
    """Values of a type of the catalogue, right ones and wrong ones."""
    kind = kind.removeprefix("(not in PHP model) ")
    listed = re.fullmatch(r"(?:list|list_or_map)<(.+)>", kind)
    if listed:
        one = values_of(listed[1], depth + 1)
        return st.lists(one, max_size=2) | st.dictionaries(st.text("12a"), one, max_size=2)
    if kind.startswith("map<") or kind == "custom_fields_map":
        return st.dictionaries(WORDS, UNKNOWN, max_size=2) | st.just([])
    entity = kind.removeprefix("ref:")
    if entity == "customer_polymorphic":
        entity = "Customers.Customer"
    if entity in facts("entities")["entities"] and depth < 3:
        return records_of(entity, depth) | NOTHING
    right = SCALARS.get(kind, UNKNOWN)
    return st.one_of(right, right, right, UNKNOWN)


@cache
def records_of(entity: str, depth: int = 0) -> st.SearchStrategy[Any]:
    """Objects of an entity: everything is optional, and something nobody knows."""
    fields = {
        name: values_of(str(spec["type"]), depth + 1)
        for name, spec in facts("entities")["entities"][entity]["fields"].items()
    }
    return st.builds(
        lambda known, more: {**more, **known},
        st.fixed_dictionaries({}, optional=fields),
        st.dictionaries(WORDS, UNKNOWN, max_size=1),
    )


@cache
def entities() -> dict[str, str]:
    known = facts("entities")["entities"]
    return {
        resource.name: endpoint["item"]
        for endpoint in endpoints()
        for resource in declared(endpoint)
        if endpoint["item"] in known
    }


@st.composite
def pages(draw: st.DrawFn) -> tuple[Resource, list[Any]]:
    name = draw(st.sampled_from(sorted(entities())))
    return RESOURCES[name], draw(st.lists(records_of(entities()[name]), min_size=1, max_size=3))


@pytest.fixture
def engine(database: str) -> Iterator[sa.Engine]:
    made = connect(database)
    yield made
    made.dispose()


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(page=pages())
def test_records_of_the_apis_types_are_rows_that_postgres_takes(
    engine: sa.Engine, page: tuple[Resource, list[Any]]
) -> None:
    """No exception, no value lost, each reject recorded, every row accepted with its children."""
    resource, sent = page
    sent = [decode(json.dumps(record).encode("utf-8", "surrogatepass")) for record in sent
            ] if not UNSTORABLE.search(json.dumps(sent, ensure_ascii=False)) else sent  # fmt: skip
    alone = [normalise(resource, [record]) for record in sent]
    for record, batch in zip(sent, alone, strict=True):
        whole = [reject for reject in batch.rejects if reject.is_whole]
        assert len(batch.rows) + len(whole) == 1
        for row in batch.rows:
            assert lost(resource, record, row, batch) == []
    batch = normalise(resource, sent)
    with engine.connect() as connection:
        loaded = load(connection, resource, 1, batch.rows)
        diagnostics.keep_rejects(connection, 1, resource.name, rejects=batch.rejects)
        diagnostics.keep_unknown(connection, 1, resource.name, batch.unknown)
        assert loaded.inserted == len(batch.rows)
        for row in batch.rows:
            where = f" AND {resource.key} = %s" if resource.key else ""
            binds: tuple[Any, ...] = (1, row.key) if resource.key else (1,)
            raw = connection.exec_driver_sql(
                f"SELECT raw::text FROM crm.{resource.name} WHERE store_id = %s{where}", binds
            ).scalar_one()
            assert same(decode(raw.encode()), decode(row.raw))
            for child, members in zip(resource.children, row.children, strict=True):
                mine = f" AND {resource.parent_column} = %s" if resource.key else ""
                count = connection.exec_driver_sql(
                    f"SELECT count(*) FROM crm.{child.name} WHERE store_id = %s{mine}", binds
                ).scalar_one()
                assert count == len(members)
        kept = connection.exec_driver_sql("SELECT count(*) FROM sync.reject").scalar_one()
        assert kept == len(batch.rejects)
        connection.rollback()


def same(ours: Any, theirs: Any) -> bool:
    """Equal as JSON: 1.0 and 1.00 are one number."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same(ours[k], theirs[k]) for k in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(ours, Decimal | int | float) and not isinstance(ours, bool):
        return Decimal(ours) == Decimal(theirs)
    return bool(ours == theirs)
