"""Literal answers of accounts, served over HTTP and crawled: nothing of them is lost."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from sync.crm import CrmClient
from sync.declare import Resource, Shape, SinglePage
from sync.embedded import Servers
from sync.records.normalise import Batch, Row, records_of
from sync.resources import RESOURCES
from tests.conftest import named
from tests.databases import administer, copying
from tests.integration.pipeline.harness import Mirror
from tests.integration.resources.conftest import chosen
from tests.unit.test_normalise_accounts import RECORDED, lost, recorded

# What a recorded answer holds that is no value of its column: (resource, column).
EXPECTED_REJECTS: set[tuple[str, str]] = set()
LISTS = [
    (file, resource)
    for file, resource, key in (recorded() if RECORDED.is_dir() else [])
    if key == resource.answer_key
]
pytestmark = [
    pytest.mark.skipif(
        not RECORDED.is_dir(), reason="the recorded answers are not on this machine"
    ),
]


def matches(resource: Resource, path: str) -> bool:
    """Whether a path is the resource's method, of whatever parent."""
    pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(resource.path))
    return re.fullmatch(pattern, path) is not None


def parents_without_a_file() -> dict[str, dict[str, Any]]:
    """A parent for each recorded answer that is asked per parent."""
    have = {resource.name for _, resource in LISTS}
    return {
        resource.parent.resource: {"id": 71, "code": "71"}
        for _, resource in LISTS
        if resource.parent and resource.parent.resource not in have
    }


class Files(BaseHTTPRequestHandler):
    """Serves each file at its method's path, as a list of one page; else the least there is."""

    asked: list[str]

    def do_GET(self) -> None:
        path = urlsplit(self.path)
        self.asked.append(path.path)
        body = self._body(path.path, parse_qs(path.query))
        payload = json.dumps(body).encode()
        self.send_response(200 if body["success"] else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def _body(self, path: str, parameters: dict[str, list[str]]) -> dict[str, Any]:
        resource = next((each for each in RESOURCES.values() if matches(each, path)), None)
        if resource is None:
            return {"success": False, "errorMsg": "Not found"}
        key = resource.answer_key
        file = next((file for file, each in LISTS if each is resource), None)
        body: dict[str, Any] = {"success": True}
        if file is not None:
            body = json.loads((RECORDED / file).read_text())
        elif resource.shape is Shape.SINGLE or resource.parent:
            return {"success": False, "errorMsg": "Not found"}
        else:
            parent = parents_without_a_file().get(resource.name)
            body[key] = [] if parent is None else [parent]
        if not key or isinstance(resource.listing, SinglePage):
            return body
        since, ids = parameters.get("filter[sinceId]"), parameters.get("filter[ids][]")
        if since:
            body[key] = [entry for entry in body[key] if entry["id"] > int(since[0])]
        if ids:
            body[key] = [record for record in body[key] if str(record.get("id")) in ids]
        if "cursor" in parameters:
            body |= {key: [], "pagination": []}
        elif "nextCursor" not in body.get("pagination", {}):
            total = len(body[key])
            body["pagination"] = {"totalCount": total, "totalPageCount": min(total, 1)}
        return body

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving() -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    handler = type("Serving", (Files,), {"asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def crawled(servers: Servers, template: str, worker_id: str) -> Iterator[tuple[Mirror, list[str]]]:
    """An account that answers with the files, crawled by the pipeline through real HTTP."""
    with named(servers, worker_id) as database:
        administer(database, copying(database, template))
        with pytest.MonkeyPatch.context() as patch, serving() as (url, asked):
            mirror = Mirror(database, patch, resources=chosen(), orders=0, customers=0)
            mirror.services.__dict__["client"] = CrmClient(connections=4)
            access = "site_access = 'access_full', sites = NULL, scopes = :scopes"
            said = json.loads((RECORDED / "credentials.json").read_text())["scopes"]
            mirror.rows(f"UPDATE sync.store SET url = :url, {access}", url=url, scopes=sorted(said))
            for _ in range(5):
                mirror.feeds()
                mirror.walks()
                mirror.pass_time(61)  # lists are sealed then, and their records' own lists begin
            yield mirror, asked
            mirror.close()


def test_every_record_of_every_recorded_answer_is_a_row_and_loses_nothing(
    crawled: tuple[Mirror, list[str]],
) -> None:
    """One crawl of them all; what is wrong is told by file."""
    assert len(LISTS) >= 40
    wrong = {}
    for file, resource in LISTS:
        try:
            check(crawled, file, resource)
        except (AssertionError, KeyError) as error:
            wrong[file] = str(error)[:500]
    assert wrong == {}


def check(crawled: tuple[Mirror, list[str]], file: str, resource: Resource) -> None:
    """Every scalar is in a column, a child's column, or named as kept in raw only."""
    mirror, asked = crawled
    assert any(matches(resource, path) for path in asked)
    answer = json.loads((RECORDED / file).read_text())
    found = answer[resource.answer_key] if resource.answer_key else answer
    records = [found] if resource.shape is Shape.SINGLE else records_of(found)
    key = f"t.{resource.key}" if resource.key else "''"
    stored = mirror.rows(f"SELECT {key} AS key, t.* FROM crm.{resource.name} AS t"
                         " WHERE raw IS NOT NULL")  # fmt: skip
    if resource.parent is None:
        assert len(stored) == len(records), mirror.errors()
    by_raw = {json.dumps(row.raw, sort_keys=True): row for row in stored}
    about = {"r": resource.name}
    rejects = mirror.rows("SELECT field FROM sync.reject WHERE resource = :r", **about)
    assert {(resource.name, row.field) for row in rejects} <= EXPECTED_REJECTS
    assert mirror.rows("SELECT path FROM sync.unknown_field WHERE resource = :r", **about) == []
    for record in records:
        row = by_raw[json.dumps(record, sort_keys=True)]
        values = present(row, [f.name for f in resource.fields])
        made = Row(row.key, values, [], b"", b"", None, row.as_of)
        for child in resource.children:
            where = f" WHERE {resource.parent_column} = :k" if resource.parent_column else ""
            order = child.key or "ordinal"
            members = mirror.rows(
                f"SELECT * FROM crm.{child.name}{where} ORDER BY {order}",
                **({"k": row.key} if where else {}),
            )
            names = [f.name for f in child.fields] + ([] if child.key else ["ordinal"])
            made.children.append([present(member, names) for member in members])
        assert lost(resource, record, made, Batch()) == []


def present(row: Any, names: list[str]) -> dict[str, Any]:
    """A row's columns that have a value."""
    return {name: row._mapping[name] for name in names if row._mapping[name] is not None}
