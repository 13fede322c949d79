"""What `filter[...]` means: one small test per name, built from a record's path."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from sync.sandbox.php import Json, Refusal, values

Deep = Callable[[Json], bool]
Build = Callable[[str, Any], Deep]
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True)
class Filter:
    """`build(name, value)` gives the test of one request; dates may be switched off by a knob."""

    build: Build
    is_date: bool = False


def at(entity: Any, path: str) -> Any:
    """Follow a dotted path; None when a step is missing."""
    for step in path.split("."):
        entity = entity.get(step) if isinstance(entity, dict) else None
    return entity


def spread(entity: Any, path: str) -> list[Any]:
    """Values at a dotted path, through lists and the values of maps (`items[].offer.id`)."""
    here = [entity]
    for step in path.split("."):
        name, many = step.removesuffix("[]"), step.endswith("[]")
        here = [h.get(name) for h in here if isinstance(h, dict)]
        if many:
            here = [x for h in here if h for x in (h.values() if isinstance(h, dict) else h)]
    return [h for h in here if h is not None]


def invalid(name: str) -> Refusal:
    return Refusal(
        400,
        "Errors in the input parameters",
        errors={f"children[{name}]": "This value is not valid."},
    )


def day(name: str, given: Any) -> str:
    """A `Y-m-d` value, or the refusal that names the child."""
    text = (values(given) or [""])[0]
    if not _DAY.fullmatch(text):
        raise invalid(name)
    try:
        date.fromisoformat(text)
    except ValueError:
        raise invalid(name) from None
    return text


def number(name: str, given: Any) -> float:
    try:
        return float((values(given) or [""])[0])
    except ValueError:
        raise invalid(name) from None


def among(*paths: str) -> Filter:
    """The value is one of those given."""

    def build(_: str, given: Any) -> Deep:
        wanted = set(values(given))
        return lambda e: any(str(v) in wanted for p in paths for v in spread(e, p))

    return Filter(build)


def text(*paths: str) -> Filter:
    """The given text occurs in one of the fields, in any case."""

    def build(_: str, given: Any) -> Deep:
        wanted = " ".join(values(given)).casefold()
        return lambda e: any(
            wanted in " ".join(str(v) for v in spread(e, p)).casefold() for p in paths
        )

    return Filter(build)


def flag(path: str) -> Filter:
    def build(_: str, given: Any) -> Deep:
        wanted = values(given)[0] in ("1", "true")
        return lambda e: bool(at(e, path)) is wanted

    return Filter(build)


def least(path: str) -> Filter:
    def build(name: str, given: Any) -> Deep:
        bound = number(name, given)
        return lambda e: float(at(e, path) or 0) >= bound

    return Filter(build)


def most(path: str) -> Filter:
    def build(name: str, given: Any) -> Deep:
        bound = number(name, given)
        return lambda e: float(at(e, path) or 0) <= bound

    return Filter(build)


def since(path: str) -> Filter:
    """Calendar days, both ends included; a record without the date is left out."""

    def build(name: str, given: Any) -> Deep:
        bound = day(name, given)
        return lambda e: any(str(v)[:10] >= bound for v in spread(e, path))

    return Filter(build, is_date=True)


def until(path: str) -> Filter:
    def build(name: str, given: Any) -> Deep:
        bound = day(name, given)
        return lambda e: any(str(v)[:10] <= bound for v in spread(e, path))

    return Filter(build, is_date=True)


def after(path: str) -> Filter:
    """`Y-m-d H:i:s`, strictly later."""

    def build(name: str, given: Any) -> Deep:
        bound = values(given)[0]
        if not re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", bound):
            raise invalid(name)
        return lambda e: str(at(e, path) or "") > bound

    return Filter(build, is_date=True)


def above(path: str) -> Filter:
    """Ids larger than the one given."""

    def build(name: str, given: Any) -> Deep:
        bound = number(name, given)
        return lambda e: int(at(e, path) or 0) > bound

    return Filter(build)


def between(path: str) -> tuple[Filter, Filter]:
    """`Y-m-d H:i:s`, both ends included: From and To."""

    def build_from(name: str, given: Any) -> Deep:
        bound = moment(name, given)
        return lambda e: str(at(e, path) or "") >= bound

    def build_to(name: str, given: Any) -> Deep:
        bound = moment(name, given)
        return lambda e: str(at(e, path) or "") <= bound

    return Filter(build_from, is_date=True), Filter(build_to, is_date=True)


def moment(name: str, given: Any) -> str:
    found = (values(given) or [""])[0]
    if not re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", found):
        raise invalid(name)
    return found


def custom_fields() -> Filter:
    """`filter[customFields][code]=v`, or [min]/[max] below the code."""

    def build(_: str, given: Any) -> Deep:
        wanted = given if isinstance(given, dict) else {}

        def test(entity: Json) -> bool:
            held = entity.get("customFields") or {}
            return all(_fits(held.get(code), want) for code, want in wanted.items())

        return test

    return Filter(build)


def _fits(held: Any, want: Any) -> bool:
    if isinstance(want, dict):
        if held is None:
            return False
        if "min" in want or "max" in want:
            return float(want.get("min", "-inf")) <= float(held) <= float(want.get("max", "inf"))
        return any(_fits(held, w) for w in want.values())
    if isinstance(held, bool):
        return held is (want in ("1", "true"))
    return want in held if isinstance(held, list) else str(held) == want


def anything() -> Filter:
    """Known to the API, without effect here."""
    return Filter(lambda _name, _given: lambda _entity: True)


def dates(**paths: str) -> dict[str, Filter]:
    """`name=path` -> nameFrom and nameTo."""
    found: dict[str, Filter] = {}
    for name, path in paths.items():
        found[f"{name}From"], found[f"{name}To"] = since(path), until(path)
    return found


def bounds(**paths: str) -> dict[str, Filter]:
    """`Name=path` -> minName and maxName."""
    found: dict[str, Filter] = {}
    for name, path in paths.items():
        found[f"min{name}"], found[f"max{name}"] = least(path), most(path)
    return found


def idle(*names: str) -> dict[str, Filter]:
    return dict.fromkeys(names, anything())


CONTRAGENT = {
    "contragentName": text("contragent.legalName"),
    "contragentTypes": among("contragent.contragentType"),
    "contragentInn": among("contragent.INN"),
    "contragentKpp": among("contragent.KPP"),
    "contragentBik": among("contragent.BIK"),
    "contragentCorrAccount": among("contragent.corrAccount"),
    "contragentBankAccount": among("contragent.bankAccount"),
}
