"""The service's own tables in `sync`: crawls, feeds, and what is complete as of when."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from sync.schema.words import (
    NOW,
    ZERO,
    count,
    ours,
    owner,
    resource,
    serial,
    store_id,
    text,
    timestamp,
)

CRAWL = ours(
    "crawl",
    "Planned pieces of work in the walk lane",
    serial(),
    *owner(),
    text("kind", "load, backfill, refresh, reconcile or rebuild", nullable=False),
    text("asked_by", "schedule or operator", nullable=False, server_default="schedule"),
    sa.Column("since", sa.Date, comment="first creation day; NULL for no limit"),
    sa.Column("until", sa.Date, comment="last creation day; NULL for no limit"),
    sa.Column("deep", sa.Boolean, nullable=False, server_default=sa.false(), comment="by id set"),
    text("phase", "plan, walk, prove, ids, finish or done", nullable=False, server_default="plan"),
    text(
        "state",
        "pending, running, done, parked or dropped",
        nullable=False,
        server_default="pending",
    ),
    count("pages_planned", "pages the plan found"),
    count("pages_done", "pages committed"),
    count("rows_seen", "records in those pages"),
    count("rows_changed", "of them written"),
    count("requests", "requests sent for it"),
    count("drifts", "times the list changed under the walk"),
    sa.Column("report", JSONB(none_as_null=True), comment="what a reconcile found and did"),
    text("error", "why it is parked"),
    timestamp("asked_at", "when it was asked for", nullable=False, server_default=NOW),
    timestamp("started_at", "first page"),
    timestamp("finished_at", "when it was done"),
    timestamp("not_before", "it waits until then; NULL for not at all"),
    count("rounds", "rounds without result, in a row"),
    timestamp("fruitless_since", "when the first of them began"),
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


WINDOW = ours(
    "window",
    "Slices of a list frozen by creation days, or of a history by entry ids",
    serial(),
    sa.Column("crawl_id", sa.BigInteger, nullable=False, comment="sync.crawl.id"),
    *owner(),
    sa.Column("first_day", sa.Date, comment="first creation day; NULL for no lower end"),
    sa.Column("last_day", sa.Date, comment="last creation day; NULL for no upper end"),
    sa.Column("after_id", sa.BigInteger, comment="of a history: entries above this id"),
    sa.Column("until_id", sa.BigInteger, comment="of a history: up to and with this id"),
    text("state", "planned, open, walked or proven", nullable=False, server_default="planned"),
    count("total", "records by the API when it was last asked"),
    count("page_count", "pages by the API when it was last asked"),
    count("last_page", "checkpoint: the last page committed"),
    sa.Column("last_id", sa.BigInteger, comment="of a history: checkpoint, last id committed"),
    count("walks", "times it was walked from its first page"),
    timestamp("walked_as_of", "send moment of the first page of this walk"),
    timestamp("verified_at", "when its set of records was last proven"),
    sa.CheckConstraint(
        "state IN ('planned', 'open', 'walked', 'proven')", name="window_state_known"
    ),
    sa.Index("window_of_crawl", "crawl_id", "id"),
    sa.Index("window_by_resource", "store_id", "resource", "verified_at"),
)


FEED = ours(
    "feed",
    "Checkpoints of the histories",
    store_id("sync.store.id"),
    resource("the history's name"),
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
    timestamp("head_at", "send moment of the last answer that had nothing after it"),
    timestamp("clear_at", "everything the history published before this moment is in the mirror"),
    timestamp("gap_at", "when entries were found missing in the chain"),
    count("entries", "entries followed since the bookmark"),
    count("late_entries", "of them found by the tail: published out of order"),
    sa.Column(
        "every_seconds", sa.Float, comment="interval it is looked at; NULL for SYNC_FEED_SECONDS"
    ),
    sa.Column(
        "changes_per_second",
        sa.Float,
        nullable=False,
        server_default=ZERO,
        comment="entries a second, averaged over about an hour",
    ),
)


POSITION = ours(
    "position",
    "Checkpoints of lists behind an opaque cursor",
    store_id("sync.store.id"),
    resource(),
    text("cursor", "sent back as it came", nullable=False),
    sa.Column(
        "repeats",
        JSONB,
        nullable=False,
        comment="how often each made key occurred on the page before",
    ),
)


REREAD = ours(
    "reread",
    "Records to be read again, by id",
    store_id("sync.store.id"),
    resource(),
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False, comment="record's id"),
    text("reason", "why", nullable=False),
    timestamp("asked_at", "first asked for", nullable=False, server_default=NOW),
    timestamp("not_before", "the CRM may need until then", nullable=False, server_default=NOW),
    timestamp("since", "up to when the history that asked for it had been read before"),
    sa.Index("reread_due", "store_id", "resource", "not_before"),
)


COVERAGE = ours(
    "coverage",
    "What is known of a resource of a store; crm.coverage is made from it",
    store_id("sync.store.id"),
    resource(),
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
        server_default=ZERO,
        comment="live rows, counted along with every write",
    ),
    timestamp("proven_as_of", "send moment of the last proof of the whole; NULL until proven"),
    timestamp("proven_at", "when that proof was made"),
    timestamp("complete_as_of", "of a resource without a feed: first send of the closed pass"),
    timestamp("polled_as_of", "first send of the last poll by an updated-since filter"),
    text("feed", "the history it is followed by; NULL where none"),
    sa.Column(
        "told_by",
        ARRAY(sa.Text),
        nullable=False,
        server_default=sa.text("'{}'"),
        comment="other histories that tell of its changes",
    ),
    count("every_seconds", "how often it is refreshed; 0 for never"),
    text("version", "Resource.version its rows are made from"),
    text("zone", "zone its rows are made from"),
    text("unavailable", "why the API does not give it; NULL when it does"),
    text("approval", "a refresh that waits for approve: what it would tombstone"),
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
    count("rejects", "rows of sync.reject"),
    count("refused_writes", "contents that differed and lost to newer knowledge"),
    count("drifts", "times the list changed under a walk"),
    sa.Column(
        "ids_checked", JSONB(none_as_null=True), comment="when each turn's ids were compared"
    ),
    timestamp("ids_checked_at", "when the id set of its oldest window was last compared"),
    count("rows_written", "rows inserted, changed, revived or tombstoned, ever"),
)


PROOF = ours(
    "proof",
    "Every attempt to prove a window or the whole: the audit trail of coverage",
    serial(),
    *owner(),
    sa.Column("first_day", sa.Date, comment="first creation day; NULL for no lower end"),
    sa.Column("last_day", sa.Date, comment="last creation day; NULL for no upper end"),
    text("method", "count, pass or ids", nullable=False),
    timestamp("asked_as_of", "send moment of the request for the total", nullable=False),
    sa.Column("total", sa.BigInteger, comment="the API's answer"),
    sa.Column("mirrored", sa.BigInteger, comment="live rows known before it was asked"),
    sa.Column("entered", sa.BigInteger, comment="live rows found after it was asked"),
    sa.Column("head_id", sa.BigInteger, comment="the feed's head when the rows were counted"),
    sa.Column("proven", sa.Boolean, nullable=False, comment="total = mirrored, or a closed pass"),
    text("detail", "what was found otherwise"),
    timestamp("made_at", "when", nullable=False, server_default=NOW),
    sa.Index("proof_recent", "store_id", "resource", "id"),
)


DRIFT = ours(
    "drift",
    "Times a list changed under a walk, in words",
    serial(),
    *owner(),
    sa.Column("window_id", sa.BigInteger, comment="sync.window.id"),
    text(
        "kind",
        "shrank, grew, repeated, beyond_end, endless, order or gap (ops/runbook.md)",
        nullable=False,
    ),
    text("detail", "what was seen", nullable=False),
    timestamp("seen_at", "when", nullable=False, server_default=NOW),
    sa.Index("drift_recent", "store_id", "resource", "id"),
)


UNLISTED = ours(
    "unlisted",
    "Records that answer by id although no list shows them: live, outside the counts",
    store_id("sync.store.id"),
    resource(),
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False, comment="record's id"),
    timestamp("seen_at", "when", nullable=False, server_default=NOW),
)
