"""The facts of an account (zone, currency and the key's access), stored when they are read."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import sqlalchemy as sa

from sync.crawl import record_id_of
from sync.crm import Priority
from sync.database.identifiers import crm_name
from sync.declare import OnComplete, Resource
from sync.declare.moments import zone_of
from sync.errors import (
    AccessChanged,
    Forbidden,
    HtmlAnswer,
    MissingScope,
    NoSuchAccount,
    Refused,
    TryLater,
    UnexpectedData,
    WrongKey,
)
from sync.rows import custom_fields
from sync.state import clock, coverage, crawls, doubts, lanes, stores
from sync.state.stores import Access
from sync.work.by_ids import ids_page
from sync.work.context import Context
from sync.work.rebuild import queue_where_stale
from sync.work.session import Session, access_of


@dataclass(frozen=True, slots=True)
class AccountInfo:
    """The answers of an account to the three methods that need no scope."""

    account: str
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
        raise NoSuchAccount(f"{url} cannot be reached: {error}") from error
    identity = url
    try:
        info = api.ask("/api/system-info", priority=priority).data
        identity = str(info.get("technicalUrl") or info.get("publicUrl") or url)
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
    return AccountInfo(identity.rstrip("/"), zone, currency, access)


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
    zone, currency = zone_and_currency(raw)
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
        days = (ctx.store.since if resource.created_field else None, None)
        if resource.is_followed or resource.is_history:
            doubts.raise_doubt(connection, ctx.store.id, resource.name, kind="zone", detail=detail)
            crawls.queue_deep(connection, ctx.store.id, resource.name, days=days)
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
        as_of = _read_as_of(connection, ctx.store.id)
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


def _read_as_of(connection: sa.Connection, store_id: int) -> dt.datetime | None:
    """Return the send moment of the last read of `credentials`."""
    found: dt.datetime | None = connection.execute(
        sa.text(
            "SELECT complete_as_of FROM sync.coverage"
            " WHERE store_id = :store AND resource = 'credentials'"
        ),
        {"store": store_id},
    ).scalar()
    return found


def _sites(access: Access) -> str:
    return "all sites" if access.sites is None else ", ".join(access.sites) or "none"
