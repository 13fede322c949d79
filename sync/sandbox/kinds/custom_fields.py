"""Custom fields and their dictionaries. They have no id: the API knows them by entity and code."""

from __future__ import annotations

from typing import Any

from sync.sandbox import shapes
from sync.sandbox.calls import Call
from sync.sandbox.filters import among, flag, text
from sync.sandbox.kind import Kind, Seeding
from sync.sandbox.lists import MORE, ListMethod
from sync.sandbox.php import Json, Refusal
from sync.sandbox.records import Record
from sync.sandbox.shapes import FORMAT, Done, Shape, checked, editing, every, making, only, whole
from sync.sandbox.singles import CodedMethod

FILTERS = {
    **text("name"), **among("code", "type", "viewMode", "displayArea", "entity", "viewModeMobile"),
    **flag("inFilter"),
}  # fmt: skip
_COLOURS = (("red", 10), ("green", 20), ("blue", 30))
# entity, code, type, dictionary
_CUSTOM_FIELDS = (
    ("order", "gift", "boolean", None),
    ("order", "score", "numeric", None),
    ("order", "colour", "dictionary", "colours"),
    ("order", "tags", "multiselect_dictionary", "colours"),
    ("order", "visit_day", "date", None),
    ("customer", "loves_sale", "boolean", None),
    ("customer", "source_note", "string", None),
    ("customer_corporate", "contract", "text", None),
)


def seed(seeding: Seeding) -> None:
    store = seeding.account.store
    records = []
    for n, (entity, code, kind, dictionary) in enumerate(_CUSTOM_FIELDS, 1):
        field: Json = {
            "name": code.capitalize(), "code": code, "required": False, "inFilter": True,
            "inList": n % 2 == 0,
            "inGroupActions": False, "type": kind, "entity": entity, "ordering": 50,
            "displayArea": "customer",
            "viewMode": "editable",
        }  # fmt: skip
        if dictionary:
            field |= {"dictionary": dictionary, "default": "red", "defaultTyped": "red"}
        elif kind == "boolean":
            field |= {"default": "false", "defaultTyped": False}
        elif kind == "numeric":
            field |= {"default": 1, "defaultTyped": 1}
        records.append(store.nameless(n, field))
    store.fill_records("custom-fields", records)
    elements = [{"name": c.capitalize(), "code": c, "ordering": o} for c, o in _COLOURS]
    dictionaries: list[Json] = [
        {"name": "Colours", "code": "colours", "elements": elements},
        {"name": "Empty", "code": "empty", "elements": []},
    ]
    rows = [store.nameless(n, d) for n, d in enumerate(dictionaries, 1)]
    store.fill_records("dictionaries", rows)


def _row(call: Call, field: Json) -> Json:
    """Return a row, without the entity when filter[entity] names it."""
    return {k: v for k, v in field.items() if k != "entity" or "entity" not in call.filter()}


# --- writes

ENTITIES = ("order", "customer", "customer_corporate", "company", "loyalty_account")
TYPES = ("string", "text", "boolean", "numeric", "integer", "date", "datetime", "email",
         "dictionary", "multiselect_dictionary")  # fmt: skip
FIELD = Shape(
    {
        **shapes.text("code", "name", "displayArea", "viewMode", "viewModeMobile", "dictionary"),
        **shapes.flag("required", "inFilter", "inList", "inGroupActions"), **whole("ordering"),
        "type": only(*TYPES),
    },
    needs=("code", "name", "type"),
)  # fmt: skip
ELEMENT = Shape({**shapes.text("name", "code"), **whole("ordering")}, needs=("name", "code"))
DICTIONARY = Shape(
    {**shapes.text("code", "name"), "elements": every(ELEMENT)}, needs=("code", "name")
)
_NEW = {"required": False, "inFilter": False, "inList": False, "inGroupActions": False,
        "ordering": 50, "displayArea": "customer", "viewMode": "editable"}  # fmt: skip


def _coded(call: Call, collection: str, **names: str) -> Record | None:
    held = call.account.collections[collection]
    for record in held.truth.live.values():
        entity = held.load(record)
        if all(entity[name] == value for name, value in names.items()):
            return record
    return None


def _put(call: Call, collection: str, number: int | None, entity: Json) -> Done:
    kept = {k: v for k, v in entity.items() if v is not None}
    with call.account.saving("api") as save:
        number = number or call.account.store.take_id(collection)
        save.put(collection, call.account.store.nameless(number, kept))
    return Done({"code": entity["code"]})


def _new(call: Call, collection: str, form: Json, **more: Any) -> Done:
    named = {"code": form["code"], **{k: v for k, v in more.items() if k == "entity"}}
    if _coded(call, collection, **named) is not None:
        said = f"{form['code']} already exists."  # the text is not known
        raise Refusal(400, FORMAT, errors={"code": said})
    return _put(call, collection, None, {**more, **form})


def create_field(call: Call, value: Any) -> Done:
    if call.args[0] not in ENTITIES:
        raise Refusal(404, "Not found")
    form = checked(call, FIELD, value, "CustomField", makes=True)
    if form.get("dictionary") and _coded(call, "dictionaries", code=form["dictionary"]) is None:
        said = f"Dictionary with code={form['dictionary']} not found."
        raise Refusal(400, "CustomField is not loaded", errors={"dictionary": said})
    return _new(call, "custom-fields", form, entity=call.args[0], **_NEW)


def edit_field(call: Call, value: Any) -> Done:
    """Change a field; its code and type stay."""
    entity, code = call.args
    record = _coded(call, "custom-fields", entity=entity, code=code)
    if record is None:
        raise Refusal(404, "Not found")
    form = checked(call, FIELD, value, "CustomField", makes=False)
    old = call.account.collections["custom-fields"].load(record)
    fixed = {name: old[name] for name in ("code", "type", "entity")}
    return _put(call, "custom-fields", record.id, {**old, **form, **fixed})


def create_dictionary(call: Call, value: Any) -> Done:
    form = checked(call, DICTIONARY, value, "CustomDictionary", makes=True)
    return _new(call, "dictionaries", form, **({} if form.get("elements") else {"elements": []}))


def edit_dictionary(call: Call, value: Any) -> Done:
    """Change a dictionary; elements that are given are all it has."""
    record = _coded(call, "dictionaries", code=call.args[0])
    if record is None:
        raise Refusal(404, "Not found")
    form = checked(call, DICTIONARY, value, "CustomDictionary", makes=False)
    old = call.account.collections["dictionaries"].load(record)
    return _put(call, "dictionaries", record.id, {**old, **form, "code": old["code"]})


CUSTOM_FIELDS = Kind(
    "custom-fields",
    scope="custom_fields_read",
    methods={
        "custom-fields": ListMethod(
            "custom-fields", "customFields", FILTERS, limits=MORE, order="oldest", shape=_row
        ),
        "custom-fields/{entity}/{code}": CodedMethod(
            "custom-fields", "customField", ("entity", "code")
        ),
    },
    writes={
        "custom-fields/{entity}/create": making(create_field, "customField", FIELD),
        "custom-fields/{entity}/{code}/edit": editing(edit_field, "customField", FIELD),
    },
    seed=seed,
)
DICTIONARIES = Kind(
    "dictionaries",
    scope="custom_fields_read",
    methods={
        "custom-fields/dictionaries": ListMethod(
            "dictionaries", "customDictionaries", text("name") | among("code"),
            limits=MORE, order="oldest",
        ),
        "custom-fields/dictionaries/{code}": CodedMethod(
            "dictionaries", "customDictionary", ("code",)
        ),
    },
    writes={
        "custom-fields/dictionaries/create": making(
            create_dictionary, "customDictionary", DICTIONARY
        ),
        "custom-fields/dictionaries/{code}/edit": editing(
            edit_dictionary, "customDictionary", DICTIONARY
        ),
    },
)  # fmt: skip
