"""List and history methods: filter, order, page; and the pagination block beside a page."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from typing import Any, TypeVar

import orjson

from sync.sandbox.calls import Call
from sync.sandbox.filters import Deep, Filter, among, day, invalid, moment
from sync.sandbox.history import Entry
from sync.sandbox.php import Json, Refusal, values
from sync.sandbox.records import Record, View
from sync.sandbox.sending import answered, answered_entry
from sync.sandbox.singles import find

T = TypeVar("T")
LIMITS = (20, 50, 100)
MORE = (*LIMITS, 250)
CREATED = ("createdAtFrom", "createdAtTo")  # the usual names of the creation date filters
OWNER = "_owner"
_ALWAYS = among(_owner="_customer", _channel="mgChannelId")
PAGING = "Errors in the pagination parameters"
USE_SINCE_ID = "Use the shift of the `filter[sinceId]` instead of `page` parameter"
DEEPEST = 10_000  # most entries of a history that may be paged over without sinceId


@dataclass(frozen=True)
class ListMethod:
    """A paged list: its collection, the key of its answer, its filters, its order."""

    collection: str
    key: str
    filters: dict[str, Filter] = field(default_factory=dict)
    limits: Sequence[int] = LIMITS
    order: str = "newest"  # newest | id_desc | id_asc
    created: tuple[str, str] | None = None  # names of the creation date filters
    parent: str | None = None  # per-parent lists: collection of the id in the path
    external: bool = False  # the parent may be named by externalId
    shape: Callable[[Call, Json], Json] | None = None  # changes the record for this list
    buyer: str | None = None  # the filter that names a record's customer by externalId

    def __call__(self, call: Call) -> bytes:
        asked = paging(call, self.limits)
        ids = self.select(call)
        size = call.account.knobs.ids_page_size
        if size is not None and "ids" in call.filter():
            asked = Paging(min(asked.limit, size), asked.number)
        chosen = page(call, ids, asked)
        view = call.account.collections[self.collection].view(call.now, call.replica)
        rows = [answered(call, self.collection, view.live[i]) for i in chosen]
        if self.shape is not None:
            rows = [orjson.dumps(self.shape(call, orjson.loads(row))) for row in rows]
        return answer(call, self.key, rows, asked, len(ids) + self._phantoms(call))

    def _phantoms(self, call: Call) -> int:
        """Return the knob's addition to the total of windows: of all, or of those with a day."""
        off = call.account.knobs.totals_off.get(self.collection)
        given = call.filter()
        if off is None or any(name not in (self.created or ()) for name in given):
            return 0
        if isinstance(off, int):
            return off
        first, last = (given.get(name) for name in self.created or ("", ""))
        holds = (not first or str(first) <= off["day"]) and (not last or off["day"] <= str(last))
        return int(off["add"]) if holds else 0

    def select(self, call: Call) -> Sequence[int]:
        """Return the ids of the whole answer, in its order."""
        account, key = call.account, call.key
        view = account.collections[self.collection].view(call.now, call.replica)
        given = {k: v for k, v in call.filter().items() if not k.startswith("_")}
        if call.matches(account.knobs.ignore_ids_filter):
            given.pop("ids", None)
        if self.parent is not None:
            owner = find(call, self.parent, call.args[0], by_external=self.external)
            given[OWNER] = str(owner.id)
        if self.buyer in given:
            people = account.collections["customers"].truth.live.values()
            wanted = set(values(given.pop(self.buyer)))
            found_people = [r.id for r in people if r.external in wanted]
            given[OWNER] = dict(enumerate(found_people or [-1]))
        if "channel_id" in call.params:
            given["_channel"] = str(call.params["channel_id"])
        how = account.knobs.order_of_lists
        order = self.order if how == "newest" else how
        switches = (account.knobs.ignore_date_filter, account.knobs.unknown_filter)
        asked = (self.collection, self.key, order, key.sites, orjson.dumps(given), switches)
        found = view.found.get(asked)
        if found is None or order == "shuffled":
            found = ordered(call, self._kept(call, view, given), order)
            view.keep(asked, found)
        return found

    def _kept(self, call: Call, view: View, given: Json) -> list[int]:
        """Return the ids that pass the filters, in ascending (created, id) order."""
        tests, ids, low, high = self._tests(call, given)
        keys: Iterable[tuple[str, int]] = view.order[low_index(view, low) : high_index(view, high)]
        key, collection = call.key, call.account.collections[self.collection]
        if ids is not None:
            keys = sorted((view.live[i].created, i) for i in ids if i in view.live)
            keys = [k for k in keys if (not low or k[0] >= low) and (not high or k[0] <= high)]
        if key.sites is None and not tests:
            return [i for _, i in keys]

        def passes(record: Record) -> bool:
            if not key.sees(record.site):
                return False
            if not tests:
                return True
            entity = collection.load(record)
            entity["_customer"], entity["_contact"] = record.customer, record.contact
            return all(test(entity) for test in tests)

        return [i for _, i in keys if passes(view.live[i])]

    def _tests(self, call: Call, given: Json) -> tuple[list[Deep], set[int] | None, str, str]:
        tests: list[Deep] = []
        ids: set[int] | None = None
        low = high = ""
        knobs = call.account.knobs
        for name, value in given.items():
            if self.created and name in self.created:
                bound = day(name, value)
                if not knobs.ignore_date_filter:
                    low = bound + " 00:00:00" if name == self.created[0] else low
                    high = bound + " 23:59:59" if name == self.created[1] else high
            elif name == "ids":
                ids = whole_numbers(name, value)
            elif name in self.filters or name in _ALWAYS:
                chosen = self.filters.get(name) or _ALWAYS[name]
                test = chosen.build(name, value)
                if not (chosen.is_date and knobs.ignore_date_filter):
                    tests.append(test)
            elif knobs.unknown_filter == "400":
                raise Refusal(
                    400,
                    "Errors in the input parameters",
                    errors={f"children[{name}]": "This form should not contain extra fields."},
                )
        return tests, ids, low, high


def whole_numbers(name: str, value: Any) -> set[int]:
    try:
        return {int(v) for v in values(value)}
    except ValueError:
        raise invalid(name) from None


def low_index(view: View, low: str) -> int:
    return bisect_left(view.order, (low, 0)) if low else 0


def high_index(view: View, high: str) -> int | None:
    return bisect_right(view.order, (high, 1 << 62)) if high else None


def ordered(call: Call, ascending: list[int], order: str) -> list[int]:
    match order:
        case "newest":
            return ascending[::-1]
        case "oldest":
            return ascending
        case "id_desc":
            return sorted(ascending, reverse=True)
        case "id_asc":
            return sorted(ascending)
    turn = Random(call.account.count("shuffle"))  # another order at every request
    return turn.sample(ascending, len(ascending))


@dataclass(frozen=True)
class Paging:
    """The requested page."""

    limit: int
    number: int

    @property
    def start(self) -> int:
        return (self.number - 1) * self.limit


def paging(call: Call, limits: Sequence[int]) -> Paging:
    """Return limit and page of a request, or raise the API's refusal."""
    try:
        asked = Paging(int(call.params.get("limit", "20")), int(call.params.get("page", "1")))
    except (TypeError, ValueError):
        raise Refusal(400, PAGING) from None
    if asked.limit not in limits or asked.number < 1:
        raise Refusal(400, PAGING)
    return asked


def page(call: Call, rows: Sequence[T], asked: Paging) -> Sequence[T]:
    """Return one page; a knob decides how a page beyond the end is answered."""
    knobs = call.account.knobs
    start = 0 if knobs.same_page_again else asked.start
    chosen = rows[start : start + asked.limit]
    if not chosen and asked.number > 1 and knobs.beyond_end != "empty":
        if knobs.beyond_end == "404":
            raise Refusal(404, "Not found")
        raise Refusal(400, PAGING)
    return chosen


def pagination(call: Call, asked: Paging, total: int, *, most: int | None = None) -> bytes:
    """Return the block beside a page; `most` limits the number of pages in it."""
    pages = -(-total // asked.limit)
    if most is not None:
        pages = min(pages, most)
    if call.account.knobs.total_page_count_never_ends:
        pages = max(pages, asked.number + 1)
    counts = (asked.limit, total, asked.number, pages)
    block = b'"pagination":{"limit":%d,"totalCount":%d,"currentPage":%d,"totalPageCount":%d}'
    return block % counts


def answer(call: Call, key: str, rows: Iterable[bytes], asked: Paging, total: int) -> bytes:
    block = pagination(call, asked, total)
    return b'{"success":true,%b,"%b":[%b]}' % (block, key.encode(), b",".join(rows))


@dataclass(frozen=True)
class FeedMethod:
    """`orders/history` and the like; `owner` names the filter on the object's own id."""

    history: str
    owner: str
    external: str | None = None

    def __call__(self, call: Call) -> bytes:
        asked = paging(call, LIMITS)
        given = call.filter()
        since = 0
        if "sinceId" in given:
            since = _whole("sinceId", given["sinceId"])
            if call.matches(call.account.knobs.ignore_since_id):
                since = 0
            if "page" in call.params and (asked.number > 1 or call.account.knobs.strict_since_id):
                raise Refusal(400, USE_SINCE_ID)
        if asked.start >= DEEPEST:
            raise Refusal(400, USE_SINCE_ID)
        history, knobs = call.account.histories[self.history], call.account.knobs
        total, entries = history.remaining(
            history.of_sites(call.key.sites), since=since, now=call.now, knobs=knobs,
            replica=call.replica if knobs.replica_histories else 0.0, sieve=self._sieve(call),
        )  # fmt: skip
        rows = [
            answered_entry(call, self.history, entry)
            for entry in islice(entries, asked.start, asked.start + asked.limit)
        ]
        block = pagination(call, asked, total, most=1 if knobs.history_total_pages_lie else None)
        now = orjson.dumps(call.account.local(call.now))
        return b'{"success":true,"generatedAt":%b,"history":[%b],%b}' % (
            now,
            b",".join(rows),
            block,
        )

    def _sieve(self, call: Call) -> Callable[[Entry], bool] | None:
        given = call.filter()
        tests: list[Callable[[Entry], bool]] = []
        if "startDate" in given:
            start = moment("startDate", given["startDate"])
            tests.append(lambda e: e.created_at >= start)
        if "endDate" in given:
            end = moment("endDate", given["endDate"])
            tests.append(lambda e: e.created_at <= end)
        if self.owner in given:
            owner = _whole(self.owner, given[self.owner])
            tests.append(lambda e: e.owner == owner)
        if self.external is not None and self.external in given:
            owners = self._owners(call, values(given[self.external])[0])
            tests.append(lambda e: e.owner in owners)
        known = {"sinceId", "startDate", "endDate", self.owner, self.external, "contactIds"}
        unknown = [name for name in given if name not in known]
        if unknown and call.account.knobs.unknown_filter == "400":
            raise invalid(unknown[0])
        return (lambda e: all(test(e) for test in tests)) if tests else None

    def _owners(self, call: Call, external: str) -> set[int]:
        collection = call.account.collections[self.history]
        return {r.id for r in collection.truth.live.values() if r.external == external}


def _whole(name: str, given: object) -> int:
    try:
        return int((values(given) or [""])[0])
    except ValueError:
        raise invalid(name) from None
