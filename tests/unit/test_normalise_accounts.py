"""Nothing is lost: every value of a record is in a column, a reject, or named as kept in raw.

The book-keeping here is written from the declarations alone, beside the normaliser and not with
it: each scalar of a record must be accounted for.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sync.crm.decode import decode
from sync.declare import Field, Reading, Rejected, Resource, Shape
from sync.declare.moments import zone_of
from sync.records.normalise import NAME_LENGTH, Batch, Normaliser, Row, records_of
from sync.resources import RESOURCES

ALL = RESOURCES
RECORDED = Path(__file__).parents[3] / "shared" / "recorded"
ZONE = "America/Santiago"
NOW = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
READING = Reading(zone_of(ZONE))
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
SCALARS = str | int | float | Decimal | bool


def normalise(resource: Resource, records: list[Any]) -> Batch:
    """Rows of one page; where the parent is known from the request alone, it is number 77."""
    pathless = {field.name for field in resource.fields if not field.path}
    parent = 77 if resource.parent and resource.parent.column in pathless else None
    return Normaliser(resource, zone_of(ZONE), ZONE).batch(records, as_of=NOW, parent=parent)


# Book-keeping


def cleaned(value: Any) -> Any:
    """What Postgres can hold of the names and texts of a value."""
    if isinstance(value, str):
        return UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {cleaned(name): cleaned(member) for name, member in value.items()}
    if isinstance(value, list):
        return [cleaned(member) for member in value]
    return value


def scalars(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every scalar below the members of an object; lists are walked by whoever knows them."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from scalars(member, (*path, name))
    elif isinstance(value, list):
        if value:
            yield path, value
    elif value is not None:
        yield path, value


def is_nothing(field: Field, value: Any) -> bool:
    """PHP's ways of saying nothing: empty text, a zero date."""
    try:
        return value == "" or field.kind.parse(value, READING) is None
    except Rejected:
        return False


def is_same(field: Field, value: Any, column: Any) -> bool:
    """Whether the column says what the value says, as far as that can be told by itself."""
    if field.kind.sql == "text" and isinstance(value, str):
        return bool(column == value)
    if field.kind.sql in {"numeric", "bigint"} and type(value) in {int, Decimal}:
        return bool(Decimal(value) == column)
    return column is not None


def unaccounted(
    fields: tuple[Field, ...],
    record: Any,
    values: dict[str, Any],
    *,
    rejected: set[str],
    unknown: set[str],
    raw_only: set[str],
    elsewhere: set[str],
    below: str = "",
) -> list[str]:
    """Scalars of an object that are in no column, no reject, and under no path named otherwise.

    `unknown` are paths from the record on, `below` is where in it the object stands.
    """
    by_path: dict[str, Field] = {field.path: field for field in fields}
    lost = []
    for steps, value in scalars(record):
        places = [".".join(steps[:end]) for end in range(1, len(steps) + 1)]
        if any(
            place in elsewhere or place in raw_only or (below + place)[:NAME_LENGTH] in unknown
            for place in places
        ):
            continue
        if any(place in rejected for place in places):
            continue
        holders = [by_path[place] for place in places if place in by_path]
        if any(
            field.name in rejected
            or (field.kind.sql == "jsonb" and field.name in values)
            or (field.path == places[-1] and is_nothing(field, value))
            or (
                field.path == places[-1]
                and field.name in values
                and is_same(field, value, values[field.name])
            )
            for field in holders
        ):
            continue
        lost.append(f"{'.'.join(steps)} = {value!r}")
    return lost


def lost(resource: Resource, record: Any, row: Row, batch: Batch) -> list[str]:
    """Everything a record says that cannot be found again."""
    rejected = {reject.field for reject in batch.rejects if reject.record == str(row.key)}
    unknown = set(batch.unknown)
    record = cleaned(record)
    fields = tuple(field for field in resource.fields if field.path)
    if resource.shape is Shape.SCALARS:
        record = {resource.key: record}
        fields = (replace(resource.fields[0], path=resource.key),)
    gone = unaccounted(
        fields,
        record,
        row.values,
        rejected=rejected,
        unknown=unknown,
        raw_only={path for path, _ in resource.raw_only},
        elsewhere={child.path for child in resource.children},
    )
    for child, rows in zip(resource.children, row.children, strict=True):
        members = value_at(record, child.path)
        if child.name in rejected or members is None:
            continue
        named = list(members.values()) if isinstance(members, dict) else members
        for number, member in enumerate(named, start=1):
            mine = {
                reject.removeprefix(f"{child.name}.").removesuffix(f"[{number}]")
                for reject in rejected
                if reject.startswith(f"{child.name}.") and reject.endswith(f"[{number}]")
            }
            if f"{child.name}[{number}]" in rejected:
                continue
            plain = not child.fields[0].path
            found = [
                unaccounted(
                    child.fields,
                    {"": member} if plain else member,
                    each,
                    rejected=mine,
                    unknown=unknown,
                    raw_only=set(),
                    elsewhere=set(),
                    below=f"{child.path}[].",
                )
                for each in rows
                if child.key or each["ordinal"] == number
            ]
            if [] in found or is_doubled(rejected, child.name, number):
                continue
            gone += [
                f"{child.name}[{number}]: {what}" for what in min(found, key=len, default=["?"])
            ]
    return gone


def is_doubled(rejected: set[str], child: str, number: int) -> bool:
    """Whether a later member of the same key took this one's place, which is noted there."""
    later = (re.fullmatch(rf"{child}\[(\d+)\]", name) for name in rejected)
    return any(match and int(match[1]) > number for match in later)


def value_at(record: Any, path: str) -> Any:
    for step in path.split("."):
        record = record.get(step) if isinstance(record, dict) else None
    return record if isinstance(record, dict | list) else None


# What was recorded

# Values in recorded answers that are no values of their column, each for its reason.
EXPECTED_REJECTS: set[tuple[str, str]] = set()


def recorded() -> list[tuple[str, Resource, str]]:
    """(file, resource, answer key): lists by their method, single records by theirs."""
    found = []
    for file in sorted(RECORDED.glob("*.json")):
        if ".error" in file.name:
            continue
        path = file.stem.replace("__", "/")
        for resource in ALL.values():
            for method, key in (
                (resource.path, resource.answer_key),
                (resource.single, resource.single_key),
            ):
                pattern = re.sub(
                    r"\\\{\w+\\\}|waiting_activation",
                    "(id|code|site|customer|status)",
                    re.escape(method.removeprefix("/api/").removeprefix("v5/")),
                )
                if method and re.fullmatch(pattern, path):
                    found.append((file.name, resource, key))
    return found


@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded answers are not on this machine")
def test_every_recorded_record_becomes_a_row_and_loses_nothing() -> None:
    """Literal answers of accounts: no value is dropped, none rejected, none unknown."""
    files = recorded()
    assert len(files) >= 40
    rejects: set[tuple[str, str]] = set()
    unknown: set[tuple[str, str]] = set()
    for name, resource, key in files:
        answer = decode((RECORDED / name).read_bytes())
        found = answer[key] if key else answer
        is_one = key == resource.single_key or resource.shape is Shape.SINGLE
        records = [found] if is_one else records_of(found)
        batch = normalise(resource, records)
        rejects |= {(resource.name, reject.field) for reject in batch.rejects}
        unknown |= {(resource.name, path) for path in batch.unknown}
        assert len(batch.rows) == len(records), name
        for record, row in zip(records, batch.rows, strict=True):
            assert lost(resource, record, row, batch) == [], name
            assert decode(row.raw) == record, name
    assert rejects == EXPECTED_REJECTS
    assert unknown == set()


# What might be sent

TEXTS = st.text(st.characters(exclude_categories=()), max_size=12)
NUMBERS = (
    st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        [
            2**63 - 1,
            2**63,
            -(2**63) - 1,
            10**15,
            10**2_000,
            Decimal("1E+400"),
            Decimal("1E+99999"),
            Decimal("-1E-99999"),
            Decimal("0E-20000"),
            Decimal("1." + "3" * 2_000),
        ]
    )
)
ODD = st.sampled_from(
    ["", [], {}, "0000-00-00 00:00:00", "0000-00-00", "1,5", "on", "\x00", "\ud800"]
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS | ODD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=4,
)
DATES = st.dates().map(str)
MOMENTS = st.datetimes().map(lambda moment: moment.isoformat(" ", "seconds"))
RIGHT = {
    "text": TEXTS,
    "bigint": st.integers(-(2**63), 2**63 - 1) | st.integers(0, 99).map(str),
    "numeric": st.integers() | st.decimals(allow_nan=False, allow_infinity=False, places=2),
    "boolean": st.booleans() | st.sampled_from(["1", "0", 1, 0]),
    "date": DATES,
    "timestamptz": MOMENTS | MOMENTS.map(lambda text: f"{text}+03:00"),
    "time": st.times().map(lambda time: time.isoformat("minutes")),
    "jsonb": ANYTHING,
}


@st.composite
def objects(draw: st.DrawFn, fields: tuple[Field, ...]) -> Any:
    """An object with some of the fields, right and wrong, and some that nobody knows."""
    if draw(st.integers(0, 20)) == 0:
        return draw(ANYTHING)
    made: dict[str, Any] = {}
    paths = st.sampled_from(fields)
    for field in draw(st.lists(paths, max_size=8, unique_by=lambda field: field.name)):
        right = draw(st.integers(0, 3)) > 0
        put(made, field.path, draw(RIGHT[field.kind.sql] if right else ANYTHING))
    for name in draw(st.lists(TEXTS, max_size=2)):
        made.setdefault(name, draw(ANYTHING))
    return made


def put(made: dict[str, Any], path: str, value: Any) -> None:
    *above, last = path.split(".")
    for step in above:
        inner = made.setdefault(step, {})
        if not isinstance(inner, dict):
            return
        made = inner
    if not isinstance(made.get(last), dict):
        made[last] = value


@st.composite
def records(draw: st.DrawFn, resource: Resource) -> Any:
    if resource.shape is Shape.SCALARS:
        return draw(ANYTHING)
    record = draw(objects(tuple(field for field in resource.fields if field.path)))
    if not isinstance(record, dict):
        return record
    key = next((field for field in resource.fields if field.name == resource.key), None)
    if key and key.path and draw(st.integers(0, 9)) > 0:
        record[key.path] = draw(st.integers(1, 4) if key.kind.sql == "bigint" else st.text("ab"))
    for child in resource.children:
        if draw(st.booleans()):
            one = objects(child.fields) if child.fields[0].path else ANYTHING
            many = st.lists(one, max_size=3) | st.dictionaries(st.text("ab"), one, max_size=3)
            put(record, child.path, draw(many | ODD))
    return record


@st.composite
def pages(draw: st.DrawFn) -> tuple[str, list[Any]]:
    name = draw(st.sampled_from(sorted(ALL)))
    return name, draw(st.lists(records(ALL[name]), max_size=4))


def test_a_name_of_any_length_is_accounted_for() -> None:
    """Unknown fields are noted by at most NAME_LENGTH characters, their values are in raw whole."""
    name = "x" * (2 * NAME_LENGTH)
    record = {"id": 1, name: 5, "items": [{"id": 2, name: 6}]}
    batch = normalise(ALL["orders"], [record])
    assert set(batch.unknown) == {name[:NAME_LENGTH], f"items[].{name}"[:NAME_LENGTH]}
    assert lost(ALL["orders"], record, batch.rows[0], batch) == []
    assert decode(batch.rows[0].raw) == record


@settings(max_examples=300, suppress_health_check=list(HealthCheck), deadline=None)
@given(pages())
def test_every_record_is_one_row_or_one_reject_and_nothing_is_lost(
    page: tuple[str, list[Any]],
) -> None:
    """Whatever a page holds: no exception, no record dropped, no value dropped, JSON that loads."""
    name, sent = page
    resource = ALL[name]
    alone = [normalise(resource, [record]) for record in sent]
    for record, batch in zip(sent, alone, strict=True):
        whole = [reject for reject in batch.rejects if reject.record.startswith("record:")]
        assert len(batch.rows) + len(whole) == 1
        for row in batch.rows:
            assert lost(resource, record, row, batch) == []
            assert b"\\u0000" not in row.raw.replace(b"\\\\", b"")
            row.raw.decode()
        for path, example in batch.unknown.items():
            assert not UNSTORABLE.search(path + example)
        for reject in batch.rejects:
            assert not UNSTORABLE.search(reject.value + reject.field + reject.record)
            assert reject.reason

    together = normalise(resource, sent)
    last = {row.key: row for batch in alone for row in batch.rows}
    keys = [row.key for row in together.rows]
    assert len(set(keys)) == len(keys)
    if not (resource.made and resource.made.repeats):
        assert {row.key: (row.raw, row.values) for row in together.rows} == {
            key: (row.raw, row.values) for key, row in last.items()
        }
    else:
        assert len(together.rows) == sum(len(batch.rows) for batch in alone)
    names = [(reject.record, reject.field) for reject in together.rejects]
    assert len(set(names)) == len(names)
