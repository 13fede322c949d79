"""Writes the histories of seeding: entries in any order, ids given at the end in that of time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from sync.sandbox.dialect import Word, customer_stub
from sync.sandbox.history import Entry
from sync.sandbox.php import Json

if TYPE_CHECKING:
    from sync.sandbox.account import Account


class Scribe:
    """Drafts of one history, until `publish` gives them their ids."""

    def __init__(self, account: Account, history: str) -> None:
        self._account = account
        self._history = account.histories[history]
        self._drafts: list[Entry] = []

    def write(
        self,
        at: float,
        entity: Json,
        body: bytes,
        *,
        whole: bytes | None = None,
        people: tuple[int | None, int | None] = (None, None),
    ) -> None:
        """`body` is all after createdAt; `people` are the customer and contact of an order."""
        account = self._account
        packed = account.press.pack(body)
        entry = Entry(
            0, at, account.local(at), entity["id"], entity["site"], packed, whole, *people
        )
        self._drafts.append(entry)

    def lifespan(self, at: float, person: Json, flag: str, blob: bytes) -> None:
        """A customer came (`created`) or went (`deleted`): the entry carries all of it."""
        came = flag == "created"
        old, new = (b"null", b"%d" % person["id"])[:: 1 if came else -1]
        body = b'"%b":true,"source":"code","field":"id","oldValue":%b,"newValue":%b'
        self.write(at, person, body % (flag.encode(), old, new), whole=blob)

    def said(self, at: float, person: Json, word: Word, source: str = "user") -> None:
        """A change of a customer, with the stub of it."""
        author: Json = {"source": source}
        if source == "user":
            author["user"] = {"id": self._account.user_ids[0]}
        said = {"field": word.field, "oldValue": word.old, "newValue": word.new}
        body = {**author, **said, **word.about, "customer": customer_stub(person)}
        self.write(at, person, orjson.dumps(body)[1:-1])

    def publish(self) -> None:
        self._drafts.sort(key=lambda entry: entry.at)
        for number, entry in enumerate(self._drafts, self._history.next_id):
            entry.id = number
        self._history.entries.extend(self._drafts)
        self._history.next_id += len(self._drafts)
        self._drafts = []
