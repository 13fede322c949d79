"""A RetailCRM of a fixed list of orders, for what the sandbox is too slow for: 200,000 of them,
and a load without limit. It knows orders, their history (empty), settings and credentials.

    python tests/bench/stub.py ORDERS [copies]      prints its URL, serves until killed

The stub repeats the orders of orders.py under rising ids, a hundred a day.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench.orders import orders as templates

FIRST_DAY = dt.date(2020, 1, 1)
PER_DAY = 100
_ID = re.compile(rb"\x22@id@\x22")
_MADE, _LATER = b"@made@", b"@later@"


class Orders:
    """Templates and the arithmetic of pages and days, newest first."""

    def __init__(self, records: list[dict[str, Any]], total: int) -> None:
        self.total = total
        self.templates = []
        for record in records:
            made, later = _MADE.decode(), _LATER.decode()
            text = orjson.dumps(
                {
                    **record,
                    "id": "@id@",
                    "createdAt": made,
                    "markDatetime": made,
                    "statusUpdatedAt": later,
                    "fullPaidAt": later,
                    "items": [{**item, "createdAt": made} for item in record["items"]],
                }
            )
            self.templates.append(text)

    def day_of(self, order: int) -> dt.date:
        return FIRST_DAY + dt.timedelta(days=order // PER_DAY)

    def page(self, query: dict[str, list[str]]) -> bytes:
        limit, page = int(query.get("limit", ["20"])[0]), int(query.get("page", ["1"])[0])
        first, last = 0, self.total - 1
        if "filter[createdAtFrom]" in query:
            day = dt.date.fromisoformat(query["filter[createdAtFrom]"][0])
            first = max(first, (day - FIRST_DAY).days * PER_DAY)
        if "filter[createdAtTo]" in query:
            day = dt.date.fromisoformat(query["filter[createdAtTo]"][0])
            last = min(last, (day - FIRST_DAY).days * PER_DAY + PER_DAY - 1)
        total = max(0, last - first + 1)
        top = last - (page - 1) * limit
        numbers = range(top, max(first - 1, top - limit), -1)
        block = orjson.dumps(
            {"limit": limit, "totalCount": total, "currentPage": page,
             "totalPageCount": -(-total // limit)}
        )  # fmt: skip
        body = b",".join(self.order(number) for number in numbers)
        return b'{"success":true,"pagination":' + block + b',"orders":[' + body + b"]}"

    def order(self, number: int) -> bytes:
        text = self.templates[number % len(self.templates)]
        second = dt.timedelta(seconds=number * 797 % 86_400)
        made = dt.datetime.combine(self.day_of(number), dt.time()) + second
        text = text.replace(_MADE, str(made).encode())
        text = text.replace(_LATER, str(made + dt.timedelta(hours=37, seconds=11)).encode())
        return _ID.sub(str(number + 1).encode(), text)


def answer(orders: Orders, target: str) -> bytes:
    """The body for a request line's target."""
    parts = urlsplit(target)
    query = parse_qs(parts.query)
    if parts.path.endswith("/orders"):
        return orders.page(query)
    if parts.path.endswith("/history"):
        return (b'{"success":true,"history":[],"pagination":{"limit":100,"totalCount":0,'
                b'"currentPage":1,"totalPageCount":0}}')  # fmt: skip
    if parts.path.endswith("/settings"):
        return b'{"success":true,"settings":{"timezone":{"value":"Europe/Moscow"}}}'
    return b'{"success":true,"siteAccess":"access_full","scopes":["order_read"]}'


async def main() -> None:
    """Serve until killed."""
    orders = Orders(templates(copies="copies" in sys.argv), int(sys.argv[1]))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = answer(orders, head.split(b" ", 2)[1].decode())
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
                    + str(len(body)).encode() + b"\r\n\r\n" + body
                )  # fmt: skip
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
