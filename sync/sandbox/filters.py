"""Filters of lists: a small predicate for each name, built from a record's path."""

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
    """`build(name, value)` gives the predicate of a request; a knob may switch date filters off."""

    build: Build
    is_date: bool = False


def at(entity: Any, path: str) -> Any:
    """Follow a dotted path; None when a step is missing."""
    for step in path.split("."):
        entity = entity.get(step) if isinstance(entity, dict) else None
    return entity


def spread(entity: Any, path: str) -> list[Any]:
    """Return the values at a dotted path, through lists and values of maps (`items[].offer.id`)."""
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
    """Return a `Y-m-d` value, or raise the refusal that names the child."""
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


def moment(name: str, given: Any) -> str:
    """Return a `Y-m-d H:i:s` value, or raise the refusal that names the child."""
    found = (values(given) or [""])[0]
    if not re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", found):
        raise invalid(name)
    return found


# --- tables of filters, by kind of test. `table("email", city="address.city")`: first the names
# --- that are paths too, then name=path; of a tuple of paths, a match at one is enough.

Table = dict[str, Filter]
Paths = str | tuple[str, ...]


def _tables(make: Callable[..., Filter]) -> Callable[..., Table]:
    def table(*same: str, **paths: Paths) -> Table:
        named: dict[str, Paths] = {**dict(zip(same, same, strict=True)), **paths}
        return {n: make(*((p,) if isinstance(p, str) else p)) for n, p in named.items()}

    return table


def _bounded(
    read: Callable[[str, Any], Any], fits: Callable[[Any, Any], bool], *, is_date: bool = False,
    found: Callable[[Any, str], Any] = at,
) -> Callable[[str], Filter]:  # fmt: skip
    """Return a maker of filters that compare the value at a path with the bound of a request."""

    def make(path: str) -> Filter:
        def build(name: str, given: Any) -> Deep:
            bound = read(name, given)
            return lambda e: fits(found(e, path), bound)

        return Filter(build, is_date)

    return make


def _among(*paths: str) -> Filter:
    def build(_: str, given: Any) -> Deep:
        wanted = set(values(given))
        return lambda e: any(str(v) in wanted for p in paths for v in spread(e, p))

    return Filter(build)


def _text(*paths: str) -> Filter:
    def build(_: str, given: Any) -> Deep:
        wanted = " ".join(values(given)).casefold()
        return lambda e: any(
            wanted in " ".join(str(v) for v in spread(e, p)).casefold() for p in paths
        )

    return Filter(build)


def _is_set(_: str, given: Any) -> bool:
    return values(given)[0] in ("1", "true")


among = _tables(_among)  # the value is one of those given
text = _tables(_text)  # the given text occurs in it, in any case
flag = _tables(_bounded(_is_set, lambda v, wanted: bool(v) is wanted))
above = _tables(_bounded(number, lambda v, bound: int(v or 0) > bound))  # larger ids
after = _tables(_bounded(moment, lambda v, bound: str(v or "") > bound, is_date=True))  # strictly
least = _tables(_bounded(number, lambda v, bound: float(v or 0) >= bound))
most = _tables(_bounded(number, lambda v, bound: float(v or 0) <= bound))
# Calendar days and moments, both ends included; a record without the day is left out.
since = _tables(
    _bounded(
        day, lambda vs, bound: any(str(v)[:10] >= bound for v in vs), is_date=True, found=spread
    )
)
until = _tables(
    _bounded(
        day, lambda vs, bound: any(str(v)[:10] <= bound for v in vs), is_date=True, found=spread
    )
)
_from = _tables(_bounded(moment, lambda v, bound: str(v or "") >= bound, is_date=True))
_to = _tables(_bounded(moment, lambda v, bound: str(v or "") <= bound, is_date=True))


def dates(**paths: str) -> Table:
    """Build filters from `name=path`: nameFrom and nameTo, days."""
    return since(**_with("{}From", paths)) | until(**_with("{}To", paths))


def moments(**paths: str) -> Table:
    """Build filters from `name=path`: nameFrom and nameTo, moments."""
    return _from(**_with("{}From", paths)) | _to(**_with("{}To", paths))


def bounds(**paths: str) -> Table:
    """Build filters from `Name=path`: minName and maxName."""
    return least(**_with("min{}", paths)) | most(**_with("max{}", paths))


def _with(form: str, paths: dict[str, str]) -> dict[str, str]:
    return {form.format(name): path for name, path in paths.items()}


def idle(*names: str) -> Table:
    """Accept filters the API knows, without effect here."""
    return dict.fromkeys(names, Filter(lambda _name, _given: lambda _entity: True))


def custom_fields() -> Table:
    """Build filters `filter[customFields][code]=v`, or [min]/[max] below the code."""

    def build(_: str, given: Any) -> Deep:
        wanted = given if isinstance(given, dict) else {}

        def test(entity: Json) -> bool:
            held = entity.get("customFields") or {}
            return all(_fits(held.get(code), want) for code, want in wanted.items())

        return test

    return {"customFields": Filter(build)}


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


CONTRAGENT = {
    **text(contragentName="contragent.legalName"),
    **among(contragentTypes="contragent.contragentType", contragentInn="contragent.INN",
            contragentKpp="contragent.KPP", contragentBik="contragent.BIK",
            contragentCorrAccount="contragent.corrAccount",
            contragentBankAccount="contragent.bankAccount"),
}  # fmt: skip
