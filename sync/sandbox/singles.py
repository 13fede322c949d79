"""Methods that return one object: by id, by externalId or by codes."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from sync.sandbox.calls import Call
from sync.sandbox.php import Json, Refusal
from sync.sandbox.records import Record
from sync.sandbox.sending import answered


@dataclass(frozen=True)
class SingleMethod:
    """`/{collection}/{id}`; with `by_external` the path holds an externalId unless by=id."""

    collection: str
    key: str
    by_external: bool = False

    def __call__(self, call: Call) -> bytes:
        record = find(call, self.collection, call.args[0], by_external=self.by_external)
        blob = answered(call, self.collection, record)
        return b'{"success":true,"%b":%b}' % (self.key.encode(), blob)


@dataclass(frozen=True)
class CodedMethod:
    """`/{entity}/{code}`: the object whose fields equal the variable parts of the path."""

    collection: str
    key: str
    names: tuple[str, ...]

    def __call__(self, call: Call) -> bytes:
        collection = call.account.collections[self.collection]
        for record in collection.view(call.now, call.replica).live.values():
            entity = collection.load(record)
            if all(entity[n] == arg for n, arg in zip(self.names, call.args, strict=True)):
                return as_json(**{self.key: entity})
        raise Refusal(404, "Not found")


@dataclass(frozen=True)
class Download:
    """A binary answer; not JSON."""

    collection: str
    by_external: bool = False

    def __call__(self, call: Call) -> bytes:
        record = find(call, self.collection, call.args[0], by_external=self.by_external)
        return b"%%PDF-1.4 sandbox %d" % record.id


def find(call: Call, collection: str, text: str, *, by_external: bool) -> Record:
    """Return the record a path names, or raise "Not found", with combinedTo after a merge."""
    target = call.account.collections[collection]
    if by_external and call.by() == "externalId":
        site = call.params.get("site") or call.site()
        found = target.find(call.now, lambda r: r.external == text and r.site == site)
        missing = next(
            (i for i, g in target.gone.items() if g.last and g.last.external == text), None
        )
    else:
        missing = int(text) if text.isdigit() else None
        found = target.get(missing, call.now) if missing is not None else None
    if found is None or not call.key.sees(found.site):
        raise not_found(call, collection, missing)
    return found


def not_found(call: Call, collection: str, record_id: int | None) -> Refusal:
    more: Json = {}
    target = call.account.collections[collection]
    gone = target.gone.get(record_id) if record_id is not None else None
    while gone is not None and gone.combined_to is not None:
        survivor = target.truth.live.get(gone.combined_to)
        if survivor is not None:
            more["combinedTo"] = target.load(survivor)
            break
        gone = target.gone.get(gone.combined_to)
    return Refusal(404, "Not found", **more)


def as_json(**answer: object) -> bytes:
    return orjson.dumps({"success": True, **answer})
