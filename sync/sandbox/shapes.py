"""The shape of what a POST may hold: fields with the check of each, and errors by field.

A shape reads what it knows, leaves out what it does not (whether the API refuses unknown keys of
an entity is not known), and collects every error before the call is refused. Errors are of two
sorts, as in the API: of format ("Errors in the entity format"), and of what the account lacks
("Order is not loaded": a customer, a status). Texts that no client shows are Symfony's, which the
API is written with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sync.sandbox.account import Account
from sync.sandbox.calls import Call
from sync.sandbox.forms import structure
from sync.sandbox.php import Json, Refusal, loose

FORMAT = "Errors in the entity format"
BLANK = "This value should not be blank."
CHOICE = "The value you selected is not a valid choice."


class Wrong(Exception):
    """A value that is refused; the text is the error. `lacks`: the account does not have it."""

    def __init__(self, text: str, *, lacks: bool = False) -> None:
        super().__init__(text)
        self.lacks = lacks


@dataclass
class Reading:
    """The reading of one structure: the call it came with, and the errors so far."""

    call: Call
    creating: bool = False
    format: Json = field(default_factory=dict)
    lacks: Json = field(default_factory=dict)

    def wrong(self, where: str, error: Wrong) -> None:
        (self.lacks if error.lacks else self.format).setdefault(where, str(error))

    def refuse(self, noun: str, **more: Any) -> None:
        """Raise the refusal of an entity with errors, if there are any."""
        if self.format:
            raise Refusal(400, FORMAT, errors={**self.format, **self.lacks}, **more)
        if self.lacks:
            raise Refusal(400, f"{noun} is not loaded", errors=self.lacks, **more)


@dataclass(frozen=True)
class Check:
    """The reading of a value, and one that passes: for calls that try every method."""

    read: Callable[[Reading, str, Any], Any]
    sample: Callable[[Account], Any]


Fields = Mapping[str, Check]


def _plain(read: Callable[[Any], Any], sample: Any) -> Callable[..., dict[str, Check]]:
    check = Check(lambda _reading, _where, value: read(value), lambda _: sample)
    return lambda *names: dict.fromkeys(names, check)


def as_text(value: Any) -> str:
    if isinstance(value, bool | dict | list):
        raise Wrong("This value should be of type string.")
    return str(value)


def _number(value: Any) -> int | float:
    try:
        return loose(float("" if isinstance(value, bool | dict | list) else value))
    except (ValueError, OverflowError):
        raise Wrong("This value should be of type numeric.") from None


def as_whole(value: Any) -> int:
    number = _number(value)
    if number != int(number):
        raise Wrong("This value should be of type integer.")
    return int(number)


def _flag(value: Any) -> bool:
    if value in (True, False, 1, 0, "1", "0", "true", "false"):
        return value in (True, 1, "1", "true")
    raise Wrong("This value should be of type bool.")


def _dated(form: str, example: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        try:
            return datetime.strptime(value, form).strftime(form)  # noqa: DTZ007 - of no zone
        except (TypeError, ValueError):
            raise Wrong(f"This value is not a valid date, e.g. {example}.") from None

    return read


def _map(value: Any) -> Json:
    if value == []:
        return {}
    if not isinstance(value, dict):
        raise Wrong("This value should be of type array.")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise Wrong("This value should be of type array.")
    return value


text = _plain(as_text, "sample")
number = _plain(_number, 1)
whole = _plain(as_whole, 1)
flag = _plain(_flag, True)
day = _plain(_dated("%Y-%m-%d", "2026-03-25"), "2026-03-25")
moment = _plain(_dated("%Y-%m-%d %H:%M:%S", "2026-03-25 14:30:00"), "2026-03-25 14:30:00")
minute = _plain(_dated("%Y-%m-%d %H:%M", "2026-03-25 14:30"), "2026-03-25 14:30")
lists = _plain(_list, [])
maps = _plain(_map, {})


def only(*allowed: str) -> Check:
    """Read one of a few words."""

    def read(_reading: Reading, _where: str, value: Any) -> str:
        if value not in allowed:
            raise Wrong(CHOICE)
        return str(value)

    return Check(read, lambda _: allowed[0])


def code(dictionary: str) -> Check:
    """Read a code of one of the account's dictionaries."""

    def read(reading: Reading, where: str, value: Any) -> str:
        found = as_text(value)
        if found not in reading.call.account.references[dictionary]:
            noun = where.rpartition(".")[2]
            raise Wrong(f"{noun[0].upper()}{noun[1:]} with code={found} not found.", lacks=True)
        return found

    return Check(read, lambda account: next(iter(account.references[dictionary])))


def user() -> Check:
    """Read the id of a user."""

    def read(reading: Reading, where: str, value: Any) -> int:
        found = as_whole(value)
        if found not in reading.call.account.collections["users"].truth.live:
            raise Wrong(f"User with id={found} not found.", lacks=True)
        return found

    return Check(read, lambda account: account.user_ids[0])


@dataclass(frozen=True)
class Shape:
    """An object: its fields, those that must be there, those of which one must be."""

    fields: Fields
    needs: tuple[str, ...] = ()  # where the object is made; an edit may leave them out
    one_of: tuple[str, ...] = ()

    def read(self, reading: Reading, value: Any, where: str = "") -> Json:
        """Return the known fields of an object; the errors are kept by their path."""
        if not isinstance(value, dict):
            reading.wrong(where or "0", Wrong("This value should be of type array."))
            return {}
        at = f"{where}." if where else ""
        found: Json = {}
        for name, check in self.fields.items():
            if name not in value:
                continue
            if value[name] is None:
                found[name] = None
                continue
            try:
                found[name] = check.read(reading, at + name, value[name])
            except Wrong as error:
                reading.wrong(at + name, error)
        needed = self.needs if reading.creating else [n for n in self.needs if n in value]
        for name in needed:
            if value.get(name) in (None, ""):
                reading.wrong(at + name, Wrong(BLANK))
        if self.one_of and all(value.get(name) in (None, "") for name in self.one_of):
            names = ", ".join(self.one_of)
            reading.wrong(where or "0", Wrong(f"Set one of the following fields: {names}"))
        return found

    def sample(self, account: Account) -> Json:
        """Return the smallest object that passes."""
        names = (*self.needs, *self.one_of[:1]) or (next(iter(self.fields)),)
        return {name: self.fields[name].sample(account) for name in names}


def inside(shape: Shape) -> Check:
    """Read an object within an object; PHP's `[]` stands for an empty one."""

    def read(reading: Reading, where: str, value: Any) -> Json:
        return shape.read(reading, {} if value == [] else value, where)

    return Check(read, shape.sample)


def every(shape: Shape, *, most: int | None = None) -> Check:
    """Read a list of objects; a map of them, as order.payments is sent, counts as one."""

    def read(reading: Reading, where: str, value: Any) -> list[Json]:
        found = _list(list(value.values()) if isinstance(value, dict) else value)
        if most is not None and len(found) > most:
            raise Wrong(f"This collection should contain {most} elements or less.")
        return [shape.read(reading, each, f"{where}[{n}]") for n, each in enumerate(found)]

    return Check(read, lambda account: [shape.sample(account)])


@dataclass(frozen=True)
class Done:
    """The answer of a write beside `success`; status 0: the method's own."""

    answer: Json = field(default_factory=dict)
    status: int = 0


Do = Callable[[Call, Any], Done]
Form = Callable[[Account], Json]


@dataclass(frozen=True)
class Write:
    """A method that changes the account: what it does, and the parameter that holds its JSON.

    `field` may hold other names after its own, that official clients send. `status` is that of
    success, `form` a form that passes: for calls that try every method.
    """

    do: Do
    field: str | tuple[str, ...] = ()
    status: int = 200
    form: Form = lambda _: {}

    @property
    def name(self) -> str | None:
        """Return the parameter that holds its JSON; None for a method without one."""
        return self.field if isinstance(self.field, str) else next(iter(self.field), None)

    def __call__(self, call: Call) -> tuple[int, Json]:
        """Carry it out; return status and body."""
        names = (self.field,) if isinstance(self.field, str) else self.field
        done = self.do(call, structure(call.params, *names) if names else None)
        status = done.status or self.status
        return status, {"success": status < 300, **done.answer}


def making(do: Do, name: str, shape: Shape) -> Write:
    """Return a method that makes a record: 201."""
    return Write(do, name, 201, lambda account: {name: shape.sample(account)})


def editing(do: Do, field: str | tuple[str, ...], shape: Shape) -> Write:
    """Return a method that changes a record."""
    name = field if isinstance(field, str) else field[0]
    return Write(do, field, 200, lambda account: {name: shape.sample(account)})


def several(do: Do, name: str, shape: Shape, *, status: int = 200) -> Write:
    """Return a method for a list of records."""
    return Write(do, name, status, lambda account: {name: [shape.sample(account)]})


def checked(call: Call, shape: Shape, value: Any, noun: str, *, makes: bool) -> Json:
    """Return what a shape reads of a value, or raise the refusal."""
    reading = Reading(call, creating=makes)
    found = shape.read(reading, value)
    reading.refuse(noun)
    return found


def custom_fields(entity: str) -> dict[str, Check]:
    """Read `customFields` by the types of the account's fields; unknown codes are left out."""

    def read(reading: Reading, where: str, value: Any) -> Json:
        found: Json = {}
        for each in reading.call.account.store.entities("custom-fields"):
            name = each["code"]
            if each["entity"] != entity or name not in (given := _map(value)):
                continue
            check = _CUSTOM.get(each["type"], text)("_")["_"]
            try:
                held = given[name]
                found[name] = None if held is None else check.read(reading, where, held)
            except Wrong as error:
                reading.wrong(f"{where}.{name}", error)
        _map(value)
        return found

    return {"customFields": Check(read, lambda _: {})}


_CUSTOM = {
    "boolean": flag, "numeric": number, "integer": whole, "date": day, "datetime": moment,
    "multiselect_dictionary": lists,
}  # fmt: skip
