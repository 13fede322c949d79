"""Codes longer than an index may hold: told by name, and no reason to try for ever."""

from __future__ import annotations

import json
import random
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from sync.database.engine import writing
from sync.errors import UnexpectedData
from sync.records.normalise import LONGEST_KEY
from tests.integration.resources.conftest import Open

LETTERS = "абвгдежзийклмнопрстуфхцчшщъыьэюя"


def code(length: int) -> str:
    """A code that no compression makes shorter: Postgres would try one."""
    return "".join(random.Random(length).choices(LETTERS, k=length))


def test_records_and_parts_with_codes_that_no_index_holds_are_rejected_by_name(
    open_mirror: Open,
) -> None:
    """The others of the page are there, the longest ones that fit too, and the pass ends."""
    mirror = open_mirror("statuses", "custom_dictionaries")
    longest = code(LONGEST_KEY // 2)

    def answer(request: httpx.Request) -> httpx.Response | None:
        response = mirror.wire._answer(request)
        data = json.loads(response.content)
        path = request.url.path
        if path.endswith("/reference/statuses"):
            some = next(iter(data["statuses"].values()))
            for each in (code(1_200), longest):
                data["statuses"][each] = {**some, "code": each}
        elif path.endswith("/dictionaries"):
            elements = [{"name": "n", "code": each} for each in (code(1_200), longest)]
            data["customDictionaries"][0] |= {"code": longest, "elements": elements}
        return httpx.Response(200, json=data)

    mirror.wire.answers = answer
    mirror.settle(most=20)
    assert mirror.errors() == []
    assert mirror.rows("SELECT 1 FROM crm.statuses WHERE code = :code", code=longest)
    [element] = mirror.rows(
        "SELECT code FROM crm.custom_dictionary_elements WHERE custom_dictionary_code = :code",
        code=longest,
    )
    assert element.code == longest
    rejects = {
        (row.resource, row.reason): row.record
        for row in mirror.rows("SELECT resource, reason, record FROM sync.reject")
    }
    told = f"no usable code: it has more than {LONGEST_KEY:,} bytes"
    assert rejects.keys() == {("statuses", told), ("custom_dictionaries", told)}
    assert rejects["statuses", told].startswith("record:")


def test_a_limit_of_postgres_is_no_outage(open_mirror: Open) -> None:
    """What is too large today is too large tomorrow: said by name, not tried for ever."""
    mirror = open_mirror("statuses")
    text = code(3_000)
    with (
        pytest.raises(
            UnexpectedData, match=r"exceed a limit of Postgres: index row size"
        ) as caught,
        writing(mirror.engine) as connection,
    ):
        insert(connection, mirror.store_id, text)
    assert text[:20] not in str(caught.value)


def insert(connection: sa.Connection, store_id: int, text: str) -> Any:
    connection.exec_driver_sql(
        "INSERT INTO crm.statuses (store_id, code, as_of, first_seen_at, changed_at)"
        " VALUES (%s, %s, now(), now(), now())",
        (store_id, text),
    )
