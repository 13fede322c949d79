"""Questions to a live account about what is known of the API from papers alone.

Reads only, about twenty requests. An answer holds counts, whether ids ascend, names of fields and
statuses, never a value of a record. Nothing here changes what the service does: what is otherwise
is for people to read.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sync.crm.budget.slot import Priority
from sync.crm.decode import decode
from sync.errors import Forbidden, OverLimit, Refused, SyncError
from sync.work.session import Session

ORDERS, HISTORY, CUSTOMERS = "/api/v5/orders", "/api/v5/orders/history", "/api/v5/customers"
NO_DAY = "1990-01-01"
NO_ID = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Answer:
    """An assumption, whether it holds (None: it could not be told), what was answered, and what
    follows for the mirror where it is otherwise."""

    assumption: str
    holds: bool | None
    answer: str
    consequence: str = ""


@dataclass(frozen=True, slots=True)
class _Reply:
    """The result of a request: the data, or the status and message of a refusal."""

    data: Mapping[str, Any]
    status: int = 200
    words: str = ""

    @property
    def is_good(self) -> bool:
        return self.status == 200

    @property
    def total(self) -> int | None:
        block = self.data.get("pagination")
        found = block.get("totalCount") if isinstance(block, dict) else None
        return found if isinstance(found, int) else None

    @property
    def pages(self) -> int | None:
        block = self.data.get("pagination")
        found = block.get("totalPageCount") if isinstance(block, dict) else None
        return found if isinstance(found, int) else None

    def ids(self, key: str) -> list[int]:
        rows = self.data.get(key)
        rows = rows if isinstance(rows, list) else []
        return [r["id"] for r in rows if isinstance(r, dict) and isinstance(r.get("id"), int)]


def probe_account(api: Session, *, zone: str) -> Iterator[Answer]:
    """Ask an account, and yield the answers; what is refused altogether yields one answer."""
    probe = _Probe(api)
    yield from _of_account(probe, zone)
    yield from _of_orders(probe)
    yield from _of_single(probe)
    yield from _of_history(probe)
    yield from _of_customers(probe)
    yield probe.refusals()


class _Probe:
    """Asks, and remembers how the account refused."""

    def __init__(self, api: Session) -> None:
        self._api = api
        self._refused: list[OverLimit] = []
        self.asked = 0

    def __call__(self, path: str, **params: Any) -> _Reply:
        self.asked += 1
        try:
            return _Reply(self._api.ask(path, params, priority=Priority.FEED).data)
        except OverLimit as error:
            self._refused.append(error)
            return _Reply({}, 503, "over the limit")
        except Refused as error:
            return _Reply(_json(error.body), error.status, "refused")
        except Forbidden as error:
            return _Reply({}, error.status, "the key has no access to it")
        except SyncError as error:
            return _Reply({}, 0, type(error).__name__)

    def refusals(self) -> Answer:
        what = "requests below the limit are not refused"
        if not self._refused:
            return Answer(what, True, f"none of {self.asked} requests was")
        after = [error.after for error in self._refused]
        told = "named no Retry-After" if not any(after) else f"named Retry-After {after}"
        return Answer(
            what, False, f"{len(after)} of {self.asked} were, and {told}",
            "the pace gives way by itself; something else may use this address or key",
        )  # fmt: skip


def _json(body: bytes) -> Mapping[str, Any]:
    try:
        found = decode(body)
    except (SyncError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _judged(
    assumption: str, holds: bool | None, answer: str, consequence: str, *replies: _Reply
) -> Answer:
    """Return the answer; not known where one of the requests failed for another reason."""
    for reply in replies:
        if reply.status in {0, 401, 403, 503}:
            return Answer(assumption, None, f"HTTP {reply.status or 'none'}: {reply.words}")
    return Answer(assumption, holds, answer, "" if holds else consequence)


def _order_of(ids: list[int]) -> str:
    if len(ids) < 2:
        return "fewer than two records"
    if ids == sorted(ids):
        return "ids ascend"
    return "ids descend" if ids == sorted(ids, reverse=True) else "ids in no order"


def _of_account(ask: _Probe, zone: str) -> Iterator[Answer]:
    found = ask("/api/credentials")
    access = found.data.get("siteAccess")
    yield _judged(
        "credentials tell siteAccess and scopes",
        access in {"access_full", "access_selective"}
        and isinstance(found.data.get("scopes"), list),
        f"siteAccess {access}, fields {', '.join(sorted(found.data))}",
        "absences cannot be judged: no row is marked deleted from a list",
        found,
    )
    settings = ask("/api/v5/settings")
    node = settings.data.get("settings")
    told = node.get("timezone") if isinstance(node, dict) else None
    value = told.get("value") if isinstance(told, dict) else None
    yield _judged(
        "settings name an IANA zone", value == zone, f"{'the one' if value == zone else 'another'}"
        " that is stored", "run: celery -A sync mirror store check NAME", settings,
    )  # fmt: skip


def _of_orders(ask: _Probe) -> Iterator[Answer]:
    first = ask(ORDERS, limit=20)
    ids = first.ids("orders")
    yield _judged(
        "lists come newest first", len(ids) < 2 or ids == sorted(ids, reverse=True), _order_of(ids),
        "windows are cut from the wrong end: loads take longer, nothing is lost", first,
    )  # fmt: skip
    hundred = ask(ORDERS, limit=100)
    yield _judged(
        "a page may have 100 records", hundred.is_good, f"HTTP {hundred.status}",
        "pages are asked for smaller: loads take more requests", hundred,
    )  # fmt: skip
    odd = ask(ORDERS, limit=30)
    yield _judged(
        "a limit that is not allowed is refused", odd.status == 400,
        f"HTTP {odd.status}, {len(odd.ids('orders'))} records",
        "a misread limit would pass unnoticed; the number of records is checked anyway", odd,
    )  # fmt: skip
    total, pages = first.total or 0, first.pages or 0
    beyond = ask(ORDERS, limit=20, page=pages + 1)
    yield _judged(
        "a page beyond the end is empty or refused",
        not beyond.ids("orders"), f"HTTP {beyond.status}, {len(beyond.ids('orders'))} records",
        "a walk could go round in circles: tell us", beyond,
    )  # fmt: skip
    unknown = ask(ORDERS, limit=20, filter={"noSuchFilter": 1})
    told = (
        "refused"
        if unknown.status == 400
        else ("ignored" if unknown.total == total else "narrows the list")
    )
    yield _judged(
        "an unknown filter is refused or ignored", told != "narrows the list",
        f"HTTP {unknown.status}, {told}", "filters mean something else here: tell us", unknown,
    )  # fmt: skip
    empty = ask(ORDERS, limit=20, filter={"createdAtFrom": NO_DAY, "createdAtTo": NO_DAY})
    yield _judged(
        "creation days narrow a list", empty.total == 0 or total == 0,
        f"{empty.total} of {total} for a day without orders",
        "the list is read as one window, without cuts", empty,
    )  # fmt: skip
    yield _judged(
        "an empty page says totalCount 0 and totalPageCount 0",
        (empty.total, empty.pages) == (0, 0), f"{empty.total} and {empty.pages}",
        "empty lists may be misread: tell us", empty,
    )  # fmt: skip
    timed = ask(ORDERS, limit=20, filter={"createdAtFrom": f"{NO_DAY} 00:00:00"})
    yield _judged(
        "creation filters take days alone", timed.status == 400, f"HTTP {timed.status}",
        "windows could be cut finer than days; nothing is wrong", timed,
    )  # fmt: skip
    if ids:
        wanted = [ids[0], ids[-1]]
        some = ask(ORDERS, limit=100, filter={"ids": wanted})
        yield _judged(
            "filter[ids] gives those records alone", set(some.ids("orders")) == set(wanted),
            f"{len(some.ids('orders'))} for {len(set(wanted))} ids",
            "changed records are asked for one by one: more requests", some,
        )  # fmt: skip


def _of_single(ask: _Probe) -> Iterator[Answer]:
    newest = ask(ORDERS, limit=20).ids("orders")
    if newest:
        one = ask(f"{ORDERS}/{newest[0]}", by="id")
        found = one.data.get("order")
        yield _judged(
            "one record can be read by its id",
            isinstance(found, dict) and found.get("id") == newest[0], f"HTTP {one.status}",
            "absences cannot be confirmed: nothing is marked deleted that way", one,
        )  # fmt: skip
    none = ask(f"{ORDERS}/{NO_ID}", by="id")
    yield _judged(
        "a record that does not exist is a JSON 404",
        none.status == 404 and none.data.get("success") is False,
        f"HTTP {none.status}, fields {', '.join(sorted(none.data)) or 'none'}",
        "absences cannot be confirmed: nothing is marked deleted that way", none,
    )  # fmt: skip
    path = ask("/api/v5/no-such-method")
    yield _judged(
        "an unknown method is a 404", path.status == 404, f"HTTP {path.status}",
        "a method that an account lacks may be taken for another fault", path,
    )  # fmt: skip


def _of_history(ask: _Probe) -> Iterator[Answer]:
    first = ask(HISTORY, limit=20)
    ids = first.ids("history")
    yield _judged(
        "a history comes oldest first", ids == sorted(ids), _order_of(ids),
        "it cannot be followed by sinceId: tell us before you rely on coverage", first,
    )  # fmt: skip
    yield _judged(
        "a history says when it was generated", "generatedAt" in first.data,
        "generatedAt is there" if "generatedAt" in first.data else "no generatedAt",
        "coverage is about a second older", first,
    )  # fmt: skip
    if len(ids) < 3:
        yield Answer("sinceId is exclusive", None, "the history has fewer than three entries")
        return
    since = ids[len(ids) // 2]
    after = ask(HISTORY, limit=20, filter={"sinceId": since})
    came = after.ids("history")
    yield _judged(
        "sinceId is exclusive", bool(came) and min(came) > since,
        "the entry itself does not come" if since not in came else "the entry itself comes again",
        "each look reads one entry twice; nothing is lost", after,
    )  # fmt: skip
    yield _judged(
        "totals count what remains after sinceId", (after.total or 0) < (first.total or 0),
        f"{first.total} before, {after.total} after half a page",
        "the end of a history is found by empty answers alone", after,
    )  # fmt: skip
    paged = ask(HISTORY, limit=20, page=2, filter={"sinceId": since})
    yield _judged(
        "sinceId with page 2 is refused", paged.status == 400, f"HTTP {paged.status}",
        "nothing: the mirror never sends both", paged,
    )  # fmt: skip
    yield from _of_newest(ask)


def _of_newest(ask: _Probe) -> Iterator[Answer]:
    """Ask about the newest entries: their order in time, how late they are, what the list shows."""
    hour = dt.datetime.now(dt.UTC) - dt.timedelta(hours=24)
    late = ask(HISTORY, limit=100, filter={"startDate": hour.strftime("%Y-%m-%d %H:%M:%S")})
    entries = [e for e in late.data.get("history") or [] if isinstance(e, dict)]
    ids = late.ids("history")
    if not ids:
        yield Answer("entries of the last day can be read", None, "there are none, or no access")
        return
    moments = [e["createdAt"] for e in entries if isinstance(e.get("createdAt"), str)]
    back = sum(a > b for a, b in itertools.pairwise(moments))
    yield _judged(
        "later ids were created later", back == 0, f"{back} of {len(moments)} entries go back",
        "entries are published late: they are read again after the lateness bound", late,
    )  # fmt: skip
    end = ask(HISTORY, limit=20, filter={"sinceId": NO_ID * 1_000})
    yield _judged(
        "after the newest id a history is empty", end.is_good and not end.ids("history"),
        f"HTTP {end.status}, {len(end.ids('history'))} entries",
        "a feed that has read everything could begin anew: tell us", end,
    )  # fmt: skip
    named = {
        e["order"]["id"]
        for e in entries[-20:]
        if isinstance(e.get("order"), dict) and not e.get("deleted") and not e.get("combinedTo")
    }
    if named:
        shown = set(ask(ORDERS, limit=100, filter={"ids": sorted(named)}).ids("orders"))
        yield Answer(
            "lists show what the history tells", shown == named,
            f"{len(shown)} of the {len(named)} orders changed last",
            "" if shown == named else "lists lag behind the history, or some were deleted since: "
            "records are read again later",
        )  # fmt: skip


def _of_customers(ask: _Probe) -> Iterator[Answer]:
    found = ask(CUSTOMERS, limit=20)
    ids = found.ids("customers")
    yield _judged(
        "customers come newest first too", len(ids) < 2 or ids == sorted(ids, reverse=True),
        _order_of(ids), "their windows are cut from the wrong end: loads take longer", found,
    )  # fmt: skip
