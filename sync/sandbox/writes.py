"""Parts that many writes share: references to records, uploads, externalIds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sync.sandbox.account import Account
from sync.sandbox.calls import Call
from sync.sandbox.php import Json, Refusal
from sync.sandbox.records import Record
from sync.sandbox.shapes import (
    FORMAT,
    Check,
    Done,
    Reading,
    Shape,
    Write,
    Wrong,
    as_text,
    as_whole,
    text,
    whole,
)

MOST = 50  # the official shop modules cut uploads into 50; what the API says to 51 is not known
SINGULAR = {"customers": "Customer", "orders": "Order", "customers-corporate": "Customer"}


def id_of(call: Call) -> int:
    """Return the id in the path; 0 for what is none, which no record has."""
    return int(call.args[0]) if call.args[0].isdecimal() else 0


# --- references


def found_by(
    reading: Reading, where: str, given: Json, collections: tuple[str, ...], by: tuple[str, ...]
) -> Record:
    """Return the record that an object names by id, externalId or number."""
    call = reading.call
    name = next((n for n in by if given.get(n) not in (None, "")), None)
    if name is None:
        raise Wrong(f"Set one of the following fields: {', '.join(by)}")
    value = as_whole(given[name]) if name == "id" else as_text(given[name])
    site = None
    if name == "externalId":
        site = str(given["site"]) if given.get("site") else call.site()
    for collection in collections:
        for record in candidates(call.account, collection, name, value):
            if call.key.sees(record.site) and (site is None or record.site == site):
                return record
    noun = SINGULAR.get(collections[0], "Entity")
    reading.wrong(f"{where}.{name}", Wrong(f"{noun} with {name}={value} not found.", lacks=True))
    raise Wrong(f"{noun} not found.", lacks=True)


def named(
    call: Call, where: str, value: Any, *collections: str, by: tuple[str, ...] = ("id",)
) -> Record:
    """Return the record that a whole parameter names, or raise the refusal."""
    reading = Reading(call, creating=True)
    one = Shape({where: known(*collections, by=by)}, needs=(where,))
    found = one.read(reading, {where: value})
    reading.refuse(SINGULAR.get(collections[0], "Entity"))
    return found[where]  # type: ignore[no-any-return]


def candidates(account: Account, collection: str, name: str, value: Any) -> Iterator[Record]:
    held = account.collections[collection]
    if name == "id":
        record = held.truth.live.get(value)
        if record is not None:
            yield record
        return
    for record in held.truth.live.values():
        if name == "externalId" and record.external == value:
            yield record
        if name == "number" and held.load(record).get("number") == value:
            yield record


def known(*collections: str, by: tuple[str, ...] = ("id", "externalId")) -> Check:
    """Read an object that names a record of these collections; its value is the record."""

    def read(reading: Reading, where: str, value: Any) -> Record | None:
        if not isinstance(value, dict):
            raise Wrong("This value should be of type array.")
        try:
            return found_by(reading, where, value, collections, by)
        except Wrong as error:
            if not error.lacks:
                raise
            return None  # told where the id was given

    def sample(account: Account) -> Json:
        return {"id": account.ids(collections[0])[0]}

    return Check(read, sample)


def holder(
    account: Account, collection: str, needle: bytes, holds: Callable[[Json], Any]
) -> tuple[Record, Json] | None:
    """Return the record whose content passes; only those whose bytes hold `needle` are read."""
    held = account.collections[collection]
    for record in held.truth.live.values():
        if needle in held.bytes_of(record):
            entity = held.load(record)
            if holds(entity):
                return record, entity
    return None


# --- externalIds


def taken(call: Call, collection: str, external: str | None, site: str | None) -> bool:
    """True when a live record of the site has this externalId."""
    if external in (None, ""):
        return False
    live = call.account.collections[collection].truth.live.values()
    return any(r.external == external and r.site == site for r in live)


def claim(
    reading: Reading, collection: str, given: Json, site: str | None, *, own: Json | None = None
) -> None:
    """Note an error where a record would take another's externalId; the text is not known."""
    external = given.get("externalId")
    if own is not None and own.get("externalId") == external:
        return
    if taken(reading.call, collection, external, site):
        noun = SINGULAR[collection]
        said = f"{noun} with externalId={external} already exists."
        reading.wrong("externalId", Wrong(said, lacks=True))


FIXED = Shape({**whole("id"), **text("externalId")}, needs=("id", "externalId"))


def fixing(collection: str, field: str, update: Callable[..., Any]) -> Write:
    """Return `…/fix-external-ids`."""

    def form(account: Account) -> Json:
        return {field: [{"id": account.ids(collection)[0], "externalId": "fixed"}]}

    return Write(FixExternalIds(collection, update), field, form=form)


@dataclass(frozen=True)
class FixExternalIds:
    """`…/fix-external-ids`: `[{id, externalId}]`, all of them or none."""

    collection: str
    update: Callable[..., Any]

    def __call__(self, call: Call, rows: Any) -> Done:
        reading, found = Reading(call, creating=True), []
        for n, row in enumerate(listed(rows)):
            read = FIXED.read(reading, row, f"[{n}]")
            live = call.account.collections[self.collection].truth.live
            record = live.get(read.get("id") or 0)
            if read and (record is None or not call.key.sees(record.site)):
                reading.wrong(f"[{n}].id", Wrong("Not found.", lacks=True))
            found.append(read)
        reading.refuse(SINGULAR[self.collection])
        for read in found:
            self.update(call.account, read["id"], externalId=read["externalId"])
        return Done()


def listed(value: Any, *, most: int | None = None) -> list[Any]:
    """Return a parameter that is a list, at most so long, or raise the refusal."""
    if not isinstance(value, list):
        raise Refusal(400, FORMAT, errors={"0": "This value should be of type array."})
    if most is not None and len(value) > most:
        said = f"This collection should contain {most} elements or less."
        raise Refusal(400, FORMAT, errors={"0": said})
    return value


# --- uploads

Make = Callable[[Reading, Any], Callable[[], int]]
"""Read one record: the function that saves it, called when nothing was wrong."""


@dataclass(frozen=True)
class Upload:
    """`…/upload`: up to fifty records, each made or refused by itself.

    460 where some were refused [E: the status, its text, the lists' names: the clients' tests].
    """

    noun: str  # Orders, Customers, Costs
    make: Make
    bare: bool = False  # ids alone come back (costs)
    tail: Callable[[Call, list[int]], Json] | None = None  # more of the answer

    def __call__(self, call: Call, rows: Any) -> Done:
        made: list[Json] = []
        failed: list[Json] = []
        errors: Json = {}
        for n, row in enumerate(listed(rows, most=MOST)):
            reading = Reading(call, creating=True)
            external = row.get("externalId") if isinstance(row, dict) else None
            save = self.make(reading, row)
            wrong = {**reading.format, **reading.lacks}
            if wrong:
                errors[str(n)] = "; ".join(f"{name}: {said}" for name, said in wrong.items())
                failed.append({} if external is None else {"externalId": str(external)})
                continue
            told: Json = {"id": save()}
            made.append(told if external is None else told | {"externalId": str(external)})
        ids = [row["id"] for row in made]
        answer: Json = {f"uploaded{self.noun}": ids if self.bare else made}
        answer |= self.tail(call, ids) if self.tail is not None else {}
        if not errors:
            return Done(answer)
        message = f"{self.noun} are loaded with errors"
        answer |= {f"failed{self.noun}": failed, "errors": errors}
        return Done({"errorMsg": message, **answer}, 460)
