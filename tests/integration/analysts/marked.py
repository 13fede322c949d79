"""A marked person: answers that name them in every place a declaration knows, and the search for
them in bytes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import sqlalchemy as sa

from sync.declare import Field, Resource, Shape
from sync.declare.personal import (
    OPEN_CHANGES,
    OWNERS,
    Link,
    care_of,
    child_links,
    contacts,
    links,
)
from sync.privacy.places import in_crm
from sync.resources import RESOURCES

NAME = "Клеопатра Незабудкина"
LATIN = "Cleopatra Nezabudkina"
PHONE, EMAIL = "+79995550001", "cleo@nile.example"
ADDRESS = "ул. Гробничная, д. 3b-unique, Tomb Street"
BIRTHDAY, NUMBER = "1931-03-07", 987654321098
MARK = f"{NAME}, {LATIN}, {PHONE}, {EMAIL}, {ADDRESS}"
WORDS = ("Клеопатра", "Незабудкин", "Cleopatra", "Nezabudkin", "9995550001", "cleo@nile",
         "Гробничная", "3b-unique", "Tomb Street", BIRTHDAY, str(NUMBER))  # fmt: skip
NUMBERS = frozenset({"bigint", "numeric"})


def spelled(words: Iterable[str] = WORDS) -> frozenset[bytes]:
    """The words in UTF-8, as JSON escapes them once and twice, percent-coded, and in hex; lower."""
    found = set()
    for word in words:
        in_json = json.dumps(word)[1:-1]
        for form in (word, in_json, in_json.replace("\\", "\\\\"), quote(word), ascii(word)[1:-1]):
            found |= {form.encode().lower(), form.encode().hex().encode()}
    return frozenset(found)


FORMS = spelled()


def counted(text: bytes) -> int:
    """How often one of the marks stands in bytes; small and large hexadecimal digits are equal."""
    lower = text.lower()
    return sum(lower.count(form) for form in FORMS)


class Marking:
    """The wire's answers, in which each record of a person names them wherever it may.

    All customers of the account are the person; its companies are not.
    """

    def __init__(
        self,
        answer: Callable[[httpx.Request], httpx.Response],
        truth: Callable[[str], dict[int, dict[str, Any]]],
    ) -> None:
        self._answer, self._truth = answer, truth
        self.methods = {name: each for name, each in RESOURCES.items() if set(each.tables) & PLACES}

    def __call__(self, request: httpx.Request) -> httpx.Response | None:
        found = self._method(request.url.path)
        if found is None:
            return None
        resource, key = found
        response = self._answer(request)
        data = json.loads(response.content)
        if response.status_code != 200 or key not in data:
            return response
        for record in _records(resource, data[key]):
            if self.is_theirs(resource, record, asked=re.findall(r"/(\d+)", request.url.path)):
                fill(resource, record)
        return httpx.Response(200, json=data)

    def is_theirs(
        self, resource: Resource, record: dict[str, Any], *, asked: Sequence[str] = ()
    ) -> bool:
        """Whether a record is the person's, as its links say; `asked` are ids in its method."""
        paths = {field.name: field.path for field in resource.fields}
        if resource.name == "customers":
            return True
        for link in links(resource):
            is_company = link.unless and _at(record, paths[link.type_column]) == link.unless
            path = paths[link.column]
            named = _at(record, path) if path else int(asked[0])
            if not is_company and self._names_them(link, named):
                return True
        return any(
            self._names_them(link, _at(member, field.path))
            for child in resource.children
            for link in child_links(resource).get(child.name, ())
            for field in child.fields
            if field.name == link.column
            for member in _members(_at(record, child.path))
        )

    def _names_them(self, link: Link, key: Any) -> bool:
        if key is None or link.to not in OWNERS:
            return False
        if link.to in {"customers", "loyalty_accounts"}:
            return True
        owner = self._truth(link.to).get(key)
        return owner is not None and self.is_theirs(RESOURCES[link.to], owner)

    def _method(self, path: str) -> tuple[Resource, str] | None:
        for resource in self.methods.values():
            if path == resource.path:
                return resource, resource.answer_key
        for resource in self.methods.values():
            for template, key in (
                (resource.path, resource.answer_key),
                (resource.single, resource.single_key),
            ):
                pattern = template.replace("{id}", r"\d+").replace("{site}", "[^/]+")
                if "{" in template and re.fullmatch(pattern, path):
                    return resource, key
        return None


def _at(record: Any, path: str) -> Any:
    for step in path.split("."):
        record = record.get(step) if isinstance(record, dict) else None
    return record


def _members(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value or []


def _records(resource: Resource, value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [each for each in value if isinstance(each, dict)]
    return list(value.values()) if resource.shape is Shape.MAP else [value]


PLACES = frozenset(in_crm())


def fill(resource: Resource, record: dict[str, Any]) -> None:
    """Have a record name the person at every personal path, and where nobody declares a path."""
    is_open = resource.is_history and record.get("field") in OPEN_CHANGES
    for field in resource.fields:
        if not (is_open and field.path in {"oldValue", "newValue"}):
            _fill(record, resource.name, resource.fields, field)
    record["undeclared"] = {"deep": [MARK, {MARK: PHONE}]}
    for child in resource.children:
        if child.name in PLACES:
            _fill_members(resource, child.name, child.fields, record, child.path)
    if resource.name == "orders":
        record["weight"] = MARK  # where a number belongs


def _fill_members(
    resource: Resource,
    table: str,
    fields: tuple[Field, ...],
    record: dict[str, Any],
    path: str,
) -> None:
    here = record
    *steps, last = path.split(".")
    for step in steps:
        here = here.get(step) if isinstance(here.get(step), dict) else {}
    members = _members(here.get(last))
    if not members and table not in child_links(resource):
        here[last] = members = [{f.path: 1 for f in fields if f.kind.sql == "bigint" and f.path}]
    for member in members:
        if isinstance(member, dict):
            for field in fields:
                _fill(member, table, fields, field)
            member["undeclared"] = MARK


def _fill(record: dict[str, Any], table: str, fields: tuple[Field, ...], field: Field) -> None:
    if not field.path or care_of(table, field).is_kept:
        return
    here: Any = record
    *steps, last = field.path.split(".")
    for step in steps:
        if not isinstance(here.get(step), dict):
            here[step] = {}
        here = here[step]
    kinds = contacts(table, fields)
    if field.kind.sql == "date":
        here[last] = BIRTHDAY
    elif field.kind.sql in NUMBERS:
        here[last] = NUMBER
    elif field.kind.sql == "jsonb":
        known = here.get(last) if isinstance(here.get(last), dict) else {}
        here[last] = {**known, "deep": MARK}
    elif field.kind.sql == "text":
        named = {"phone": PHONE, "email": EMAIL}.get(kinds.get(field.name, ""))
        names = {"first_name": "Клеопатра", "last_name": "Незабудкина"}
        here[last] = named or names.get(field.name) or MARK


def unfilled(engine: sa.Engine) -> set[str]:
    """The places of `crm` in which nothing of the person stands."""
    empty = set()
    with engine.begin() as connection:
        for table, columns in in_crm().items():
            shown = ", ".join(f'string_agg("{c}"::text, chr(10))' for c in columns)
            row = connection.exec_driver_sql(f'SELECT {shown} FROM crm."{table}"').one()
            empty |= {
                f"{table}.{column}"
                for column, text in zip(columns, row, strict=True)
                if not counted((text or "").encode())
            }
    return empty


def program(engine: sa.Engine, name: str) -> str | None:
    """A program of Postgres that can read this server: beside it, or on the PATH."""
    with engine.begin() as connection:
        major = connection.exec_driver_sql("SHOW server_version_num").scalar_one()
        folder = connection.exec_driver_sql(
            "SELECT setting FROM pg_config WHERE name = 'BINDIR'"
        ).scalar_one()
    for path in (folder, *os.get_exec_path()):
        found = shutil.which(name, path=path)
        told = found and subprocess.run([found, "--version"], capture_output=True, check=True)
        if told and int(re.search(rb"\) (\d+)", told.stdout)[1]) >= int(major) // 10_000:
            return found
    return None


def plain_url(engine: sa.Engine) -> str:
    """The URL of a database as Postgres's own programs take it."""
    return engine.url.set(drivername="postgresql").render_as_string(hide_password=False)


def dumped(engine: sa.Engine) -> Iterator[tuple[str, bytes]]:
    """Every table of every schema, the system's own and its statistics too, as COPY writes it; and
    a full dump by pg_dump, where one is found."""
    with engine.begin() as connection:
        tables = connection.exec_driver_sql(
            "SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_class AS c"
            " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname <> 'information_schema'"
        ).scalars()
        driver: Any = connection.connection.driver_connection
        for table in list(tables):
            with driver.cursor().copy(f"COPY (SELECT * FROM {table}) TO STDOUT") as copied:
                yield table, b"".join(bytes(block) for block in copied)
    if (pg_dump := program(engine, "pg_dump")) is not None:
        done = subprocess.run([pg_dump, plain_url(engine)], capture_output=True, check=True)
        yield "pg_dump", done.stdout


def traces(engine: sa.Engine) -> dict[str, int]:
    """Tables of the database in whose bytes one of the marks stands, and how often."""
    found = {table: counted(text) for table, text in dumped(engine)}
    return {table: count for table, count in found.items() if count}


def in_folder(folder: Path) -> dict[str, int]:
    """Files below a folder in which one of the marks stands: as bytes, and as Parquet's values."""
    import duckdb

    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            count = counted(path.read_bytes())
            if path.suffix == ".parquet":
                source = f"SELECT COLUMNS(*)::VARCHAR FROM read_parquet('{path}')"
                rows = duckdb.sql(source).fetchall()
                count += counted("\n".join(str(value) for row in rows for value in row).encode())
            if count:
                found[str(path.relative_to(folder))] = count
    return found


def in_redis(client: Any) -> Mapping[str, int]:
    """Keys of Redis in whose name or value, as DUMP writes it, one of the marks stands."""
    found = {}
    for key in client.scan_iter():
        count = counted(key) + counted(client.dump(key) or b"")
        if count:
            found[key.decode(errors="replace")] = count
    return found
