"""All that is kept about one record: the answer to "why is this order so, or not here?".

Read only. Moments are Postgres's; a record is found by its key, its number or its external id.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from sync.database.identifiers import crm_name
from sync.declare import Resource
from sync.errors import BadRequest
from sync.forecast import duration
from sync.resources import RESOURCES
from sync.state.stores import Store

BY = ("number", "external_id", "slug")
"""Columns besides the key by which people name a record."""
MOST_FOUND = 5
ENTRIES = 10
WAIT_SECONDS = 3.0
"""A re-read follows the entry that caused it by about so long; a later one has another reason."""
_PAGES = {
    "orders": "/orders/{id}/edit",
    "customers": "/customers/{id}",
    "corporate_customers": "/customers-corporate/{id}",
    "products": "/products/{id}",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the record's history; `told` is what it says, in words."""

    id: int
    at: dt.datetime | None
    told: str


@dataclass(slots=True)
class OneRecord:
    """All that is known of a record. `row` has the columns of its table, None when it is not here.

    waits     sentences: what it waits for, what may be wrong with it
    soon      sentences: what is read next that could change it
    rejects   values that do not fit their columns: (field, value, reason, first seen)
    """

    store: Store
    resource: Resource
    key: Any
    row: Mapping[str, Any] | None
    came: str = ""
    waits: list[str] = field(default_factory=list)
    soon: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    rejects: list[tuple[str, str | None, str, dt.datetime]] = field(default_factory=list)

    @property
    def is_live(self) -> bool:
        """True when it is here and not deleted."""
        return self.row is not None and self.row["deleted_at"] is None

    @property
    def link(self) -> str:
        """The record's page in the CRM; empty where none is known."""
        page = _PAGES.get(self.resource.name, "")
        number = (self.row or {}).get("slug") or self.key
        return f"{self.store.url}{page.replace('{id}', str(number))}" if page else ""


def resource_of(name: str) -> Resource | None:
    """Return a resource by its name or by that of one record: `orders`, `order`."""
    wanted = name.replace("-", "_").lower()
    if wanted in RESOURCES:
        return RESOURCES[wanted]
    return next((each for each in RESOURCES.values() if each.singular == wanted), None)


def may_read(connection: sa.Connection, resource: str) -> bool:
    """Tell whether this login may read the rows of a resource: that of the page may not, where it
    has a role of its own (ops/postgres/roles.sh)."""
    found: bool | None = connection.execute(
        sa.text(
            "SELECT has_schema_privilege('crm', 'USAGE')"
            " AND has_table_privilege(to_regclass(:name), 'SELECT')"
        ),
        {"name": crm_name(resource)},
    ).scalar()
    return bool(found)


def keys(connection: sa.Connection, store_id: int, resource: Resource, text: str) -> list[Any]:
    """Return the keys of the records that a person may mean, the exact key first.

    A key that is not here is returned too, where the text can be one: something may be known of it.
    """
    if resource.key_sql is None:
        raise BadRequest(f"{resource.name} is one record for the whole account; name no key.")
    is_number = resource.key_sql == "bigint"
    exact = _number(text) if is_number else text
    columns = {each.name for each in resource.fields} & set(BY)
    found: list[Any] = []
    if exact is not None and _exists(connection, store_id, resource, exact):
        found.append(exact)
    for column in (each for each in BY if each in columns and not found):
        found += connection.execute(
            sa.text(
                f"SELECT {resource.key} FROM {crm_name(resource.name)} WHERE store_id = :store"
                f' AND "{column}"::text = :text ORDER BY deleted_at IS NOT NULL, 1'
                f" LIMIT {MOST_FOUND}"
            ),
            {"store": store_id, "text": text},
        ).scalars()
    if not found and exact is not None:
        return [exact]
    return list(dict.fromkeys(found))


def place_of(name: str, value: str | None, *, is_whole: bool = False) -> str:
    """Return the field of a reject in words.

    What Postgres cannot store is kept with its path before the value, since it may be anywhere in
    the record.
    """
    if name:
        return name
    path, separator, _ = (value or "").lstrip('"').partition(": ")
    return path if separator and not is_whole and len(path) <= 100 else "the whole record"


def _number(text: str) -> int | None:
    # Python turns no text of more than 4,300 digits into a number.
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
    return number if number is not None and number < 2**63 else None


def _exists(connection: sa.Connection, store_id: int, resource: Resource, key: Any) -> bool:
    return bool(
        connection.execute(
            sa.text(
                f"SELECT EXISTS (SELECT FROM {crm_name(resource.name)}"
                f" WHERE store_id = :store AND {resource.key} = :key)"
            ),
            {"store": store_id, "key": key},
        ).scalar_one()
    )


def look_up(connection: sa.Connection, store: Store, resource: Resource, key: Any) -> OneRecord:
    """Return all that is kept about one record."""
    row = connection.execute(
        sa.text(
            f"SELECT * FROM {crm_name(resource.name)}"
            f" WHERE store_id = :store AND {resource.key} = :key"
        ),
        {"store": store.id, "key": key},
    ).one_or_none()
    found = OneRecord(store, resource, key, None if row is None else dict(row._mapping))
    found.rejects = _rejects(connection, found)
    found.entries = list(_entries(connection, found))
    found.came = _came(connection, found)
    found.waits = list(_waits(connection, found))
    found.soon = list(_soon(connection, found))
    return found


def _rejects(
    connection: sa.Connection, found: OneRecord
) -> list[tuple[str, str | None, str, dt.datetime]]:
    rows = connection.execute(
        sa.text(
            "SELECT field, value, reason, first_seen_at FROM sync.reject WHERE store_id = :store"
            " AND resource = :resource AND record = :record ORDER BY field"
        ),
        _of(found) | {"record": str(found.key)},
    )
    return [
        (place_of(row.field, row.value), row.value, row.reason, row.first_seen_at) for row in rows
    ]


def _of(found: OneRecord) -> dict[str, Any]:
    return {"store": found.store.id, "resource": found.resource.name}


def _history(resource: Resource) -> tuple[Resource, dict[str, str]] | None:
    """Return the history that tells of a resource, and its columns by their paths."""
    history = RESOURCES.get(resource.history)
    if history is None:
        return None
    columns = {each.path: each.name for each in history.fields}
    subject = f"{history.subject}.id"
    return (history, columns | {"subject": columns[subject]}) if subject in columns else None


def _entries(connection: sa.Connection, found: OneRecord) -> Iterator[Entry]:
    """Yield the last entries of the record's history, the newest first."""
    told = _history(found.resource)
    if told is None:
        return
    history, columns = told
    rows = connection.execute(
        sa.text(
            f"SELECT * FROM {crm_name(history.name)} WHERE store_id = :store"
            f" AND {columns['subject']} = :key ORDER BY id DESC LIMIT {ENTRIES}"
        ),
        {"store": found.store.id, "key": found.key},
    )
    for row in rows.mappings():
        yield Entry(row["id"], row.get(columns.get("createdAt", "")), _said(dict(row), columns))


def _said(row: Mapping[str, Any], columns: Mapping[str, str]) -> str:
    def value(path: str) -> Any:
        return row.get(columns.get(path, ""))

    if value("created"):
        return "created"
    if value("deleted"):
        return "deleted"
    if value("combinedTo.id"):
        return f"combined into {value('combinedTo.id')}"
    name = value("field") or "changed"
    return f"{name}: {_short(value('oldValue'))} → {_short(value('newValue'))}"


def _short(value: Any) -> str:
    """Return a value of an entry: the name or code of an object, and not all of a long text."""
    if isinstance(value, dict):
        value = value.get("name") or value.get("code") or value.get("id") or value
    text = "–" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _came(connection: sa.Connection, found: OneRecord) -> str:
    """Say which request the row is known from, as far as is kept."""
    if found.row is None:
        return ""
    as_of = found.row["as_of"]
    told = _history(found.resource)
    if told is not None:
        history, columns = told
        entry = connection.execute(
            sa.text(
                f"SELECT id, as_of FROM {crm_name(history.name)} WHERE store_id = :store"
                f" AND {columns['subject']} = :key AND as_of <= :as_of"
                " ORDER BY as_of DESC, id DESC LIMIT 1"
            ),
            {"store": found.store.id, "key": found.key, "as_of": as_of},
        ).one_or_none()
        if entry is not None and (as_of - entry.as_of).total_seconds() <= WAIT_SECONDS:
            return f"read by its id, because entry {entry.id} of {history.name} told of it"
    crawl = connection.execute(
        sa.text(
            "SELECT id, kind FROM sync.crawl WHERE store_id = :store AND resource = :resource"
            " AND started_at <= :as_of AND coalesce(finished_at, 'infinity') >= :as_of"
            " ORDER BY id DESC LIMIT 1"
        ),
        _of(found) | {"as_of": as_of},
    ).one_or_none()
    if crawl is not None:
        return f"read during the {crawl.kind} (crawl {crawl.id}), from a page of the list or by id"
    return "read once more, by its id or from a page of its list"


def _waits(connection: sa.Connection, found: OneRecord) -> Iterator[str]:
    """Yield what the record waits for, and what may be wrong with it."""
    store, name = found.store, found.resource.name
    if not store.enabled:
        yield f"the store is disabled: celery -A sync mirror store enable {store.name}"
    if store.error:
        yield f"the whole store waits for a person: {store.error}"
    about = connection.execute(
        sa.text(
            "SELECT selected, unavailable, approval FROM sync.coverage"
            " WHERE store_id = :store AND resource = :resource"
        ),
        _of(found),
    ).one_or_none()
    if about is None or not about.selected:
        yield f"{name} is not mirrored: celery -A sync mirror resource {store.name} {name} on"
        return
    if about.unavailable:
        yield f"the account does not give {name}: {about.unavailable}"
    if about.approval:
        yield str(about.approval)
    yield from _lanes(connection, found)
    yield from _own(connection, found)
    yield from _windows(connection, found)


def _lanes(connection: sa.Connection, found: OneRecord) -> Iterator[str]:
    names = [found.resource.name, found.resource.history]
    rows = connection.execute(
        sa.text(
            "SELECT resource, lane, error, parked_at, failing_since FROM sync.lane"
            " WHERE store_id = :store AND resource = ANY(:names)"
            " AND (parked_at IS NOT NULL OR failing_since IS NOT NULL)"
        ),
        {"store": found.store.id, "names": names},
    )
    for row in rows:
        retry = f"celery -A sync mirror retry {found.store.name} {row.resource}"
        if row.parked_at is not None:
            yield f"{row.resource} ({row.lane}) is parked: {row.error}; then: {retry}"
        else:
            yield f"{row.resource} ({row.lane}) fails and is tried again by itself: {row.error}"


def _own(connection: sa.Connection, found: OneRecord) -> Iterator[str]:
    """Yield what is kept about this record alone."""
    if not isinstance(found.key, int):
        return
    binds = _of(found) | {"id": found.key}
    reread = connection.execute(
        sa.text(
            "SELECT *, extract(epoch FROM not_before - clock_timestamp()) AS waits FROM sync.reread"
            " WHERE store_id = :store AND resource = :resource AND id = :id"
        ),
        binds,
    ).one_or_none()
    if reread is not None:
        when = "now" if reread.waits <= 0 else f"in {duration(float(reread.waits))}"
        yield f"a re-read, {when} ({reread.reason}, asked for {reread.asked_at:%Y-%m-%d %H:%M:%S})"
        if reread.absent_at is not None:
            yield f"it was found absent at {reread.absent_at:%H:%M:%S} and is asked for once more"
        if reread.error:
            yield f"it could not be read {reread.failures} times: {reread.error}"
    if connection.execute(
        sa.text(
            "SELECT EXISTS (SELECT FROM sync.unlisted WHERE store_id = :store"
            " AND resource = :resource AND id = :id)"
        ),
        binds,
    ).scalar_one():
        yield "it answers by its id, although no list shows it"


def _windows(connection: sa.Connection, found: OneRecord) -> Iterator[str]:
    """Yield doubts about its days, and windows of its days that are not proven."""
    day = None if found.row is None else found.row.get("created_on")
    rows = connection.execute(
        sa.text(
            "SELECT detail, since, accepted_at FROM sync.doubt WHERE store_id = :store"
            " AND resource = :resource AND (record = :id OR record IS NULL AND (cast(:day AS date)"
            " IS NULL OR coalesce(first_day, '-infinity') <= :day"
            " AND coalesce(last_day, 'infinity') >= :day)) ORDER BY since"
        ),
        _of(found) | {"id": found.key if isinstance(found.key, int) else None, "day": day},
    )
    for row in rows:
        end = "; accepted by a person" if row.accepted_at is not None else ""
        yield f"a doubt since {row.since:%Y-%m-%d %H:%M}: {row.detail}{end}"
    open_ = connection.execute(
        sa.text(
            "SELECT w.first_day, w.last_day, w.state, c.kind FROM sync.window AS w"
            " JOIN sync.crawl AS c ON c.id = w.crawl_id AND c.state IN ('pending', 'running')"
            " WHERE w.store_id = :store AND w.resource = :resource AND w.state <> 'proven'"
            " AND (cast(:day AS date) IS NULL OR coalesce(w.first_day, '-infinity') <= :day"
            " AND coalesce(w.last_day, 'infinity') >= :day) ORDER BY w.id LIMIT 3"
        ),
        _of(found) | {"day": day},
    )
    for row in open_:
        days = f"{row.first_day or '…'} to {row.last_day or '…'}"
        yield f"the {row.kind} of its days ({days}), which is {row.state} and not proven yet"


def _soon(connection: sa.Connection, found: OneRecord) -> Iterator[str]:
    """Yield what is read next."""
    names = [found.resource.name, found.resource.history]
    rows = connection.execute(
        sa.text(
            "SELECT l.resource, l.lane, l.holder IS NOT NULL AS held,"
            " extract(epoch FROM l.due_at - clock_timestamp()) AS due,"
            " extract(epoch FROM clock_timestamp() - f.head_at) AS read, f.clear_at"
            " FROM sync.lane AS l LEFT JOIN sync.feed AS f ON l.lane = 'feed'"
            " AND f.store_id = l.store_id AND f.resource = l.resource"
            " WHERE l.store_id = :store AND l.resource = ANY(:names) AND l.enabled"
            " AND l.parked_at IS NULL ORDER BY l.lane, l.due_at"
        ),
        {"store": found.store.id, "names": names},
    )
    for row in rows:
        if row.lane == "walk" and row.resource != found.resource.name:
            continue
        due = "at work now" if row.held else f"due in {duration(max(float(row.due), 0.0))}"
        what = f"the history {row.resource}" if row.lane == "feed" else f"the list {row.resource}"
        told = f"{what}: {due}"
        if row.read is not None:
            told += f", last read to its end {duration(float(row.read))} ago"
        if row.clear_at is not None:
            told += f"; all it told before {row.clear_at:%H:%M:%S} UTC is here"
        yield told
