"""History methods: the chain by filter[sinceId], and the refusal of `page` beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import orjson

from sync.sandbox.calls import Call
from sync.sandbox.filters import invalid, moment
from sync.sandbox.history import Entry
from sync.sandbox.lists import LIMITS, pagination, paging
from sync.sandbox.php import Refusal, values
from sync.sandbox.sending import answered_entry

USE_SINCE_ID = "Use the shift of the `filter[sinceId]` instead of `page` parameter"
DEEPEST = 10_000  # rows that may be paged over without sinceId


@dataclass(frozen=True)
class FeedMethod:
    """`orders/history` and its like; `owner` names the filter on the object's own id."""

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
            history.of_sites(call.key.sites),
            since=since,
            now=call.now,
            replica=call.replica if knobs.replica_histories else 0.0,
            knobs=knobs,
            sieve=self._sieve(call),
        )
        rows = [
            answered_entry(call, self.history, entry)
            for entry in islice(entries, asked.start, asked.start + asked.limit)
        ]
        return (
            b'{"success":true,"generatedAt":%b,"history":[%b],%b}'
            % (
                orjson.dumps(call.account.local(call.now)),
                b",".join(rows),
                pagination(call, asked, total, most=1 if knobs.history_total_pages_lie else None),
            )
        )  # fmt: skip

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
