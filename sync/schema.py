"""METADATA: the tables of `crm` derived from RESOURCES, and the service's own in `sync`.

`crm` is what analysts read and its shape is a promise; `sync` is ours. Keys and indexes lead with
`store_id`, so that tables can be partitioned or distributed by store later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB

from sync.declare import Child, Field, Resource
from sync.resources import RESOURCES

METADATA = sa.MetaData()

# Mirrored ids come from the API: without autoincrement=False a BigInteger key becomes BIGSERIAL.
_SQL_TYPES: dict[str, Any] = {
    "text": sa.Text(),
    "bigint": sa.BigInteger(),
    "numeric": sa.Numeric(),
    "boolean": sa.Boolean(),
    "date": sa.Date(),
    "timestamptz": sa.DateTime(timezone=True),
    "time": sa.Time(),
    # none_as_null: a missing value must be NULL, not the JSON value null.
    "jsonb": JSONB(none_as_null=True),
}

DELETED_REASONS = ("history", "combined", "not_found", "absent", "erased")


def _timestamp(name: str, comment: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), comment=comment, **options)


def _store_id(comment: str = "crm.store.store_id") -> sa.Column[Any]:
    return sa.Column(
        "store_id", sa.BigInteger, primary_key=True, autoincrement=False, comment=comment
    )


def _column(field: Field, *, key: bool = False) -> sa.Column[Any]:
    comment = f"{field.note} [{field.path}]" if field.path else field.note
    return sa.Column(
        field.name,
        _SQL_TYPES[field.kind.sql],
        primary_key=key,
        autoincrement=False,
        nullable=not key,
        comment=comment,
    )


def resource_table(resource: Resource, metadata: sa.MetaData) -> sa.Table:
    """The table of a resource's records."""
    columns: list[Any] = [_store_id()]
    columns += [_column(f, key=f.name == resource.key) for f in resource.fields]
    if resource.created_field:
        columns.append(
            sa.Column("created_on", sa.Date, comment="creation day in the store's zone, as sent")
        )
    if resource.is_followed:
        columns.append(_timestamp("listed_at", "as_of of the read that found it (on that day)"))
    if resource.is_followed:
        columns.append(
            sa.Column("combined_to", sa.BigInteger, comment="id that survived when combined")
        )
    columns += [
        sa.Column("raw", JSONB(none_as_null=True), comment="the record as sent"),
        sa.Column("content_hash", BYTEA, comment="hash of raw, zone and declaration version"),
        _timestamp("as_of", "send moment of the request this row is known from", nullable=False),
        _timestamp("first_seen_at", "when the mirror first wrote it", nullable=False),
        _timestamp("changed_at", "when its content last changed here", nullable=False),
        _timestamp("deleted_at", "when it was deleted; NULL for live rows"),
        sa.Column("deleted_reason", sa.Text, comment=f"one of {', '.join(DELETED_REASONS)}"),
    ]
    reasons = ", ".join(f"'{reason}'" for reason in DELETED_REASONS)
    constraints: list[Any] = [
        sa.CheckConstraint(
            f"deleted_reason IN ({reasons})", name=f"{resource.name}_deleted_reason_known"
        )
    ]
    indexes: list[Any] = []
    if resource.created_field:
        indexes.append(
            sa.Index(
                f"{resource.name}_live_by_day",
                "store_id",
                "created_on",
                postgresql_where=sa.text("deleted_at IS NULL"),
                postgresql_include=["listed_at"] if resource.is_followed else None,
            )
        )
    if resource.combined:
        indexes.append(
            sa.Index(
                f"{resource.name}_combined",
                "store_id",
                "id",
                postgresql_where=sa.text("deleted_reason = 'combined'"),
            )
        )
    indexes += [
        sa.Index(f"{resource.name}_by_{column}", "store_id", column)
        for column in _joined_columns(resource)
    ]
    return sa.Table(
        resource.name,
        metadata,
        *columns,
        *constraints,
        *indexes,
        schema="crm",
        comment=resource.note,
    )


def _joined_columns(resource: Resource) -> list[str]:
    """Columns merges, parents and a history's subject are looked up by."""
    columns = [
        column
        for other in RESOURCES.values()
        for name, column in other.combined
        if name == resource.name
    ]
    if resource.is_history:
        columns += [f.name for f in resource.fields if f.path == f"{resource.listing.subject}.id"]  # type: ignore[union-attr]
    if resource.parent and resource.parent.column != resource.key:
        columns.append(resource.parent.column)
    return sorted(set(columns))


def child_table(resource: Resource, child: Child, metadata: sa.MetaData) -> sa.Table:
    """The table of a list inside a resource's records."""
    columns: list[Any] = [_store_id()]
    if resource.key:
        parent = next(f for f in resource.fields if f.name == resource.key)
        columns.append(
            sa.Column(
                resource.parent_column or "",
                _SQL_TYPES[parent.kind.sql],
                primary_key=True,
                autoincrement=False,
                comment=f"joins crm.{resource.name}.{resource.key}",
            )
        )
    if child.key is None:
        columns.append(
            sa.Column(
                "ordinal",
                sa.BigInteger,
                primary_key=True,
                autoincrement=False,
                comment="place in the list as sent, from 1",
            )
        )
    columns += [_column(f, key=f.name == child.key) for f in child.fields]
    return sa.Table(child.name, metadata, *columns, schema="crm", comment=child.note)


def crm_tables(resources: Mapping[str, Resource], metadata: sa.MetaData) -> dict[str, sa.Table]:
    """Every table of the given resources, by name."""
    tables = {}
    for resource in resources.values():
        tables[resource.name] = resource_table(resource, metadata)
        for child in resource.children:
            tables[child.name] = child_table(resource, child, metadata)
    return tables


CRM: dict[str, sa.Table] = crm_tables(RESOURCES, METADATA)

VERSIONED = {"orders": "order_versions", "customers": "customer_versions"}
"""Resources whose earlier contents a store may keep, and where."""


def version_table(resource: Resource, name: str, metadata: sa.MetaData) -> sa.Table:
    """The table of a resource's earlier contents; the present one is in the resource's own."""
    key = resource.key
    return sa.Table(
        name,
        metadata,
        _store_id(),
        *[_column(f, key=f.name == key) for f in resource.fields],
        sa.Column("raw", JSONB(none_as_null=True), comment="the record as sent"),
        _timestamp("valid_from", "when the mirror began to hold this content", primary_key=True),
        _timestamp("valid_to", "when another content or a deletion ended it", nullable=False),
        sa.Index(f"{name}_ended", "store_id", "valid_to"),
        schema="crm",
        comment=f"Earlier contents of crm.{resource.name}, kept where a store has switched it on",
    )


for _resource_name, _table_name in VERSIONED.items():
    version_table(RESOURCES[_resource_name], _table_name, METADATA)

_NOW = sa.text("now()")
_ZERO = sa.text("0")


def _sync(name: str, comment: str, *items: Any) -> sa.Table:
    return sa.Table(name, METADATA, *items, schema="sync", comment=comment)


def _text(name: str, comment: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, comment=comment, **options)


def _count(name: str, comment: str, **options: Any) -> sa.Column[Any]:
    merged: dict[str, Any] = {"nullable": False, "server_default": _ZERO} | options
    return sa.Column(name, sa.BigInteger, comment=comment, **merged)


def _resource(comment: str = "Resource.name") -> sa.Column[Any]:
    return sa.Column("resource", sa.Text, primary_key=True, comment=comment)


def _serial() -> sa.Column[Any]:
    return sa.Column(
        "id", sa.BigInteger, sa.Identity(always=True), primary_key=True, comment="our own number"
    )


def _owner() -> list[sa.Column[Any]]:
    return [
        sa.Column("store_id", sa.BigInteger, nullable=False, comment="sync.store.id"),
        sa.Column("resource", sa.Text, nullable=False, comment="Resource.name"),
    ]


STORE = _sync(
    "store",
    "RetailCRM accounts that are mirrored, one per API key",
    _serial(),
    _text("name", "its name in commands and in crm.coverage", nullable=False, unique=True),
    _text("url", "https://….retailcrm.ru, without a path", nullable=False),
    _text("account", "technicalUrl of system-info: what account it is", nullable=False),
    sa.Column("api_key", BYTEA, nullable=False, comment="encrypted with SYNC_SECRET_KEY"),
    _text("key_fingerprint", "names the key without telling it", nullable=False),
    _text("zone", "IANA zone of all its local times", nullable=False),
    _text("currency", "ISO 4217 default currency"),
    _text("site_access", "access_full or access_selective"),
    sa.Column("sites", ARRAY(sa.Text), comment="sites the key is limited to; NULL for all"),
    sa.Column("scopes", ARRAY(sa.Text), comment="the key's scopes; NULL where it names none"),
    sa.Column("chosen_sites", ARRAY(sa.Text), comment="sites asked for by --site; NULL for all"),
    sa.Column("since", sa.Date, comment="first creation day mirrored; NULL for all"),
    sa.Column("enabled", sa.Boolean, nullable=False, server_default=sa.true(), comment="crawled"),
    _text("error", "what an operator has to do; NULL when nothing"),
    _timestamp("created_at", "when it was added", nullable=False, server_default=_NOW),
    _timestamp("checked_at", "when its key was last found good"),
)

STORE_CLOCK = _sync(
    "store_clock",
    "The last as_of given out for a store: strictly increasing",
    _store_id("sync.store.id"),
    _timestamp("as_of", "the last moment given out", nullable=False),
)

LANE = _sync(
    "lane",
    "Work on a (store, resource, lane): when it is due, and who holds the lease",
    _store_id("sync.store.id"),
    _resource(),
    sa.Column("lane", sa.Text, primary_key=True, comment="feed or walk"),
    sa.Column("enabled", sa.Boolean, nullable=False, server_default=sa.true(), comment="wanted"),
    _timestamp("due_at", "when it is to be worked on next", nullable=False, server_default=_NOW),
    _timestamp("claimed_until", "a task has been sent for it that expires then"),
    sa.Column(
        "token", sa.BigInteger, nullable=False, server_default=_ZERO, comment="fencing token"
    ),
    _timestamp("lease_until", "the holder of token may write until then"),
    _text("holder", "process that holds the lease"),
    _count("attempts", "attempts since the last progress, counted before work starts"),
    _timestamp("parked_at", "given up until an operator says retry"),
    _timestamp("failing_since", "first failure in a row"),
    _text("error", "the last failure, in words"),
    _timestamp("worked_at", "when it last made progress"),
    _count("failures", "failures ever, also those that were followed by success"),
    sa.CheckConstraint("lane IN ('feed', 'walk')", name="lane_known"),
    sa.Index(
        "lane_due",
        "lane",
        "due_at",
        postgresql_where=sa.text("enabled AND parked_at IS NULL"),
    ),
)

CRAWL = _sync(
    "crawl",
    "Planned pieces of work in the walk lane",
    _serial(),
    *_owner(),
    _text("kind", "load, backfill, refresh, reconcile or rebuild", nullable=False),
    _text("asked_by", "schedule or operator", nullable=False, server_default="schedule"),
    sa.Column("since", sa.Date, comment="first creation day; NULL for no limit"),
    sa.Column("until", sa.Date, comment="last creation day; NULL for no limit"),
    sa.Column("deep", sa.Boolean, nullable=False, server_default=sa.false(), comment="by id set"),
    _text("phase", "plan, walk, prove, ids, finish or done", nullable=False, server_default="plan"),
    _text(
        "state",
        "pending, running, done, parked or dropped",
        nullable=False,
        server_default="pending",
    ),
    _count("pages_planned", "pages the plan found"),
    _count("pages_done", "pages committed"),
    _count("rows_seen", "records in those pages"),
    _count("rows_changed", "of them written"),
    _count("requests", "requests sent for it"),
    _count("drifts", "times the list changed under the walk"),
    sa.Column("report", JSONB(none_as_null=True), comment="what a reconcile found and did"),
    _text("error", "why it is parked"),
    _timestamp("asked_at", "when it was asked for", nullable=False, server_default=_NOW),
    _timestamp("started_at", "first page"),
    _timestamp("finished_at", "when it was done"),
    sa.CheckConstraint(
        "kind IN ('load', 'backfill', 'refresh', 'reconcile', 'rebuild')", name="crawl_kind_known"
    ),
    sa.CheckConstraint(
        "state IN ('pending', 'running', 'done', 'parked', 'dropped')", name="crawl_state_known"
    ),
    sa.Index(
        "crawl_open",
        "store_id",
        "resource",
        "asked_at",
        postgresql_where=sa.text("state IN ('pending', 'running')"),
    ),
    sa.Index("crawl_recent", "store_id", "resource", "id"),
)

WINDOW = _sync(
    "window",
    "Slices of a list frozen by creation days, or of a history by entry ids",
    _serial(),
    sa.Column("crawl_id", sa.BigInteger, nullable=False, comment="sync.crawl.id"),
    *_owner(),
    sa.Column("first_day", sa.Date, comment="first creation day; NULL for no lower end"),
    sa.Column("last_day", sa.Date, comment="last creation day; NULL for no upper end"),
    sa.Column("after_id", sa.BigInteger, comment="of a history: entries above this id"),
    sa.Column("until_id", sa.BigInteger, comment="of a history: up to and with this id"),
    _text("state", "planned, open, walked or proven", nullable=False, server_default="planned"),
    _count("total", "records by the API when it was last asked"),
    _count("page_count", "pages by the API when it was last asked"),
    _count("last_page", "checkpoint: the last page committed"),
    sa.Column("last_id", sa.BigInteger, comment="of a history: checkpoint, last id committed"),
    _count("walks", "times it was walked from its first page"),
    _timestamp("walked_as_of", "send moment of the first page of this walk"),
    _timestamp("verified_at", "when its set of records was last proven"),
    sa.CheckConstraint(
        "state IN ('planned', 'open', 'walked', 'proven')", name="window_state_known"
    ),
    sa.Index("window_of_crawl", "crawl_id", "id"),
    sa.Index("window_by_resource", "store_id", "resource", "verified_at"),
)

FEED = _sync(
    "feed",
    "Checkpoints of the histories",
    _store_id("sync.store.id"),
    _resource("the history's name"),
    sa.Column(
        "bookmark", sa.BigInteger, nullable=False, comment="newest id when the first load began"
    ),
    sa.Column("head_id", sa.BigInteger, nullable=False, comment="last id followed"),
    sa.Column(
        "tail_id",
        sa.BigInteger,
        nullable=False,
        comment="last id of the same chain read again a minute later",
    ),
    _timestamp("head_at", "send moment of the last answer that had nothing after it"),
    _timestamp("clear_at", "everything the history published before this moment is in the mirror"),
    _timestamp("gap_at", "when entries were found missing in the chain"),
    _count("entries", "entries followed since the bookmark"),
    _count("late_entries", "of them found by the tail: published out of order"),
    sa.Column(
        "every_seconds", sa.Float, comment="interval it is looked at; NULL for SYNC_FEED_SECONDS"
    ),
    sa.Column(
        "changes_per_second",
        sa.Float,
        nullable=False,
        server_default=_ZERO,
        comment="entries a second, averaged over about an hour",
    ),
)

POSITION = _sync(
    "position",
    "Checkpoints of lists behind an opaque cursor",
    _store_id("sync.store.id"),
    _resource(),
    _text("cursor", "sent back as it came", nullable=False),
    sa.Column(
        "repeats",
        JSONB,
        nullable=False,
        comment="how often each made key occurred on the page before",
    ),
)

REREAD = _sync(
    "reread",
    "Records to be read again, by id",
    _store_id("sync.store.id"),
    _resource(),
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False, comment="record's id"),
    _text("reason", "why", nullable=False),
    _timestamp("asked_at", "first asked for", nullable=False, server_default=_NOW),
    _timestamp("not_before", "the CRM may need until then", nullable=False, server_default=_NOW),
    _timestamp("since", "up to when the history that asked for it had been read before"),
    sa.Index("reread_due", "store_id", "resource", "not_before"),
)

COVERAGE = _sync(
    "coverage",
    "What is known of a resource of a store; crm.coverage is made from it",
    _store_id("sync.store.id"),
    _resource(),
    sa.Column(
        "selected",
        sa.Boolean,
        nullable=False,
        server_default=sa.true(),
        comment="the store mirrors it",
    ),
    sa.Column("expected", sa.BigInteger, comment="records in the CRM as far as is known"),
    sa.Column(
        "mirrored",
        sa.BigInteger,
        nullable=False,
        server_default=_ZERO,
        comment="live rows, counted along with every write",
    ),
    _timestamp("proven_as_of", "send moment of the last proof of the whole; NULL until proven"),
    _timestamp("proven_at", "when that proof was made"),
    _timestamp("complete_as_of", "of a resource without a feed: first send of the closed pass"),
    _timestamp("polled_as_of", "first send of the last poll by an updated-since filter"),
    _text("feed", "the history it is followed by; NULL where none"),
    sa.Column(
        "told_by",
        ARRAY(sa.Text),
        nullable=False,
        server_default=sa.text("'{}'"),
        comment="other histories that tell of its changes",
    ),
    _count("every_seconds", "how often it is refreshed; 0 for never"),
    _text("version", "Resource.version its rows are made from"),
    _text("zone", "zone its rows are made from"),
    _text("unavailable", "why the API does not give it; NULL when it does"),
    _text("approval", "a refresh that waits for approve: what it would tombstone"),
    sa.Column(
        "approved",
        sa.Boolean,
        nullable=False,
        server_default=sa.false(),
        comment="an operator allowed it",
    ),
    sa.Column(
        "date_filter", sa.Boolean, comment="whether the creation day filters narrow the list"
    ),
    _count("rejects", "rows of sync.reject"),
    _count("refused_writes", "contents that differed and lost to newer knowledge"),
    _count("drifts", "times the list changed under a walk"),
    sa.Column(
        "ids_checked", JSONB(none_as_null=True), comment="when each turn's ids were compared"
    ),
    _timestamp("ids_checked_at", "when the id set of its oldest window was last compared"),
    _count("rows_written", "rows inserted, changed, revived or tombstoned, ever"),
)

PROOF = _sync(
    "proof",
    "Every attempt to prove a window or the whole: the audit trail of coverage",
    _serial(),
    *_owner(),
    sa.Column("first_day", sa.Date, comment="first creation day; NULL for no lower end"),
    sa.Column("last_day", sa.Date, comment="last creation day; NULL for no upper end"),
    _text("method", "count, pass or ids", nullable=False),
    _timestamp("asked_as_of", "send moment of the request for the total", nullable=False),
    sa.Column("total", sa.BigInteger, comment="the API's answer"),
    sa.Column("mirrored", sa.BigInteger, comment="live rows known before it was asked"),
    sa.Column("entered", sa.BigInteger, comment="live rows found after it was asked"),
    sa.Column("head_id", sa.BigInteger, comment="the feed's head when the rows were counted"),
    sa.Column("proven", sa.Boolean, nullable=False, comment="total = mirrored, or a closed pass"),
    _text("detail", "what was found otherwise"),
    _timestamp("made_at", "when", nullable=False, server_default=_NOW),
    sa.Index("proof_recent", "store_id", "resource", "id"),
)

DRIFT = _sync(
    "drift",
    "Times a list changed under a walk, in words",
    _serial(),
    *_owner(),
    sa.Column("window_id", sa.BigInteger, comment="sync.window.id"),
    _text("kind", "shrank, grew, repeated, beyond_end, endless or order", nullable=False),
    _text("detail", "what was seen", nullable=False),
    _timestamp("seen_at", "when", nullable=False, server_default=_NOW),
    sa.Index("drift_recent", "store_id", "resource", "id"),
)

UNLISTED = _sync(
    "unlisted",
    "Records that answer by id although no list shows them: live, outside the counts",
    _store_id("sync.store.id"),
    _resource(),
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False, comment="record's id"),
    _timestamp("seen_at", "when", nullable=False, server_default=_NOW),
)

REJECT = _sync(
    "reject",
    "Values that could not be normalised, kept with their reason",
    _store_id("sync.store.id"),
    _resource(),
    sa.Column("record", sa.Text, primary_key=True, comment="the record's id or code"),
    sa.Column("field", sa.Text, primary_key=True, comment="column, or table.column[n]"),
    _text("value", "the value as JSON text, shortened to 2000 characters"),
    _text("reason", "why it was not taken", nullable=False),
    _timestamp("first_seen_at", "when", nullable=False, server_default=_NOW),
    _timestamp("last_seen_at", "when last", nullable=False, server_default=_NOW),
)

UNKNOWN_FIELD = _sync(
    "unknown_field",
    "Paths the API sends that no declaration names; their values stay in raw",
    _store_id("sync.store.id"),
    _resource(),
    sa.Column("path", sa.Text, primary_key=True, comment="dotted path in the record"),
    _text("example", "a value, shortened to 200 characters"),
    _timestamp("first_seen_at", "when", nullable=False, server_default=_NOW),
)

PARKED_PAGE = _sync(
    "parked_page",
    "Answers that were not what was declared, kept whole",
    _serial(),
    *_owner(),
    _text("request", "method and parameters, without the key", nullable=False),
    _text("reason", "what was wrong", nullable=False),
    sa.Column("body", BYTEA, comment="the answer as received"),
    _timestamp("seen_at", "when", nullable=False, server_default=_NOW),
)

CUSTOM_VIEW = _sync(
    "custom_view",
    "Views of custom fields, one for each store and kind of record",
    _store_id("sync.store.id"),
    sa.Column("resource", sa.Text, primary_key=True, comment="Resource.name"),
    _text("name", "the view's name in crm", nullable=False),
    _text("definition", "the statements it was made by", nullable=False),
    sa.UniqueConstraint("name", name="custom_view_name"),
)

CUSTOM_COLUMN = _sync(
    "custom_column",
    "Columns of those views: names once given stay",
    _store_id("sync.store.id"),
    sa.Column("resource", sa.Text, primary_key=True, comment="Resource.name"),
    sa.Column(
        "position",
        sa.BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="place in the view: new ones come last",
    ),
    _text("code", "the field's code", nullable=False),
    _text("type", "the field's type", nullable=False),
    _text("name", "the column's name", nullable=False),
    _text("dictionary", "crm.custom_dictionaries.code"),
    _text("label", "the field's name", nullable=False),
)

HEARTBEAT = _sync(
    "heartbeat",
    "Proof that queues are consumed: worker processes and the last task they ended",
    sa.Column("process", sa.Text, primary_key=True, comment="host:pid"),
    sa.Column("queue", sa.Text, primary_key=True, comment="feeds or crawls"),
    _timestamp("consumed_at", "when it last ended a task", nullable=False),
)

BUDGET_USE = _sync(
    "budget_use",
    "Samples of the request budget's counts, which only grow: the last hours, by store",
    sa.Column("egress", sa.Text, primary_key=True, comment="SYNC_EGRESS"),
    sa.Column("bucket", sa.Text, primary_key=True, comment="default or telephony"),
    _store_id("sync.store.id"),
    sa.Column("at", sa.DateTime(timezone=True), primary_key=True, comment="when it was read"),
    _count("granted", "requests granted until then"),
    _count("waited_ms", "milliseconds they waited for their slots"),
    _count("refused", "requests the API answered with 503 or 429"),
    sa.Index("budget_use_at", "at"),
)

NOTIFICATION = _sync(
    "notification",
    "What an operator is told by webhook: one row for each trouble, from its beginning to its end",
    _serial(),
    sa.Column("store_id", sa.BigInteger, nullable=False, comment="sync.store.id"),
    _text("kind", "operator or lag", nullable=False),
    _text("resource", "Resource.name; empty for the store as a whole", nullable=False),
    _text("text", "what is wrong and what to do", nullable=False),
    _timestamp("began_at", "when it was first seen", nullable=False, server_default=_NOW),
    _timestamp("ended_at", "when it was gone"),
    _text("told", "what was delivered last: trouble or recovered; NULL for nothing yet"),
    _timestamp("told_at", "when"),
    _text("telling", "what waits to be delivered: trouble or recovered; NULL for nothing"),
    _timestamp("due_at", "when delivery is tried next"),
    _count("attempts", "deliveries tried of what waits"),
    _text("error", "why the last one failed"),
    sa.CheckConstraint("kind IN ('operator', 'lag')", name="notification_kind_known"),
    sa.CheckConstraint(
        "told IN ('trouble', 'recovered') AND telling IN ('trouble', 'recovered')",
        name="notification_message_known",
    ),
    sa.Index(
        "notification_open",
        "store_id",
        "kind",
        "resource",
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    ),
    sa.Index("notification_due", "due_at", postgresql_where=sa.text("telling IS NOT NULL")),
)


READER = _sync(
    "reader",
    "Database roles that were granted reading, and how far",
    sa.Column("role", sa.Text, primary_key=True, comment="name of the role"),
    sa.Column("store_ids", ARRAY(sa.BigInteger), comment="stores it may see; NULL for all"),
    sa.Column(
        "masked",
        sa.Boolean,
        nullable=False,
        server_default=sa.false(),
        comment="it reads crm_masked instead of crm",
    ),
    _timestamp("granted_at", "when", nullable=False, server_default=_NOW),
)

SALT = _sync(
    "salt",
    "The secret that hashes are made with; one row, made with the database",
    sa.Column(
        "one",
        sa.Boolean,
        primary_key=True,
        server_default=sa.true(),
        comment="true: there is one",
    ),
    sa.Column("salt", BYTEA, nullable=False, comment="32 random bytes"),
    sa.CheckConstraint("one", name="salt_is_one"),
)

SUPPRESSED = _sync(
    "suppressed",
    "Erased persons and what is theirs, by salted hash: masked whenever they come again",
    _store_id("sync.store.id"),
    sa.Column("digest", BYTEA, primary_key=True, comment="salted hash of resource and key"),
    sa.Column("resource", sa.Text, nullable=False, comment="Resource.name"),
    _timestamp("erased_at", "when", nullable=False, server_default=_NOW),
)

VERSIONED_STORE = _sync(
    "versioned",
    "Stores that keep earlier contents, and for how long",
    _store_id("sync.store.id"),
    sa.Column("is_on", sa.Boolean, nullable=False, comment="kept from now on"),
    sa.Column("keep_days", sa.BigInteger, comment="days after its end; NULL for ever"),
)


def example_value(value: Any) -> str:
    """A value shortened for people."""
    return str(value)[:200]
