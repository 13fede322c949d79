"""Webhook messages: a store needs an operator, its lag is long, or either of these is over.

Each trouble is one row of `sync.notification` from its beginning to its end. So it is told once,
by whichever worker finds it first, even after a restart. All due items of a store go out as one
message. An attempt is counted before the message is sent. A failed message is retried at growing
intervals until it is delivered or the trouble is over. Delivery is at least once: a receiver can
recognise repeated items by their `id`.

The body is JSON; `text` is what Slack and the like show. `X-Mirror-Signature: t=<unix>,v1=<hex>`
is HMAC-SHA256 over `<unix>.<body>` with SYNC_WEBHOOK_SECRET.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import sqlalchemy as sa

from sync.database.engine import attempts, writing
from sync.resources import RESOURCES
from sync.settings import proxy
from sync.state import status as look
from sync.telemetry import keep_secret, log, scrubbed
from sync.work.services import Services

TIMEOUT_SECONDS = 10.0
FIRST_SECONDS, LONGEST_SECONDS = 30.0, 3_600.0
AT_ONCE = 20
"""Messages sent in one run, so that a receiver that hangs does not hold a worker for long."""
ITEMS = 20
KEPT = "30 days"


@dataclass(frozen=True, slots=True)
class Item:
    """A trouble, or its end."""

    id: int
    kind: str
    resource: str
    text: str
    since: dt.datetime
    attempts: int


@dataclass(frozen=True, slots=True)
class Message:
    """All due items of one store. `event` is trouble or recovered."""

    event: str
    store: str
    items: list[Item]


def notify(services: Services) -> int:
    """Record what began and ended, send what is due; return the number of messages delivered."""
    url, secret = services.settings.webhook_url, services.settings.webhook_secret
    if url is None or secret is None:
        return 0
    keep_secret(url.get_secret_value())
    lag_seconds = services.settings.notify_lag_seconds
    with writing(services.engine) as connection:
        note(connection, lag_seconds=lag_seconds)
    arrived = 0
    for _ in range(AT_ONCE):
        with writing(services.engine) as connection:
            message = claim(connection)
        if message is None or services.stop.is_set():
            break
        problem = deliver(message, url=url.get_secret_value(), secret=secret.get_secret_value())
        ids = [item.id for item in message.items]
        for attempt in attempts(services.engine):
            with attempt as connection:
                settle(connection, ids, message.event, problem=problem)
        say = log(store=message.store, event_told=message.event)
        if problem is None:
            say.info("notified", items=len(ids))
            arrived += 1
        else:
            say.warning("not notified", reason=problem, attempts=message.items[0].attempts)
    return arrived


def note(connection: sa.Connection, *, lag_seconds: float) -> None:
    """Bring the rows of `sync.notification` up to date with the current troubles."""
    told = look.statuses(connection, look.chosen(connection, None), order=list(RESOURCES))
    lagging = set(
        connection.execute(
            sa.text(
                "SELECT store_id FROM sync.notification WHERE ended_at IS NULL AND kind = 'lag'"
            )
        ).scalars()
    )
    now: list[tuple[int, str, str, str]] = []
    for each in told:
        store = each.store
        now += [(store.id, "operator", t.resource, t.text) for t in each.troubles]
        lags = [(line.lag_seconds, line.resource) for line in each.resources if line.lag_seconds]
        # It ends at half of the limit: a lag around the limit is not reported again and again.
        limit = lag_seconds / 2 if store.id in lagging else lag_seconds
        if store.enabled and store.error is None and lags and max(lags)[0] > limit:
            lag, resource = max(lags)
            text = f"{resource} lags by {lag / 60:.0f} min, the limit is {lag_seconds / 60:.0f} min"
            now.append((store.id, "lag", "", text))
    _begin(connection, now)
    _end(connection, now)
    connection.execute(
        sa.text(
            "DELETE FROM sync.notification WHERE telling IS NULL"
            f" AND ended_at < now() - interval '{KEPT}'"
        )
    )


def _begin(connection: sa.Connection, now: list[tuple[int, str, str, str]]) -> None:
    for store_id, kind, resource, text in sorted(now):
        connection.execute(
            sa.text(
                "INSERT INTO sync.notification (store_id, kind, resource, text, telling, due_at)"
                " VALUES (:store, :kind, :resource, :text, 'trouble', now())"
                " ON CONFLICT (store_id, kind, resource) WHERE ended_at IS NULL"
                " DO UPDATE SET text = excluded.text"
                " WHERE sync.notification.text <> excluded.text"
            ),
            {"store": store_id, "kind": kind, "resource": resource, "text": scrubbed(text)[:1_000]},
        )


def _end(connection: sa.Connection, now: list[tuple[int, str, str, str]]) -> None:
    """End the troubles that are over: send `recovered` if they were told, else drop them."""
    connection.execute(
        sa.text(
            "UPDATE sync.notification AS n SET ended_at = now(), attempts = 0, error = NULL,"
            " telling = CASE WHEN told = 'trouble' THEN 'recovered' END,"
            " due_at = CASE WHEN told = 'trouble' THEN now() END"
            " WHERE ended_at IS NULL AND (store_id, kind, resource) NOT IN ("
            " SELECT * FROM unnest(cast(:stores AS bigint[]), cast(:kinds AS text[]),"
            " cast(:resources AS text[])))"
        ),
        {
            "stores": [each[0] for each in now],
            "kinds": [each[1] for each in now],
            "resources": [each[2] for each in now],
        },
    )


_CLAIM = sa.text(
    """
    WITH first AS (
        SELECT store_id, telling FROM sync.notification
        WHERE telling IS NOT NULL AND due_at <= now()
        ORDER BY due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
    ), due AS (
        SELECT n.id FROM sync.notification AS n JOIN first USING (store_id, telling)
        WHERE n.due_at <= now() ORDER BY n.id LIMIT :items FOR UPDATE OF n SKIP LOCKED
    )
    UPDATE sync.notification AS n SET attempts = attempts + 1,
        due_at = now() + make_interval(secs => least(:first * power(2, least(attempts, 20)), :most))
    FROM due WHERE n.id = due.id
    RETURNING n.id, n.kind, n.resource, n.text, n.began_at, n.attempts, n.telling,
        (SELECT name FROM sync.store AS s WHERE s.id = n.store_id) AS store
    """
)


def claim(connection: sa.Connection) -> Message | None:
    """Return the due items of one store, counted as tried; None when nothing is due."""
    rows = connection.execute(
        _CLAIM, {"items": ITEMS, "first": FIRST_SECONDS, "most": LONGEST_SECONDS}
    ).all()
    if not rows:
        return None
    items = [Item(r.id, r.kind, r.resource, r.text, r.began_at, r.attempts) for r in rows]
    items.sort(key=lambda item: item.id)
    return Message(rows[0].telling, rows[0].store or "(removed)", items)


def settle(connection: sa.Connection, ids: list[int], event: str, *, problem: str | None) -> None:
    """Record that a message arrived, or why it did not."""
    if problem is not None:
        connection.execute(
            sa.text("UPDATE sync.notification SET error = :error WHERE id = ANY(:ids)"),
            {"ids": ids, "error": problem},
        )
        return
    # A trouble may have ended meanwhile: then its end is sent next.
    connection.execute(
        sa.text(
            "UPDATE sync.notification SET told = :event, told_at = now(), error = NULL,"
            " attempts = 0,"
            " telling = CASE WHEN :event = 'trouble' AND ended_at IS NOT NULL THEN 'recovered' END,"
            " due_at = CASE WHEN :event = 'trouble' AND ended_at IS NOT NULL THEN now() END"
            " WHERE id = ANY(:ids)"
        ),
        {"ids": ids, "event": event},
    )


def body_of(message: Message) -> bytes:
    """Return the JSON body of a message."""
    items = [
        {
            "id": item.id,
            "kind": item.kind,
            "resource": item.resource or None,
            "text": item.text,
            "since": item.since.astimezone(dt.UTC).isoformat(),
        }
        for item in message.items
    ]
    about: dict[str, Any] = {
        "text": text_of(message),
        "event": message.event,
        "store": message.store,
        "items": items,
    }
    return json.dumps(about, ensure_ascii=False).encode()


def text_of(message: Message) -> str:
    """Return the text for people. `&`, `<` and `>` are escaped: Slack reads them as commands."""
    head = f"{message.store} needs an operator"
    if message.event == "recovered":
        head = f"{message.store} is well again"
    elif all(item.kind == "lag" for item in message.items):
        head = f"{message.store} lags"
    lines = [
        f"• {f'{item.resource}: ' if item.resource else ''}{item.text}"
        if message.event == "trouble"
        else f"• over: {item.resource or 'the whole store' if item.kind == 'operator' else 'lag'}"
        for item in message.items
    ]
    text = "\n".join([head, *lines])
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def signature_of(body: bytes, *, secret: str, timestamp: int) -> str:
    """Return the signature header; it covers the time, so that old messages cannot be replayed."""
    digest = hmac.new(secret.encode(), b"%d." % timestamp + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def _client() -> httpx.Client:
    way = proxy()
    tunnel = None if way is None else httpx.HTTPTransport(proxy=httpx.Proxy(way.url, auth=way.auth))
    return httpx.Client(
        timeout=TIMEOUT_SECONDS,
        follow_redirects=False,
        trust_env=False,
        mounts=None if way is None else way.mounts(tunnel),
    )


def deliver(
    message: Message, *, url: str, secret: str, now: Callable[[], float] = time.time
) -> str | None:
    """Post a message once; return None when it was accepted, else the problem in words."""
    body = body_of(message)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "retailcrm-mirror",
        "X-Mirror-Signature": signature_of(body, secret=secret, timestamp=int(now())),
    }
    try:
        with (
            _client() as client,
            client.stream("POST", url, content=body, headers=headers) as answer,
        ):
            if answer.is_success:
                return None
            return f"the receiver answered {answer.status_code}"
    except httpx.HTTPError as error:
        return scrubbed(f"the receiver cannot be reached: {type(error).__name__}: {error}")[:300]
