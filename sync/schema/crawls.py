"""The service's own tables in `sync`: crawls, feeds, proofs, coverage."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from sync.schema.columns import (
    NOW,
    ZERO,
    count,
    day,
    flag,
    key,
    number,
    ours,
    owner,
    real,
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
    day("since", "first creation day; NULL for no limit"),
    day("until", "last creation day; NULL for no limit"),
    flag("deep", "by id set", default=False),
    text("phase", "plan, walk, prove, seal or done", nullable=False, server_default="plan"),
    text(
        "state",
        "pending, running, done, parked or dropped",
        nullable=False,
        server_default="pending",
    ),
    count("pages_planned", "pages the plan found"),
    number(
        "pages_expected",
        "requests it was expected to take before it was planned; NULL where nobody asked",
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
    real("per_second", "pages a second of late; NULL before the second sample"),
    real("seconds", "time measured so far", nullable=False, server_default=ZERO),
)


WINDOW = ours(
    "window",
    "Slices of a list frozen by creation days, or of a history by entry ids",
    serial(),
    number("crawl_id", "sync.crawl.id", nullable=False),
    *owner(),
    day("first_day", "first creation day; NULL for no lower end"),
    day("last_day", "last creation day; NULL for no upper end"),
    number("after_id", "of a history: entries above this id"),
    number("until_id", "of a history: up to and with this id"),
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
    number("last_id", "of a history: checkpoint, last id committed"),
    count("walks", "times it was walked from its first page"),
    timestamp("walked_as_of", "send moment of the first page of this walk"),
    timestamp("verified_at", "as of when its set of records is proven"),
    flag("deep", "walked to compare ids and contents with what is here", default=False),
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
    key("window_id", "sync.window.id"),
    key("page", "place in the window, from 0, of the first of them"),
    sa.Column("ids", ARRAY(sa.BigInteger), nullable=False, comment="ids on it"),
)


FEED = ours(
    "feed",
    "Checkpoints of the histories",
    store_id("sync.store.id"),
    resource("the history's name"),
    number("bookmark", "newest id when the first load began", nullable=False),
    number("head_id", "last id followed", nullable=False),
    number(
        "tail_id", "last id of the same chain read again after the lateness bound", nullable=False
    ),
    timestamp("head_at", "send moment of the last answer that had nothing after it"),
    timestamp("crm_at", "the CRM's own clock in that answer; NULL where it tells none"),
    timestamp("clear_at", "everything the history published before this moment is in the mirror"),
    timestamp("gap_at", "no longer written: a gap is a row of sync.doubt"),
    real(
        "lateness_seconds",
        "lateness bound learnt from this history; NULL while nothing came later than it",
    ),
    timestamp("late_at", "when it was last learnt, or halved"),
    timestamp("broken_since", "since when known entries do not come again; NULL when they do"),
    number("backward_id", "third reading: last id read; NULL when done"),
    number("backward_until_id", "third reading: where it ends"),
    timestamp("hour_read_at", "when the last hour's entries were last read a third time"),
    timestamp("day_read_at", "when the last day's entries were"),
    timestamp("sampled_at", "when a sample of passed records was last read again"),
    real(
        "sampled_records",
        "records sampled of late, of about the last 200",
        nullable=False,
        server_default=ZERO,
    ),
    real(
        "untold_records",
        "of them changed without an entry that told it",
        nullable=False,
        server_default=ZERO,
    ),
    count("entries", "entries followed since the bookmark"),
    count("late_entries", "of them found by the tail: published out of order"),
    real("every_seconds", "interval it is looked at; NULL for SYNC_FEED_SECONDS"),
    real(
        "changes_per_second",
        "entries a second, averaged over about an hour",
        nullable=False,
        server_default=ZERO,
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
    key("id", "record's id"),
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
    key("entry_id", "who told it"),
    number("id", "record's id", nullable=False),
    day("created_on", "the day it left; NULL where it had none"),
    timestamp("left_at", "when, by the CRM's clock"),
    timestamp("told_at", "when it was learnt", nullable=False, server_default=NOW),
    sa.Index("departure_told", "store_id", "resource", "told_at"),
)


DOUBT = ours(
    "doubt",
    "What may be wrong, since when and why: coverage does not go past it until it was compared",
    serial(),
    *owner(),
    day("first_day", "first creation day; NULL for no lower end"),
    day("last_day", "last creation day; NULL for no upper end"),
    number("record", "record's id, where it is about one alone"),
    text("kind", "gap, restart, unread, count, late, access, zone or operator", nullable=False),
    text("detail", "what was seen, in words", nullable=False),
    timestamp("since", "from when on it may be wrong", nullable=False),
    timestamp("raised_at", "when it was seen", nullable=False, server_default=NOW),
    number("difference", "total of the API less rows here, of a count"),
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
    flag("selected", "the store mirrors it", default=True),
    number("expected", "records in the CRM as far as is known"),
    count("mirrored", "live rows, counted along with every write"),
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
    flag("approved", "an operator allowed it", default=False),
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
    day("first_day", "first creation day; NULL for no lower end"),
    day("last_day", "last creation day; NULL for no upper end"),
    text("method", "count, pass or ids", nullable=False),
    timestamp("asked_as_of", "send moment of the request for the total", nullable=False),
    number("total", "the API's answer"),
    number("mirrored", "live rows known before it was asked"),
    number("entered", "live rows found after it was asked"),
    number("head_id", "the feed's head when the rows were counted"),
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
    number("window_id", "sync.window.id"),
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
    key("id", "record's id"),
    timestamp("seen_at", "when", nullable=False, server_default=NOW),
)
