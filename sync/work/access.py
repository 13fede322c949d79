"""The key's access as `credentials` tells it: one answer serves all resources that wait for one.

A refusal means one thing when the key is good and another when it is not. The answer that decides
it must have been sent after the refusal; who sent it, and for which resource, does not matter. So
refusals of some seconds are gathered, over all workers, and one of them asks for all.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import sqlalchemy as sa

from sync.crm import Stop
from sync.database.engine import attempts, reading
from sync.errors import Forbidden, HtmlAnswer, NotFound, Refused, SyncError, TryLater
from sync.state import access_looks
from sync.state.access_looks import Look
from sync.state.stores import Access
from sync.telemetry import plain

POLL_SECONDS = 0.2
_MESSAGE_CHARACTERS = 300


class Asked(Protocol):
    """A successful answer to `credentials`."""

    @property
    def data(self) -> dict[str, Any]: ...

    @property
    def as_of(self) -> dt.datetime: ...


Ask = Callable[[], Asked]


class SharedAccess:
    """The looks at one store's access. `key` names the API key, for a new key sees other things."""

    def __init__(self, engine: sa.Engine, store_id: int, *, key: str, stop: Stop) -> None:
        self._engine = engine
        self._store_id = store_id
        self._key = key
        self._stop = stop

    def told(self, ask: Ask, *, after: dt.datetime) -> Access:
        """Return the access according to an answer sent after a moment; raise its refusal.

        It is asked for here when nobody else has just asked; otherwise theirs is waited for.
        """
        while True:
            with reading(self._engine) as connection:
                look = access_looks.last(connection, self._store_id)
            if look is not None and look.asked_at > after and look.answer.get("key") == self._key:
                return _outcome(look.answer)
            claimed = False
            for attempt in attempts(self._engine):
                with attempt as connection:
                    claimed = access_looks.claim(connection, self._store_id)
            if claimed:
                return self._ask(ask)
            if self._stop.wait(POLL_SECONDS):
                raise TryLater("stopped before `credentials` was asked")

    def _ask(self, ask: Ask) -> Access:
        try:
            reply = ask()
        except (Forbidden, Refused, HtmlAnswer) as refusal:
            if refusal.sent_at is not None:
                self._keep(refusal.sent_at, _told_by(refusal))
            raise
        access = access_of(reply.data)
        told = [access.site_access, access.sites, access.scopes]
        self._keep(reply.as_of, {"access": told})
        return access

    def _keep(self, asked_at: dt.datetime, answer: dict[str, Any]) -> None:
        look = Look(asked_at, {**answer, "key": self._key})
        for attempt in attempts(self._engine):
            with attempt as connection:
                access_looks.keep(connection, self._store_id, look)


def _told_by(refusal: SyncError) -> dict[str, Any]:
    status = refusal.status if isinstance(refusal, Forbidden | Refused) else None
    return {
        "refused": "key" if isinstance(refusal, Forbidden) else "account",
        "status": status,
        "message": plain(refusal, most=_MESSAGE_CHARACTERS),
    }


def _outcome(answer: Mapping[str, Any]) -> Access:
    """Return the access that an answer told, or raise the refusal that it was."""
    if "access" in answer:
        site_access, sites, scopes = answer["access"]
        return Access(
            site_access,
            None if sites is None else tuple(sites),
            None if scopes is None else tuple(scopes),
        )
    message, status = answer["message"], answer["status"]
    if status is None:
        raise HtmlAnswer(message)
    if answer["refused"] == "key":
        raise Forbidden(status, message)
    raise NotFound(message) if status == 404 else Refused(status, message)


def access_of(data: Mapping[str, Any]) -> Access:
    """Convert a `credentials` answer to an Access; lists are sorted, so that they compare.

    Codes are stored and shown, so characters that the database or a terminal rejects are removed.
    """
    scopes = data.get("scopes")
    sites = data.get("sitesAvailable")
    access = data.get("siteAccess")
    return Access(
        site_access=plain(access) if access is not None else None,
        sites=tuple(sorted(map(plain, sites)))
        if isinstance(sites, list) and access == "access_selective"
        else None,
        scopes=tuple(sorted(map(plain, scopes))) if isinstance(scopes, list) else None,
    )
