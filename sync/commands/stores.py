"""Commands store add, set, list, check, enable, disable, remove."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

import click
import sqlalchemy as sa

from sync import vault
from sync.commands import params
from sync.commands.nudge import nudge
from sync.commands.services import at_head, secret_key
from sync.commands.shell import Family, examples, say
from sync.crm import Account, check_url
from sync.crm.budget.slot import Priority
from sync.database.engine import attempts, reading, writing
from sync.errors import BadRequest, SyncError
from sync.forecast import duration
from sync.resources import RESOURCES
from sync.state import accounts, acts, clock, crawls, stores, zones
from sync.state.stores import Access, Store
from sync.work.account import AccountInfo, asking, candidate, look_up, renew, take_over
from sync.work.estimates import USED_SHARE, Estimate, estimates
from sync.work.rebuild import queue_where_stale
from sync.work.session import Session

ADD = "celery -A sync mirror store"


@click.group(cls=Family)
def store() -> None:
    """Add, change and remove mirrored accounts."""


Command = TypeVar("Command", bound=Callable[..., Any])
_key_from = (
    click.option("--api-key-env", metavar="VAR", help="Variable that holds the API key."),
    click.option("--api-key-file", metavar="F", help="File that holds it; - for stdin."),
)


def key_options(command: Command) -> Command:
    """Add the options --api-key-env and --api-key-file to a command."""
    for option in reversed(_key_from):
        command = option(command)
    return command


_titled = click.option("--title", metavar="TEXT", help="Its name for people: any text.")


@store.command(
    epilog=examples(
        "store add shop https://shop.retailcrm.ru   (asks for the key)",
        "store add shop https://shop.retailcrm.ru --title 'Магазин на Невском'",
        "store add shop https://shop.retailcrm.ru --api-key-env SHOP_KEY --since 2024-01-01",
        "store add shop https://shop.retailcrm.ru --site shop-ru < key.txt",
    )
)
@click.argument("name")
@click.argument("url")
@key_options
@click.option("--site", "sites", multiple=True, metavar="CODE", help="Only this site; repeatable.")
@click.option("--since", type=params.DAY, help="First creation day to mirror, in the store's zone.")
@click.option("--no-load", is_flag=True, help="Hold large lists back until `backfill`.")
@_titled
def add(
    name: str,
    url: str,
    api_key_env: str | None,
    api_key_file: str | None,
    sites: tuple[str, ...],
    since: dt.date | None,
    no_load: bool,
    title: str | None,
) -> None:
    """Mirror another account: check its key, save it, queue the full load.

    The key comes from a variable, a file, stdin, or a silent prompt; never from the command line.
    The account itself gives its time zone, its currency, and what the key may see.
    """
    params.check_name(name)
    params.check_days(since, None)
    named = params.check_title(title or "")
    found = at_head()
    url = check_url(url, allow_hosts=found.settings.allow_hosts)
    key = params.api_key(variable=api_key_env, file=api_key_file)
    with writing(found.engine) as connection:
        store_id, began = stores.next_id(connection), clock.now(connection)
    api = asking(found, Account(url, key), store_id=store_id)
    told = look_up(api, url=url)
    chosen = _chosen(api, told, sites)
    cost = [] if no_load else _cost(api, chosen, since=since)
    for attempt in attempts(found.engine):
        with attempt as connection:
            kept = accounts.check_free(connection, name=name, candidate=candidate(told, key))
            mine = kept.id if kept is not None else store_id
            if kept is not None:
                _require_sites(kept, chosen)
                # Kept rows include sites this key does not see.
                stores.keep_access(connection, mine, told.access, as_of=began)
            secret = secret_key(found)
            store = Store(
                id=mine,
                name=name,
                url=url,
                account=told.account,
                sealed_under=secret.fingerprint,
                key_fingerprint=accounts.fingerprint(key),
                zone=zones.name_here(connection, told.zone),
                currency=told.currency,
                access=told.access,
                chosen_sites=None if chosen is None else tuple(chosen),
                since=since,
                enabled=True,
                error=None,
                title=named if kept is None or title is not None else kept.title,
            )
            sealed = vault.seal(key, key=secret, store_id=mine)
            stores.save(connection, store, sealed_key=sealed, checked_at=began)
            stores.register(connection, [mine], RESOURCES.values(), load=not no_load)
            if kept is not None:
                queue_where_stale(connection, RESOURCES)
                accounts.take_up(connection, mine, RESOURCES, load=not no_load)
            crawls.expect_pages(connection, mine, {each.resource: each.requests for each in cost})
            acts.note(connection, "store add", store=name, detail=url)
    say(f"{name} added: {_seen(url, told)}.")
    _warn(found.engine, name, told.access)
    if no_load:
        say(f"Small lists are read now, large ones with: celery -A sync mirror backfill {name}")
        return
    requests = sum(each.requests for each in cost)
    seconds = requests / (found.settings.rate_limit * USED_SHARE)
    words = f": {requests:,} requests, {duration(seconds)} or more" if cost else ""
    say(f"The full load is queued{words}: celery -A sync mirror status {name} --watch")


def _cost(api: Session, sites: Sequence[str] | None, *, since: dt.date | None) -> list[Estimate]:
    """Ask for the lengths of the long lists, so that the end of the load can be told early.

    A list that is being read tells its own length, but some of these wait for others. They are
    asked before the load is queued, whose requests would delay them. Returns [] where the account
    does not tell the lengths now.
    """
    loaded = [each for each in RESOURCES.values() if not each.optional]
    long = {each.name for each in loaded if each.is_followed or each.is_history}
    asked = [
        each
        for each in loaded
        if each.name in long or (each.parent is not None and each.parent.resource in long)
    ]
    try:
        return estimates(api, sites, asked, days=(since, None), mirrored={})
    except SyncError:
        return []


def _require_sites(kept: Store, chosen: Sequence[str] | None) -> None:
    """Raise BadRequest when a removed store is added again for other sites than its rows have."""
    if set(kept.chosen_sites or ()) != set(chosen or ()):
        before = " ".join(f"--site {site}" for site in kept.chosen_sites or ()) or "no --site"
        raise BadRequest(
            f"The rows that were kept of {kept.name} are those of {before}: add it so again, or "
            f"delete them first: {ADD} remove {kept.name} --purge"
        )


def _chosen(api: Session, told: AccountInfo, sites: Sequence[str]) -> list[str] | None:
    """Return the chosen sites, checked against those the key sees."""
    if not sites:
        return None
    known = told.access.sites
    if known is None:
        try:
            listed = api.ask("/api/v5/reference/sites", priority=Priority.FEED).data.get("sites")
        except SyncError as error:
            raise BadRequest(f"The account's sites cannot be read for --site: {error}") from error
        known = tuple(listed) if isinstance(listed, dict) else ()
    for site in sites:
        if site not in known:
            near = get_close_matches(site, known, 1)
            hint = f" Did you mean {near[0]!r}?" if near else f" There are: {', '.join(known)}."
            raise BadRequest(f"The account has no site {site!r} for this key.{hint}")
    return sorted(set(sites))


@store.command(
    name="set",
    epilog=examples(
        "store set shop --api-key-env SHOP_KEY",
        "store set shop --url https://shop.simla.com",
        "store set shop --title 'Магазин на Невском'",
    ),
)
@click.argument("name")
@click.option("--url", help="Its new address; the key stays unless one is given.")
@key_options
@_titled
def set_(
    name: str,
    url: str | None,
    api_key_env: str | None,
    api_key_file: str | None,
    title: str | None,
) -> None:
    """Give a store another key, address or title; refused for a key of another account."""
    found = at_head()
    with reading(found.engine) as connection:
        before = _known(connection, name)
    named = params.check_title(title or "")
    if url is not None:
        url = check_url(url, allow_hosts=found.settings.allow_hosts)
    if api_key_env is None and api_key_file is None and (url is not None or title is not None):
        key = params.piped_key()
        if key is None and url is None:
            _set_title(found.engine, before, named)
            return
        key = key or found.account(before).api_key
    else:
        key = params.api_key(variable=api_key_env, file=api_key_file)
    url = url or before.url
    told = renew(found, before, url=url, key=key)
    if title is not None:  # last: of a refused key or address nothing stays
        _set_title(found.engine, before, named)
    say(f"{name} is set: {_seen(url, told)}.")
    _warn(found.engine, name, told.access)


def _set_title(engine: sa.Engine, before: Store, title: str | None) -> None:
    for attempt in attempts(engine):
        with attempt as connection:
            stores.set_title(connection, before.id, title)
            acts.note(connection, "store title", store=before.name, detail=title or "none")
    say(f"{before.name} is called {title}." if title else f"{before.name} has no title.")


@store.command(name="list", epilog=examples("store list"))
def list_() -> None:
    """List the stores with their addresses and errors."""
    with reading(at_head().engine) as connection:
        found = stores.every(connection)
    if not found:
        say(f"No store has been added yet: {ADD} add NAME URL")
    width = max((len(each.name) for each in found), default=0)
    for each in found:
        told = each.error or ("" if each.enabled else "disabled")
        if accounts.is_removed(each):
            told = "removed, rows kept"
        line = f"{each.name:{width}}  {each.url}  {each.zone}  {each.currency or '-'}"
        line = "  ".join(part for part in (line, each.title, told) if part)
        say(line)


@store.command(epilog=examples("store check shop"))
@click.argument("name")
def check(name: str) -> None:
    """Ask the account for its settings and the key's rights again, and take over what changed.

    Also accepts a key that sees less than before, and clears an error that is over.
    """
    found = at_head()
    with reading(found.engine) as connection:
        before, began = _known(connection, name), clock.now(connection)
    account = found.account(before)
    told = look_up(asking(found, account, store_id=before.id), url=before.url)
    if told.addresses and not candidate(told, account.api_key).is_of(before):
        raise BadRequest(
            f"{before.url} is another account now ({told.account}); {name} mirrors "
            f"{before.account}. Set its address: {ADD} set {name} --url URL"
        )
    for attempt in attempts(found.engine):
        with attempt as connection:
            take_over(connection, before, told, as_of=began)
            acts.note(connection, "store check", store=name)
    say(f"{name}: {_seen(before.url, told)}.")
    for line in _changes(before, told):
        say(line)
    if told.access != before.access:
        say("What the key may see has changed, and is accepted.")
    _warn(found.engine, name, told.access)


def _changes(before: Store, told: AccountInfo) -> list[str]:
    """Say what the check took over: it looks, and what it finds is used from now on."""
    pairs = (
        ("zone", before.zone, told.zone),
        ("currency", before.currency, told.currency),
        ("sites", before.access.sites, told.access.sites),
        ("scopes", before.access.scopes, told.access.scopes),
    )
    found = [f"  {name}: {was} → {now}" for name, was, now in pairs if was != now]
    if before.error is not None:
        found.append(f"  its error is cleared: {before.error}")
    return ["Changed here:", *found] if found else ["Nothing was changed here."]


store.add_command(nudge)


@store.command(epilog=examples("store enable shop"))
@click.argument("name")
def enable(name: str) -> None:
    """Mirror a disabled store again, from where it stopped."""
    _turn(name, enabled=True)


@store.command(epilog=examples("store disable shop"))
@click.argument("name")
def disable(name: str) -> None:
    """Stop mirroring a store; its rows are no longer updated. A slice under way is finished."""
    _turn(name, enabled=False)


def _turn(name: str, *, enabled: bool) -> None:
    for attempt in attempts(at_head().engine):
        with attempt as connection:
            stores.set_enabled(connection, _known(connection, name).id, enabled=enabled)
            acts.note(connection, f"store {'enable' if enabled else 'disable'}", store=name)
    say(f"{name} is {'enabled' if enabled else 'disabled'}.")


@store.command(epilog=examples("store remove shop", "store remove shop --purge --yes"))
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--purge", is_flag=True, help="Delete its rows too.")
def remove(name: str, yes: bool, purge: bool) -> None:
    """Forget a store's key and its planned work; its rows stay unless --purge is given.

    If the same account is added again, its kept rows are used.
    """
    engine = at_head().engine
    with reading(engine) as connection:
        gone = stores.by_name(connection, name)
    if accounts.is_removed(gone) and not purge:
        raise BadRequest(f"{name} is removed already; --purge removes its rows too.")
    what = "its key, its planned work and all its rows" if purge else "its key and planned work"
    if not yes and not click.confirm(f"Forget {name} ({gone.url}): {what}?", err=True):
        say("Nothing was changed.")
        return
    for attempt in attempts(engine):
        with attempt as connection:
            accounts.forget(connection, gone.id)
            acts.note(connection, "store remove", store=name, detail="purge" if purge else "")
    if not purge:
        say(f"{name} is removed; its rows are kept.")
        return
    rows = sum(count for _, count in accounts.purge(engine, gone.id, RESOURCES.values()))
    say(f"{name} and {rows:,} rows are removed.")


def _known(connection: sa.Connection, name: str) -> Store:
    """Return a store that still has its key."""
    known = stores.by_name(connection, name)
    if accounts.is_removed(known):
        raise BadRequest(f"{name} was removed; add it again: {ADD} add {name} {known.url}")
    return known


def _seen(url: str, told: AccountInfo) -> str:
    access = told.access
    sites = "all sites" if access.sites is None else f"sites {', '.join(access.sites)}"
    scopes = "" if access.scopes is None else f", {len(access.scopes)} scopes"
    return f"{url}, {told.zone}, {told.currency or 'no currency'}, {sites}{scopes}"


def _warn(engine: sa.Engine, name: str, access: Access) -> None:
    """Warn of the rows and resources of a store that its key does not see."""
    with reading(engine) as connection:
        known = _known(connection, name)
        selected = accounts.selected(connection, known.id)
    if words := known.hidden_words:
        say(f"{words[0].upper()}{words[1:]}.", err=True)
    _warn_of_scopes(access, selected)


def _warn_of_scopes(access: Access, selected: Sequence[str]) -> None:
    """Name the resources that cannot be read because the key lacks a scope."""
    if access.scopes is None:
        return
    lacking: dict[str, list[str]] = {}
    for name in selected:
        scope = RESOURCES[name].scope if name in RESOURCES else None
        if scope is not None and scope not in access.scopes:
            lacking.setdefault(scope, []).append(name)
    for scope, names in lacking.items():
        say(f"Without the scope {scope} the key cannot read: {', '.join(names)}", err=True)
    if lacking:
        say(
            "Allow them in Administration → Integration → API keys; then they will be mirrored.",
            err=True,
        )
