"""One request: a slot of the budget, the send moment, and the meaning of the answer.

The client makes one attempt and names the outcome. A 404 may mean a missing feature, a lost account
or drift, depending on the request; this module decides it with a request to `credentials`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from sync import failpoints
from sync.crawl import Pagination, pagination_of
from sync.crm import (
    Account,
    CrmClient,
    Cut,
    Limiter,
    Priority,
    RequestOrder,
    SlotGate,
    Stop,
    bucket_of,
)
from sync.declare import Resource, Shape
from sync.errors import (
    Forbidden,
    HtmlAnswer,
    MissingScope,
    NoSuchAccount,
    NotFound,
    OverLimit,
    Refused,
    SyncError,
    TooManyRecords,
    TryLater,
    Unavailable,
    UnexpectedData,
    WrongKey,
)
from sync.records.normalise import records_of
from sync.state.stores import Access
from sync.telemetry import log, plain, span
from sync.work.access import SharedAccess, access_of

GIVE_UP_SECONDS = 90.0
MOST_SENDINGS = 3
"""The most sendings of a request that is refused by chance: three in a row are no chance."""
_ERRORS_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful answer. `as_of` was drawn before the request: the content is at least as new."""

    data: dict[str, Any]
    body: bytes
    as_of: dt.datetime
    waited_seconds: float = 0.0
    elapsed_seconds: float = 0.0
    limit: int | None = None

    @property
    def pagination(self) -> Pagination:
        """The pagination block; UnexpectedData when there is none."""
        return pagination_of(self.data, self.body)

    def records(self, resource: Resource) -> list[Any]:
        """Return the records under the declared key, from a list or a map.

        A missing key is UnexpectedData, never an empty list. So are more records than a page of
        this list may have: each would be converted to a row.
        """
        found = self._found(resource)
        most = max(self.limit or 0, resource.page_size)
        if self.limit is not None and len(found) > most:
            raise TooManyRecords(
                f"{resource.path} sent {len(found):,} records, and {self.limit} were asked for",
                body=self.body,
            )
        return found

    def _found(self, resource: Resource) -> list[Any]:
        if resource.answer_key == "":
            return [self.data]
        if resource.answer_key not in self.data:
            raise UnexpectedData(
                f"the answer of {resource.path} has no {resource.answer_key!r}", body=self.body
            )
        value = self.data[resource.answer_key]
        if resource.shape is Shape.SINGLE:
            if not isinstance(value, dict):
                raise UnexpectedData(f"{resource.answer_key!r} is not an object", body=self.body)
            return [value]
        try:
            return records_of(value)
        except TypeError as error:
            raise UnexpectedData(f"{resource.answer_key!r}: {error}", body=self.body) from error


class _Unlimited:
    """A gate without a budget (for tests): it only draws `as_of`."""

    slot = None
    is_waiting = False

    def __init__(self, draw: Callable[[], dt.datetime]) -> None:
        self._draw = draw
        self.as_of: dt.datetime | None = None

    def before(self) -> None:
        self.as_of = self._draw()

    def after(self) -> None:
        pass


class Session:
    """The API of one store. Thread-safe: the pages of a walk are fetched by several threads.

    `requests` counts those sent, `answers` those that the account answered, be it by a refusal, and
    `unanswered` those that it did not. `cut` ends answers that are being read (wire.py), and
    `heard` is called at the first answer.
    """

    def __init__(
        self,
        client: CrmClient,
        account: Account,
        *,
        store_id: int,
        limiter: Limiter | None,
        draw: Callable[[], dt.datetime],
        stop: Stop | None = None,
        say: Any = None,
        access: SharedAccess | None = None,
    ) -> None:
        self._client = client
        self._account = account
        self.store_id = store_id
        self.limiter = limiter
        self.draw = draw
        self.stop = stop
        self._say = say or log()
        self._access = access
        self._answered_at: dt.datetime | None = None
        self.requests = 0
        self.answers = 0
        self.unanswered = 0
        self.cut: Cut | None = None
        self.heard: Callable[[], None] | None = None
        self.waited_seconds = 0.0
        self._counting = Lock()
        self._turns = RequestOrder()

    def ask(
        self, path: str, params: Mapping[str, Any] | None = None, *, priority: Priority
    ) -> Reply:
        """Send one request in its slot; errors of the client are raised unchanged.

        A request that is refused by chance, while its store is served, goes again in another slot.
        """
        failpoints.point("before_fetch")
        prepared = self._client.prepare(self._account, path, params)
        for attempt in range(1, MOST_SENDINGS + 1):
            gate = self._gate(path, priority)
            try:
                with span("request", method=path, store_id=self.store_id):
                    answer = self._client.send(prepared, gate=gate, cut=self.cut)
            except SyncError as error:
                error.sent_at = gate.as_of
                again_in = self._report(gate, error)
                if self.limiter is None or again_in is None or attempt == MOST_SENDINGS:
                    raise
                self.limiter.pause(again_in, stop=self.stop)
            else:
                self._report(gate, None)
                break
        self._note_answer(gate.as_of)
        failpoints.point("after_fetch")
        waited = 0.0 if gate.slot is None else gate.slot.waited_seconds
        assert gate.as_of is not None, "drawn before the request was sent"
        limit = (params or {}).get("limit")
        reply = Reply(answer.data, answer.body, gate.as_of, waited, answer.elapsed, limit)
        self._tell(path, params or {}, reply)
        return reply

    def _note_answer(self, as_of: dt.datetime | None) -> None:
        with self._counting:
            if as_of is not None and (self._answered_at is None or as_of > self._answered_at):
                self._answered_at = as_of

    def has_answered_since(self, moment: dt.datetime) -> bool:
        """Tell whether a request of this slice that was sent after a moment has succeeded."""
        with self._counting:
            return self._answered_at is not None and self._answered_at > moment

    def _tell(self, path: str, params: Mapping[str, Any], reply: Reply) -> None:
        """Log a line for each page, at debug. Pages fetched ahead are logged in any order."""
        self._say.debug(
            "page",
            method=path,
            window=params.get("filter"),
            page=params.get("page", 1),
            rows=max((len(v) for k, v in reply.data.items() if k != "pagination"
                      and isinstance(v, list | dict)), default=0),
            waited_seconds=round(reply.waited_seconds, 3),
            elapsed_seconds=round(reply.elapsed_seconds, 3),
        )  # fmt: skip

    def _gate(self, path: str, priority: Priority) -> SlotGate | _Unlimited:
        """Return the gate before a request is sent: it waits for a slot and draws `as_of`."""
        if self.limiter is None:
            return _Unlimited(self.draw)
        return SlotGate(
            self.limiter,
            store=self.store_id,
            bucket=bucket_of(path),
            priority=priority,
            give_up_after=GIVE_UP_SECONDS,
            stop=self.stop,
            draw=self.draw,
            turns=self._turns,
        )

    def _report(self, gate: SlotGate | _Unlimited, error: SyncError | None) -> float | None:
        """Report a slot's outcome to the budget: an answer counts as served, a timeout does not.

        Returns the seconds after which a refused request may go again; None: not now.
        """
        slot, is_answer = gate.slot, not isinstance(error, TryLater)
        with self._counting:
            self.requests += 1
            self.waited_seconds += 0.0 if slot is None else slot.waited_seconds
            is_first = is_answer and self.answers == 0
            self.answers += is_answer
            self.unanswered += not is_answer and not gate.is_waiting
        if is_first and self.heard is not None:
            self.heard()
        if self.limiter is None or slot is None:
            return None
        if isinstance(error, OverLimit):
            return self.limiter.refused(slot, after=error.after)
        if is_answer:
            self.limiter.served(slot)
        return None

    def first(
        self,
        resource: Resource,
        params: Mapping[str, Any] | None = None,
        *,
        priority: Priority,
        path: str | None = None,
    ) -> Reply:
        """Request a first page, and find out the meaning of a refusal.

        Raises WrongKey or NoSuchAccount when the account itself is lost, MissingScope or
        Unavailable when only this method is, UnexpectedData for a 400.
        """
        path = path or resource.path
        try:
            return self.ask(path, params, priority=priority)
        except (Forbidden, Refused, HtmlAnswer) as refusal:
            raise self._meaning(resource, refusal, priority=priority) from refusal

    def later(self, resource: Resource, params: Mapping[str, Any], *, priority: Priority) -> Reply:
        """Request a page after the first; a 400 or 404 of it is drift and raised as Refused."""
        try:
            return self.ask(resource.path, params, priority=priority)
        except Forbidden as refusal:
            raise self._meaning(resource, refusal, priority=priority) from refusal

    def of_parent(
        self, resource: Resource, path: str, params: Mapping[str, Any], *, priority: Priority
    ) -> Reply:
        """Request the list of one parent; its 404 is raised as NotFound: it may have no list.

        A 400 or 404 of a later page is drift and raised as Refused.
        """
        try:
            return self.ask(path, params, priority=priority)
        except (Forbidden, Refused, HtmlAnswer) as refusal:
            is_later = isinstance(refusal, Refused) and params.get("page", 1) > 1
            if is_later or isinstance(refusal, NotFound):
                raise
            raise self._meaning(resource, refusal, priority=priority) from refusal

    def _meaning(
        self, resource: Resource, refusal: Forbidden | Refused | HtmlAnswer, *, priority: Priority
    ) -> SyncError:
        try:
            self.credentials(priority=priority)
        except Forbidden as error:
            return WrongKey(
                f"the account refuses the API key ({error}). Make a new one in Administration → "
                "Integration → API keys, then: "
                "celery -A sync mirror store set NAME --api-key-env VAR"
            )
        except (Refused, HtmlAnswer) as error:
            return NoSuchAccount(
                f"no RetailCRM account answers at this address any more ({error}); "
                "check the URL with: celery -A sync mirror store set NAME --url URL"
            )
        except TryLater as error:
            return error
        if isinstance(refusal, Forbidden):
            scope = f" (scope {resource.scope})" if resource.scope else ""
            return MissingScope(
                f"the API key may not read {resource.path}{scope}; allow it in Administration → "
                "Integration → API keys"
            )
        if isinstance(refusal, HtmlAnswer):
            return refusal  # the account answers: the page was a temporary fault
        if isinstance(refusal, NotFound) or refusal.status == 405:
            return Unavailable(f"this account has no {resource.path} (HTTP {refusal.status})")
        return UnexpectedData(
            f"{resource.path} refused our request: {refusal}"
            + (f" {plain(refusal.errors, most=_ERRORS_CHARACTERS)}" if refusal.errors else ""),
            body=refusal.body,
        )

    def credentials(self, *, priority: Priority, after: dt.datetime | None = None) -> Access:
        """Return the key's access, as an answer sent after a moment tells it; now by default.

        Another worker's answer will do (access.py). Raises what the account refuses it with.
        """

        def ask() -> Reply:
            return self.ask("/api/credentials", priority=priority)

        if self._access is None:
            return access_of(ask().data)
        return self._access.told(ask, after=after or self.draw())
