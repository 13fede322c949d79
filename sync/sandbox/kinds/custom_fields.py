"""Custom fields and their dictionaries. They have no id: the API knows them by entity and code."""

from __future__ import annotations

from sync.sandbox.calls import Call
from sync.sandbox.filters import among, flag, text
from sync.sandbox.kind import Kind, Seeding
from sync.sandbox.lists import MORE, ListMethod
from sync.sandbox.php import Json
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
)  # fmt: skip
