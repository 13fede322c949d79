"""The facts of an account (zone, currency and the key's access), stored when they are read."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

import redis
import sqlalchemy as sa

from sync import vault
from sync.crawl import record_id_of
from sync.crm import Account, Priority
from sync.database.engine import attempts, reading
from sync.database.identifiers import crm_name
from sync.declare import OnComplete, Resource
from sync.declare.moments import zone_of
from sync.errors import (
    AccessChanged,
    BadRequest,
    Forbidden,
    HtmlAnswer,
    MissingScope,
    NoSuchAccount,
    Refused,
    TryLater,
    UnexpectedData,
    WrongKey,
)
from sync.resources import RESOURCES
from sync.rows import custom_fields
from sync.state import accounts, acts, clock, coverage, crawls, lanes, stores, zones
from sync.state.stores import Access, Store
from sync.telemetry.secrets import keep_secret
from sync.work.access import access_of
from sync.work.by_ids import ids_page
from sync.work.context import Context
from sync.work.rebuild import queue_where_stale
from sync.work.services import Services
from sync.work.session import Session
from sync.work.writing import doubt_all

_NO_HOST = ("Name or service not known", "nodename nor servname", "No address associated")
_KEY = re.compile(r"[A-Za-z0-9]{16,}")
"""RetailCRM's keys have 32 letters and digits. An address or a store's name is no key."""
STORE = "celery -A sync mirror store"


@dataclass(frozen=True, slots=True)
class AccountInfo:
    """The answers of an account to the three methods that need no scope.

    `account` identifies it: its technical address, which stays when it moves to another domain.
    `addresses` are those it gives itself; none where it lacks the method, and `account` is the URL.
    `zone` is as the account spells it (sync/state/zones.py).
    """

    account: str
    addresses: tuple[str, ...]
    zone: str
    currency: str | None
    access: Access


def look_up(api: Session, *, url: str) -> AccountInfo:
    """Ask an account for its identity, zone, currency and access, before a store is saved.

    Raises NoSuchAccount, WrongKey or MissingScope, with messages for the person who typed the URL.
    """
    priority = Priority.FEED
    try:
        access = access_of(api.ask("/api/credentials", priority=priority).data)
    except Forbidden as error:
        raise WrongKey(f"{url} is there, but refuses this API key: {error}") from error
    except (HtmlAnswer, Refused, UnexpectedData) as error:
        raise NoSuchAccount(f"{url} answers, but not as a RetailCRM account: {error}") from error
    except TryLater as error:
        if any(text in str(error) for text in _NO_HOST):
            raise NoSuchAccount(f"There is no host {urlsplit(url).hostname}: check the URL.") from (
                error
            )
        raise NoSuchAccount(f"{url} cannot be reached: {error}") from error
    addresses: tuple[str, ...] = ()
    try:
        info = api.ask("/api/system-info", priority=priority).data
        told = (info.get("technicalUrl"), info.get("publicUrl"))
        addresses = tuple(each.rstrip("/") for each in told if each and isinstance(each, str))
    except (Forbidden, Refused, HtmlAnswer, UnexpectedData):
        pass  # older accounts lack this method; the URL identifies the account then
    try:
        settings = api.ask("/api/v5/settings", priority=priority).data.get("settings")
    except Forbidden as error:
        raise MissingScope(
            f"{url} accepts the API key, but not for /api/v5/settings, which tells the time zone: "
            "allow the settings in Administration → Integration → API keys"
        ) from error
    except Refused as error:
        raise NoSuchAccount(f"{url} has no /api/v5/settings: {error}") from error
    zone, currency = zone_and_currency(settings)
    account = addresses[0] if addresses else url
    return AccountInfo(account, addresses, zone, currency, access)


def asking(found: Services, account: Account, *, store_id: int) -> Session:
    """Open an account's API inside the shared request budget; TryLater if Redis is unreachable."""
    try:
        found.redis.ping()
    except redis.RedisError as error:
        raise TryLater(f"Redis, which holds the request budget, cannot be reached: {error}") from (
            error
        )
    return Session(
        found.client,
        account,
        store_id=store_id,
        limiter=found.limiter,
        draw=lambda: dt.datetime.now(dt.UTC),
        stop=found.stop,
    )


def typed_key(text: str, source: str) -> str:
    """Return the API key in a text; BadRequest, without the text, where it holds none.

    A key is removed from all output for as long as the process runs. If an address or a name that
    was typed here by mistake became one, pages and logs could not be read any more.
    """
    key = text.removeprefix("\ufeff").strip()  # stdin has the mark of a file, too
    if not key:
        raise BadRequest(
            f"There is no API key in {source}; find it in Administration → Integration → API keys."
        )
    if not _KEY.fullmatch(key):
        raise BadRequest(
            f"What {source} holds is not an API key: a key is 32 letters and digits, with nothing "
            "between them."
        )
    return key


def candidate(told: AccountInfo, key: str) -> accounts.Candidate:
    """Return what tells whether an account is one that is mirrored already."""
    return accounts.Candidate(told.account, told.addresses, accounts.fingerprint(key), told.access)


def renew(
    found: Services, before: Store, *, url: str, key: str, who: str = "", address: str | None = None
) -> AccountInfo:
    """Give a store another key or address; BadRequest when it belongs to another account.

    Three requests. `who` and `address` are of a person on the status page.
    """
    keep_secret(key)
    with reading(found.engine) as connection:
        began = clock.now(connection)
    told = look_up(asking(found, Account(url, key), store_id=before.id), url=url)
    # Where system-info names no account, the address identifies it, and an address may change.
    if told.addresses and not candidate(told, key).is_of(before):
        raise BadRequest(
            f"{url} is another account ({told.account}); {before.name} mirrors {before.account}. "
            f"To mirror it too: {STORE} add NEWNAME {url}"
        )
    if why := accounts.swapped(before, told.access):
        raise BadRequest(f"{why}, and set that. Nothing was changed.")
    sealed = vault.seal(key, key=vault.key_of(found.settings), store_id=before.id)
    fingerprint = accounts.fingerprint(key)
    for attempt in attempts(found.engine):
        with attempt as connection:
            stores.renew(
                connection, before, url=url, sealed_key=sealed, key_fingerprint=fingerprint
            )
            take_over(connection, before, told, as_of=began)
            acts.note(
                connection, "store set", store=before.name, who=who, address=address,
                detail=f"{url}, key {before.key_fingerprint} → {fingerprint}",
            )  # fmt: skip
    return told


def take_over(
    connection: sa.Connection, before: Store, told: AccountInfo, *, as_of: dt.datetime
) -> None:
    """Store what an account told at `as_of`, and make its lanes due: it answers."""
    stores.set_access(connection, before.id, told.access, RESOURCES.values(), as_of=as_of)
    zone = zones.name_here(connection, told.zone)
    if (zone, told.currency) != (before.zone, before.currency):
        stores.set_zone(connection, before.id, zone=zone, currency=told.currency)
        queue_where_stale(connection, RESOURCES)
    stores.recovered(connection, before.id)


def zone_and_currency(settings: object) -> tuple[str, str | None]:
    """Return the zone and default currency of a `settings` answer; UnexpectedData for no zone."""

    def value(name: str) -> str | None:
        node = settings.get(name) if isinstance(settings, dict) else None
        found = node.get("value") if isinstance(node, dict) else None
        return found if isinstance(found, str) and found else None

    zone = value("timezone")
    if zone is None:
        raise UnexpectedData("the account's settings name no time zone")
    try:
        zone_of(zone)
    except ValueError as error:
        raise UnexpectedData(f"the account's settings name a zone unknown here: {error}") from error
    return zone, value("default_currency")


def take_note(ctx: Context, resource: Resource) -> None:
    """Do what a completed read of a resource calls for, as declared (`Resource.after`)."""
    match resource.after:
        case OnComplete.ZONE:
            _note_settings(ctx)
        case OnComplete.ACCESS:
            _note_access(ctx)
        case OnComplete.CUSTOM_VIEWS:
            for attempt in ctx.attempts():
                with attempt as connection:
                    custom_fields.refresh_views(connection, ctx.store.id, ctx.store.name)
        case None:
            pass


def _raw(ctx: Context, table: str) -> dict[str, object] | None:
    with ctx.reading() as connection:
        found: dict[str, object] | None = connection.exec_driver_sql(
            f"SELECT raw FROM crm.{table} WHERE store_id = %s AND deleted_at IS NULL",
            (ctx.store.id,),
        ).scalar()
    return found


def _note_settings(ctx: Context) -> None:
    raw = _raw(ctx, "settings")
    if raw is None:
        return
    sent, currency = zone_and_currency(raw)
    with ctx.reading() as connection:
        zone = zones.name_here(connection, sent)
    if zone == ctx.store.zone and currency == ctx.store.currency:
        return

    is_other = zone != ctx.store.zone
    altered = is_other and _are_dates_altered(ctx)

    for attempt in ctx.attempts():
        with attempt as connection:
            stores.set_zone(connection, ctx.store.id, zone=zone, currency=currency)
            if is_other:
                # Rows made in the old zone are hours off: rebuild them. Coverage waits for that.
                queue_where_stale(connection, ctx.resources)
            if altered:
                _doubt_dates(
                    ctx, connection, f"the zone became {zone}, and old dates have other texts"
                )


def _are_dates_altered(ctx: Context) -> bool:
    """Tell whether the account sends other texts for old dates, now that its zone has changed.

    If so, `raw` here holds texts of the old zone, and no rebuild can correct them.
    """
    for resource in ctx.resources.values():
        if resource.created_field is None or not resource.is_followed:
            continue
        with ctx.reading() as connection:
            here = _created_texts(connection, resource, ctx.store.id)
        answered = ids_page(ctx, resource, here, priority=Priority.REFRESH)
        for reply in answered.replies:
            for record in reply.records(resource):
                sent = record if isinstance(record, dict) else {}
                known = here.get(record_id_of(sent.get("id")) or 0)
                if known is not None and sent.get(resource.created_field) != known:
                    return True
    return False


def _created_texts(connection: sa.Connection, resource: Resource, store_id: int) -> dict[int, str]:
    """Return the creation dates, as sent, of the 20 live records with the lowest ids."""
    assert resource.created_field is not None
    rows = connection.exec_driver_sql(
        f"SELECT id, raw ->> %s FROM {crm_name(resource.name)} WHERE store_id = %s"
        " AND deleted_at IS NULL ORDER BY id LIMIT 20",
        (resource.created_field, store_id),
    )
    return {row[0]: row[1] for row in rows if row[1] is not None}


def _doubt_dates(ctx: Context, connection: sa.Connection, detail: str) -> None:
    """Raise a doubt on every resource with a feed; queue a refresh of others with dates."""
    for resource in ctx.resources.values():
        if resource.is_followed or resource.is_history:
            doubt_all(ctx, connection, resource, kind="zone", detail=detail)
        elif any(each.kind.sql == "timestamptz" for each in resource.fields):
            coverage.withdraw(connection, ctx.store.id, resource.name)
            crawls.queue_once(connection, ctx.store.id, resource.name, kind="refresh")


def _note_access(ctx: Context) -> None:
    raw = _raw(ctx, "credentials")
    if raw is None:
        return
    access = access_of(raw)
    before = ctx.store.access
    with ctx.reading() as connection:
        as_of = coverage.standing(connection, ctx.store.id, "credentials").complete_as_of
    if access == before:
        if as_of is not None:
            for attempt in ctx.attempts():
                with attempt as connection:
                    stores.seen_unchanged(connection, ctx.store.id, as_of=as_of)
        return
    if not access.sees_all_of(before):
        raise AccessChanged(
            f"the API key of {ctx.store.name} sees fewer sites than before: "
            f"{_sites(before)} → {_sites(access)}. Restore its access, or accept it with: "
            f"celery -A sync mirror store check {ctx.store.name}"
        )

    for attempt in ctx.attempts():
        with attempt as connection:
            stores.set_access(
                connection,
                ctx.store.id,
                access,
                ctx.resources.values(),
                as_of=as_of or clock.now(connection),
            )
            lanes.hasten_unavailable(connection, ctx.store.id)


def _sites(access: Access) -> str:
    return "all sites" if access.sites is None else ", ".join(access.sites) or "none"
