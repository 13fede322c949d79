"""The service's own tables in `sync`: crawls, feeds, proofs, coverage."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from sync.schema.columns import (
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
    text("phase", "plan, walk, prove, seal or done", nullable=False, server_default="plan"),
    text(
        "state",
        "pending, running, done, parked or dropped",
        nullable=False,
        server_default="pending",
    ),
    count("pages_planned", "pages the plan found"),
    sa.Column(
        "pages_expected",
        sa.BigInteger,
        comment="requests it was expected to take before it was planned; NULL where nobody asked",
    ),
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
    timestamp("not_before", "waits until then, and other crawls go before it; NULL for not"),
    count("rounds", "rounds in a row that ended without a result"),
    timestamp("fruitless_since", "when the first of those rounds ended"),
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


PACE = ours(
    "pace",
    "Pages a second that open crawls read of late: what estimates of the time left are made from",
    store_id("sync.store.id"),
    resource("Resource.name; empty for all first loads of the store together"),
    timestamp("at", "when it was sampled", nullable=False),
    count("pages", "pages read until then"),
    sa.Column(
        "per_second", sa.Float, comment="pages a second of late; NULL before the second sample"
    ),
    sa.Column(
        "seconds", sa.Float, nullable=False, server_default=ZERO, comment="time measured so far"
    ),
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
    text(
        "state",
        "planned, open, walked, counted (proven, not yet sealed) or proven",
        nullable=False,
        server_default="planned",
    ),
    count("total", "records by the API when it was last asked"),
    count("page_count", "pages by the API when it was last asked"),
    count("last_page", "checkpoint: the last page committed whole"),
    count(
        "page_size",
        "records of a page as page_count and last_page count them, whatever size is asked for",
        server_default=sa.text("100"),
    ),
    count("in_page", "checkpoint: records committed of the page after last_page"),
    sa.Column("last_id", sa.BigInteger, comment="of a history: checkpoint, last id committed"),
    count("walks", "times it was walked from its first page"),
    timestamp("walked_as_of", "send moment of the first page of this walk"),
    timestamp("verified_at", "as of when its set of records is proven"),
    sa.Column(
        "deep",
        sa.Boolean,
        nullable=False,
        server_default=sa.false(),
        comment="walked to compare ids and contents with what is here",
    ),
    count("differed", "counts in a row that differed"),
    timestamp("asked_at", "send moment of the total of its provisional proof"),
    timestamp("counted_at", "when its rows were counted for that"),
    timestamp("crm_at", "the CRM's own clock, at or after asked_at"),
    sa.CheckConstraint(
        "state IN ('planned', 'open', 'walked', 'counted', 'proven')", name="window_state_known"
    ),
    sa.Index("window_of_crawl", "crawl_id", "id"),
    sa.Index("window_by_resource", "store_id", "resource", "verified_at"),
)


MET = ours(
    "met",
    "Ids met on the pages of a window that is compared: what it lacks is looked for",
    sa.Column(
        "window_id",
        sa.BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="sync.window.id",
    ),
    sa.Column(
        "page",
        sa.BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="place in the window, from 0, of the first of them",
    ),
    sa.Column("ids", ARRAY(sa.BigInteger), nullable=False, comment="ids on it"),
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
        comment="last id of the same chain read again after the lateness bound",
    ),
    timestamp("head_at", "send moment of the last answer that had nothing after it"),
    timestamp("crm_at", "the CRM's own clock in that answer; NULL where it tells none"),
    timestamp("clear_at", "everything the history published before this moment is in the mirror"),
    timestamp("gap_at", "no longer written: a gap is a row of sync.doubt"),
    sa.Column(
        "lateness_seconds",
        sa.Float,
        comment="lateness bound learnt from this history; NULL while nothing came later than it",
    ),
    timestamp("late_at", "when it was last learnt, or halved"),
    timestamp("broken_since", "since when known entries do not come again; NULL when they do"),
    sa.Column("backward_id", sa.BigInteger, comment="third reading: last id read; NULL when done"),
    sa.Column("backward_until_id", sa.BigInteger, comment="third reading: where it ends"),
    timestamp("hour_read_at", "when the last hour's entries were last read a third time"),
    timestamp("day_read_at", "when the last day's entries were"),
    timestamp("sampled_at", "when a sample of passed records was last read again"),
    sa.Column(
        "sampled_records",
        sa.Float,
        nullable=False,
        server_default=ZERO,
        comment="records sampled of late, of about the last 200",
    ),
    sa.Column(
        "untold_records",
        sa.Float,
        nullable=False,
        server_default=ZERO,
        comment="of them changed without an entry that told it",
    ),
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


PAGE_SIZE = ours(
    "page_size",
    "Lists whose pages do not come at their usual size, with the size that they are asked in",
    store_id("sync.store.id"),
    resource(),
    count("size", "records asked for in a request"),
    count("failures", "times in a row that a page was too large"),
    timestamp("larger_at", "from when on a larger page is tried", nullable=False),
    text("reason", "how the last larger page failed", nullable=False),
    timestamp("changed_at", "when the size was last changed", nullable=False, server_default=NOW),
)


ACCESS_LOOK = ours(
    "access_look",
    "The last answer of each store to credentials: one look serves all that wait for one",
    store_id("sync.store.id"),
    timestamp("asked_at", "send moment of that answer; NULL before the first"),
    sa.Column(
        "answer",
        JSONB(none_as_null=True),
        comment="the access it told, or the refusal: its kind and message",
    ),
    timestamp("next_at", "nobody asks before then", nullable=False, server_default=NOW),
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
    timestamp("since", "what it holds of changes after that may be wrong; coverage is held there"),
    timestamp("early_at", "read once more, before the last time, from then on; NULL for not"),
    timestamp("absent_at", "send moment of the request it was first found absent by"),
    count("failures", "requests for it alone, in a row, that failed"),
    timestamp("failing_since", "when the first of those failed"),
    text("error", "the last failure, in words"),
    sa.Index("reread_due", "store_id", "resource", "not_before"),
)


DEPARTURE = ours(
    "departure",
    "Live rows that a history told to be gone, or to have left their day or site: kept for a while,"
    " since a count may have missed them",
    store_id("sync.store.id"),
    resource("the list they left"),
    sa.Column(
        "entry_id", sa.BigInteger, primary_key=True, autoincrement=False, comment="who told it"
    ),
    sa.Column("id", sa.BigInteger, nullable=False, comment="record's id"),
    sa.Column("created_on", sa.Date, comment="the day it left; NULL where it had none"),
    timestamp("left_at", "when, by the CRM's clock"),
    timestamp("told_at", "when it was learnt", nullable=False, server_default=NOW),
    sa.Index("departure_told", "store_id", "resource", "told_at"),
)


DOUBT = ours(
    "doubt",
    "What may be wrong, since when and why: coverage does not go past it until it was compared",
    serial(),
    *owner(),
    sa.Column("first_day", sa.Date, comment="first creation day; NULL for no lower end"),
    sa.Column("last_day", sa.Date, comment="last creation day; NULL for no upper end"),
    sa.Column("record", sa.BigInteger, comment="record's id, where it is about one alone"),
    text("kind", "gap, restart, unread, count, late, access, zone or operator", nullable=False),
    text("detail", "what was seen, in words", nullable=False),
    timestamp("since", "from when on it may be wrong", nullable=False),
    timestamp("raised_at", "when it was seen", nullable=False, server_default=NOW),
    sa.Column("difference", sa.BigInteger, comment="total of the API less rows here, of a count"),
    timestamp("accepted_at", "when a person accepted that it stays; NULL while nobody did"),
    text("accepted_by", "who"),
    text("accepted_because", "why"),
    sa.CheckConstraint(
        "kind IN ('gap', 'restart', 'unread', 'count', 'late', 'access', 'zone', 'operator')",
        name="doubt_kind_known",
    ),
    sa.Index("doubt_of", "store_id", "resource"),
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
        "shrank, grew, repeated, beyond_end, endless, order or gap (ops/docs/runbook.md)",
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
