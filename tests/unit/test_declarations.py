"""Declarations: what must hold of each, registered or not, and that nothing known is left out."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest
import sqlalchemy as sa
import yaml
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

import sync.resources
from sync.declare import (
    MONEY,
    Child,
    CursorPages,
    DateWindows,
    Field,
    FullRefresh,
    HistoryFeed,
    Incremental,
    Resource,
    Shape,
    SinceId,
    SinglePage,
)
from sync.resources import RESOURCES
from sync.schema.crm import crm_tables

ALL = RESOURCES
EACH = pytest.mark.parametrize("resource", ALL.values(), ids=lambda resource: resource.name)
API = Path(__file__).parents[3] / "shared" / "api"
KNOWN = pytest.mark.skipif(not API.is_dir(), reason="the API facts are not on this machine")

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")

# Columns that are not their path in snake_case, each with its reason.
OTHER_NAMES = {
    ("sites", "contragent_entity_code"): "contragent.code would be the name of contragentCode",
}


def snake(path: str) -> str:
    """`delivery.address.regionId` → `delivery_address_region_id`."""
    steps = [re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", step).lower() for step in path.split(".")]
    return "_".join(steps)


def tables() -> Iterator[tuple[str, tuple[Field, ...]]]:
    for resource in ALL.values():
        yield resource.name, resource.fields
        for child in resource.children:
            yield child.name, child.fields


def placeholders(resource: Resource) -> set[str]:
    texts = [resource.path, *(str(value) for _, value in resource.params)]
    return {name for text in texts for name in re.findall(r"\{(\w+)\}", text)}


def test_names_are_unique_over_registered_and_later() -> None:
    assert all(name == resource.name for name, resource in ALL.items())


def test_every_declared_resource_is_named_in_the_registry() -> None:
    """A resource that a module declares and RESOURCES does not name would be mirrored by nobody,
    with every test green."""
    modules = (
        import_module(f"sync.resources.{each.name}")
        for each in iter_modules(sync.resources.__path__)
    )
    declared = {
        found.name
        for module in modules
        for found in vars(module).values()
        if isinstance(found, Resource)
    }
    assert declared - RESOURCES.keys() == set(), "name them in RESOURCES (CONTRIBUTING, step 3)"


def test_tables_are_unique() -> None:
    """A child table may have the name of no other table: both are in the schema crm."""
    doubled = [name for name, count in Counter(name for name, _ in tables()).items() if count > 1]
    assert doubled == []


@pytest.mark.parametrize("table", tuple(tables()), ids=lambda table: table[0])
def test_columns_are_named_by_their_path_and_unique(table: tuple[str, tuple[Field, ...]]) -> None:
    name, fields = table
    assert NAME.fullmatch(name)
    columns = [field.name for field in fields]
    assert len(set(columns)) == len(columns)
    paths = [field.path for field in fields if field.path]
    assert len(set(paths)) == len(paths)
    for field in fields:
        assert NAME.fullmatch(field.name)
        if field.path:
            assert PATH.fullmatch(field.path)
    assert [
        (field.name, field.path)
        for field in fields
        if field.path and field.name != snake(field.path) and (name, field.name) not in OTHER_NAMES
    ] == []


@EACH
def test_notes_are_short_and_factual(resource: Resource) -> None:
    """Notes are SQL comments, so they are schema: prose belongs in the module's docstring."""
    notes = [resource.note, *(field.note for field in resource.fields)]
    for child in resource.children:
        notes += [child.note, *(field.note for field in child.fields)]
    notes += [reason for _, reason in resource.raw_only]
    for note in notes:
        assert note == note.strip()
        assert 0 < len(note) <= 90
        assert "\n" not in note
        assert not note.endswith(".")


@EACH
def test_the_key_is_a_column(resource: Resource) -> None:
    columns = {field.name for field in resource.fields}
    if resource.key:
        assert resource.key in columns
        assert resource.key in {"id", "code"}
    for child in resource.children:
        child_columns = {field.name for field in child.fields}
        assert child.key is None or child.key in child_columns
        assert resource.parent_column not in child_columns
        assert child.name not in {resource.name, *columns}
    if resource.made:
        assert set(resource.made.columns) <= columns - {resource.key}
    if resource.shape is Shape.SINGLE and not resource.parent:
        assert resource.key == ""


@EACH
def test_a_field_without_a_path_is_filled_from_elsewhere(resource: Resource) -> None:
    filled = set()
    if resource.made or resource.shape is Shape.SCALARS:
        filled.add(resource.key)
    if resource.parent:
        filled.add(resource.parent.column)
    assert {field.name for field in resource.fields if not field.path} <= filled
    for child in resource.children:
        without = [field for field in child.fields if not field.path]
        assert not without or len(child.fields) == 1


@EACH
def test_what_stays_in_raw_has_a_reason_and_no_column(resource: Resource) -> None:
    paths = {field.path for field in resource.fields} | {child.path for child in resource.children}
    for path, _ in resource.raw_only:
        assert PATH.fullmatch(path)
        assert path not in paths


@EACH
def test_methods_are_ones_of_version_5_and_read(resource: Resource) -> None:
    assert re.fullmatch(r"/api/(v5/[a-z-]+|credentials)(/[a-z_-]+|/\{\w+\})*", resource.path)
    assert resource.page_size in {100, 250}
    if isinstance(resource.listing, SinceId | CursorPages):
        assert resource.page_size == 100
    assert bool(resource.single) == bool(resource.single_key)
    if resource.single:
        assert "{id}" in resource.single
        assert resource.key == "id"
    if resource.shape in {Shape.MAP, Shape.SINGLE, Shape.SCALARS}:
        assert isinstance(resource.listing, SinglePage)


@EACH
def test_a_followed_resource_and_its_history_name_each_other(resource: Resource) -> None:
    if isinstance(resource.changes, HistoryFeed):
        history = ALL[resource.changes.by]
        assert isinstance(history.listing, SinceId)
        assert history.listing.target == resource.name
        assert resource.single, (
            f"{resource.name} is followed by {history.name}, and has no `single`: a record that"
            " entries name and its list does not show could never be found to be gone"
        )
    if isinstance(resource.listing, SinceId):
        target = ALL[resource.listing.target]
        assert target.changes == HistoryFeed(resource.name)
        assert f"{resource.listing.subject}.id" in {field.path for field in resource.fields}, (
            f"{resource.name} has no column with the id of what an entry is about"
        )
        assert (resource.name in RESOURCES) == (target.name in RESOURCES)


@EACH
def test_what_is_read_again_can_be(resource: Resource) -> None:
    paths = {field.path for field in resource.fields}
    for reread in resource.rereads:
        other = ALL[reread.resource]
        assert reread.path in paths
        assert reread.when is None or reread.when[0] in paths
        if other.parent:
            assert other.parent.resource == resource.name
        assert resource.name not in RESOURCES or other.name in RESOURCES
    for name, column in resource.combined:
        assert column in {field.name for field in ALL[name].fields}


@EACH
def test_a_method_per_parent_names_the_parents_columns(resource: Resource) -> None:
    if resource.parent is None:
        assert placeholders(resource) == set()
        return
    columns = {field.name for field in ALL[resource.parent.resource].fields}
    assert placeholders(resource)
    assert placeholders(resource) <= columns
    assert resource.parent.by in columns
    assert resource.parent.column in {field.name for field in resource.fields}
    assert not isinstance(resource.changes, HistoryFeed)


@EACH
def test_cadences_are_between_a_quarter_minute_and_a_day(resource: Resource) -> None:
    if isinstance(resource.changes, FullRefresh):
        assert 15 <= resource.changes.every_seconds <= 86_400
    if isinstance(resource.changes, Incremental):
        assert resource.changes.poll_seconds < resource.changes.every_seconds
        assert resource.changes.overlap_seconds >= 1  # the API leaves the bound itself out
    if resource.optional:
        assert isinstance(resource.changes, FullRefresh)
        assert resource.changes.every_seconds == 86_400


@EACH
def test_what_follows_from_a_declaration(resource: Resource) -> None:
    """Its tables in the order they are written, and the columns others join them by."""
    assert list(resource.tables) == [resource.name, *(child.name for child in resource.children)]
    assert resource.key_column == (resource.key or None)
    assert (resource.parent_column is None) == (resource.key == "")
    assert (resource.key_sql is None) == (resource.key == "")
    if resource.key == "id" and not resource.made:
        assert resource.key_sql == "bigint"
    elif resource.key:
        assert resource.key_sql == "text"
    assert resource.is_followed == isinstance(resource.changes, HistoryFeed)
    assert resource.is_history == isinstance(resource.listing, SinceId)
    assert (resource.created_field is not None) == isinstance(resource.listing, DateWindows)


def test_versions_tell_declarations_apart() -> None:
    assert len({resource.version for resource in ALL.values()}) >= len(ALL) - 2
    assert ALL["orders"].version == ALL["orders"].version


@pytest.mark.parametrize("place", ["record", "child"])
def test_another_way_to_read_a_column_is_another_version(place: str) -> None:
    """So rows that are there are made anew, and no others: of what has no such column nothing."""
    orders = ALL["orders"]
    fields = orders.fields if place == "record" else orders.children[0].fields
    numeric = next(field for field in fields if field.kind is MONEY)
    later = replace(numeric, kind=replace(MONEY, rules=MONEY.rules + 1))
    others = tuple(later if field is numeric else field for field in fields)
    read_otherwise = (
        replace(orders, fields=others)
        if place == "record"
        else replace(orders, children=(replace(orders.children[0], fields=others),))
    )
    same = replace(orders, children=orders.children[:1]) if place == "child" else orders
    assert read_otherwise.version != same.version


def test_every_declaration_makes_tables_that_postgres_takes() -> None:
    """Names fit Postgres's 63 bytes, and every table has its key and its comments."""
    metadata = sa.MetaData()
    made = crm_tables(ALL, metadata)
    assert set(made) == {name for name, _ in tables()}
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    for table in made.values():
        assert str(CreateTable(table).compile(dialect=dialect))
        names = [table.name, *(column.name for column in table.columns)]
        names += [str(index.name) for index in table.indexes]
        names += [str(each.name) for each in table.constraints if each.name]
        assert max(len(name) for name in names) <= 63
        assert next(iter(table.primary_key.columns)).name == "store_id"
        assert table.comment
        assert all(column.comment for column in table.columns)
        for index in table.indexes:
            assert str(CreateIndex(index).compile(dialect=dialect))
            assert index.columns[0].name == "store_id"


def test_the_files_are_tables_and_look_like_it() -> None:
    """No loops, no conditions, no functions: a declaration is read, not run."""
    busy = (ast.For, ast.While, ast.If, ast.IfExp, ast.comprehension, ast.FunctionDef, ast.Lambda)
    folder = Path(sync.resources.__file__).parent
    for file in folder.glob("*.py"):
        if file.name == "__init__.py":
            continue
        tree = ast.parse(file.read_text())
        assert ast.get_docstring(tree), file.name
        assert [node for node in ast.walk(tree) if isinstance(node, busy)] == [], file.name
        assert len(file.read_text().splitlines()) <= 300, file.name


# Against what is known of the API


@cache
def facts(name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((API / f"{name}.yaml").read_text())
    return read


def endpoints() -> list[dict[str, Any]]:
    every = facts("endpoints")["endpoints"]
    return [each for each in every if str(each["mirror"]).startswith(("primary", "optional"))]


NOT_DECLARED = {
    "/api/v5/integration-modules/{code}": "the record as sent holds secrets",
    "/api/v5/loyalty/account/{id}/bonus/operations": "the same operations as in bonus/operations",
}


def declared(endpoint: dict[str, Any]) -> list[Resource]:
    pattern = re.sub(r"\\\{.*?\\\}", "[^/]+", re.escape(endpoint["path"]))
    found = [each for each in ALL.values() if each.path == endpoint["path"]]
    return found or [each for each in ALL.values() if re.fullmatch(pattern, each.path)]


@KNOWN
def test_every_method_worth_mirroring_is_declared_as_it_answers() -> None:
    for endpoint in endpoints():
        path = endpoint["path"]
        found = declared(endpoint)
        assert bool(found) != (path in NOT_DECLARED), path
        for resource in found:
            key = str(endpoint["response_key"] or "").split(" ")[0]
            assert resource.answer_key == key, path
            assert resource.scope == endpoint["scope"], path
            paged = bool(endpoint["pagination"])
            assert paged != isinstance(resource.listing, SinglePage), path
            keyed = endpoint["shape"] == "object_map_keyed_by_code"
            assert keyed == (resource.shape is Shape.MAP), path
            if endpoint["id_key"] is None and resource.key:
                assert resource.made or resource.shape is Shape.SCALARS, path


KINDS = {
    "int": {"id", "integer", "number", "money", "text"},
    "float": {"money", "number", "quantity"},
    "string": {"text", "code"},
    "bool": {"boolean"},
    "mixed": {"json", "map"},
    "date": {"date"},
    "datetime": {"datetime"},
    "datetime_minute": {"minute"},
    "datetime_tz": {"datetime_offset"},
    "time": {"time", "text"},  # `custom` beside it is free text, so all three are text
    "custom_fields_map": {"map"},
}
# Where the declared type is not what is sent, or not what it means.
OTHER_KINDS = {
    ("costs", "createdBy"): "id",  # a user's id in quotes
    ("custom_fields", "default"): "json",  # a number or text
    ("price_type_geo", "regionId"): "id",  # an id, empty text where there is none
    ("price_type_geo", "cityId"): "id",
    ("loyalty_levels", "sum"): "money",
}


# Models are shared between methods: fields that the method itself does not send.
NOT_SENT = {
    "order_items: offer.quantity (float)",  # stock, in the answers of store/*
    "order_items: order.id (int)",  # in packs, whose items stand alone
}


class Coverage:
    """Walks an entity of the API facts beside the columns of a declaration."""

    def __init__(self, table: str, fields: tuple[Field, ...], resource: Resource | None) -> None:
        self.entities = facts("entities")["entities"]
        self.table = table
        self.fields = {field.path: field for field in fields}
        self.children = {child.path: child for child in resource.children} if resource else {}
        self.raw_only = {path for path, _ in resource.raw_only} if resource else set()
        self.missing: list[str] = []

    def covered(self, path: str) -> bool:
        steps = path.split(".")
        above = [".".join(steps[:end]) for end in range(1, len(steps) + 1)]
        return any(
            place in self.raw_only
            or (place in self.fields and self.fields[place].kind.sql == "jsonb")
            for place in above
        )

    def walk(self, entity: str, path: str = "", depth: int = 0) -> list[str]:
        for name, spec in self.entities[entity]["fields"].items():
            here = f"{path}.{name}" if path else name
            kind = str(spec["type"])
            if "not in PHP model" in kind and "seen" not in spec:
                continue  # a word of one client, never seen in an answer
            self.one(here, kind.removeprefix("(not in PHP model) "), depth)
        return self.missing

    def one(self, path: str, kind: str, depth: int) -> None:
        listed = re.fullmatch(r"(?:list|list_or_map)<(?:ref:)?([\w.]+)>", kind)
        if path in self.fields and not listed and not kind.startswith("ref:"):
            self.agree(path, kind)
        elif self.covered(path):
            return
        elif listed and path in self.children:
            self.child(self.children[path], listed[1])
        elif kind == "ref:customer_polymorphic":
            self.walk("Customers.Customer", path, depth + 1)
        elif kind.startswith("ref:") and depth < 5:
            self.walk(kind.removeprefix("ref:"), path, depth + 1)
        else:
            self.missing.append(f"{self.table}: {path} ({kind})")

    def child(self, child: Child, entity: str) -> None:
        inner = Coverage(child.name, child.fields, None)
        if entity in self.entities:
            self.missing += inner.walk(entity)
        elif "" not in inner.fields:
            self.missing.append(f"{child.name}: a list of {entity}")

    def agree(self, path: str, kind: str) -> None:
        mine = self.fields[path].kind.name
        other = OTHER_KINDS.get((self.table, path))
        if mine != other and mine not in KINDS.get(kind, {"json", "map"}):
            self.missing.append(f"{self.table}: {path} is {kind}, not {mine}")


@KNOWN
def test_every_known_field_is_a_column_or_a_child_or_in_raw_only_with_a_reason() -> None:
    entities = facts("entities")["entities"]
    missing: list[str] = []
    compared = 0
    for endpoint in endpoints():
        for resource in declared(endpoint):
            if endpoint["item"] in entities:
                coverage = Coverage(resource.name, resource.fields, resource)
                missing += coverage.walk(endpoint["item"])
                compared += 1
    assert set(missing) == NOT_SENT
    assert compared >= 55


def test_no_two_lists_wait_for_each_other() -> None:
    """A first load waits for the lists whose records name its own: that must come to an end."""

    def before(name: str, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        for each in ALL.values():
            if each.is_followed and any(also.resource == name for also in each.rereads):
                yield (*path, name, each.name)
                if each.name not in path:
                    yield from before(each.name, (*path, name))

    assert [path for name in ALL for path in before(name) if len(set(path)) < len(path)] == []
    assert ("customers", "orders") in before("customers")
