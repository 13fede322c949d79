"""The service's own tables in `sync`: stores, lanes, rejects, readers, notices."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA

from sync.schema.columns import (
    NOW,
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

STORE = ours(
    "store",
    "RetailCRM accounts that are mirrored, one per API key",
    serial(),
    text("name", "its name in commands and in crm.coverage", nullable=False, unique=True),
    text("url", "https://….retailcrm.ru, without a path", nullable=False),
    text("account", "technicalUrl of system-info: what account it is", nullable=False),
    sa.Column("api_key", BYTEA, nullable=False, comment="encrypted with SYNC_SECRET_KEY"),
    text("key_fingerprint", "names the key without telling it", nullable=False),
    text("zone", "IANA zone of all its local times", nullable=False),
    text("currency", "ISO 4217 default currency"),
    text("site_access", "access_full or access_selective"),
    sa.Column("sites", ARRAY(sa.Text), comment="sites the key is limited to; NULL for all"),
    sa.Column("scopes", ARRAY(sa.Text), comment="the key's scopes; NULL where it names none"),
    sa.Column("chosen_sites", ARRAY(sa.Text), comment="sites asked for by --site; NULL for all"),
    sa.Column(
        "hidden_sites",
        ARRAY(sa.Text),
        nullable=False,
        server_default=sa.text("'{}'"),
        comment="sites whose rows were mirrored and that the key sees no more; * for others",
    ),
    timestamp("hidden_as_of", "when the key was last known to see them"),
    timestamp(
        "hidden_from", "when it was first seen not to see them: rows read before may be of them"
    ),
    day("since", "first creation day mirrored; NULL for all"),
    flag("enabled", "crawled", default=True),
    text("error", "what an operator has to do; NULL when nothing"),
    timestamp("created_at", "when it was added", nullable=False, server_default=NOW),
    timestamp("checked_at", "when its key was last found good"),
    real("least_lateness_seconds", "shortest lateness bound of its histories; NULL for a minute"),
    sa.Column(
        "sealed_under",
        sa.Text,
        # As Postgres tells it, so that Alembic finds nothing to change.
        sa.Computed("encode(substr(api_key, 2, 4), 'hex'::text)", persisted=True),
        comment="fingerprint of the SYNC_SECRET_KEY that encrypted api_key; empty without a key",
    ),
    text("title", "its name for people, of any text; NULL where none was given"),
)


STORE_CLOCK = ours(
    "store_clock",
    "The last as_of given out for a store: strictly increasing",
    store_id("sync.store.id"),
    timestamp("as_of", "the last moment given out", nullable=False),
)


LANE = ours(
    "lane",
    "Work on a (store, resource, lane): when it is due, and who holds the lease",
    store_id("sync.store.id"),
    resource(),
    text("lane", "feed or walk", primary_key=True),
    flag("enabled", "wanted", default=True),
    timestamp("due_at", "when it is to be worked on next", nullable=False, server_default=NOW),
    timestamp("claimed_until", "a task has been sent for it; from then on it is sent again"),
    count("token", "fencing token"),
    timestamp("lease_until", "the lease ends then at the latest, should its holder live so long"),
    text("holder", "sync.worker.id of the process that holds the lease"),
    count("attempts", "attempts since the last progress, counted before work starts"),
    timestamp("parked_at", "given up until an operator says retry"),
    timestamp("failing_since", "first failure in a row"),
    text("error", "the last failure, in words"),
    timestamp("worked_at", "when it last made progress"),
    text("odd_answer", "kind of answer that is believed when it has come several times"),
    count("odd_times", "how often it came since a slice last ended well"),
    timestamp("odd_since", "when it came first"),
    count("failures", "failures ever, also those that were followed by success"),
    text(
        "answering",
        "unknown until its store has answered once; no since a slice had no answer; yes",
        nullable=False,
        server_default="unknown",
    ),
    sa.CheckConstraint("lane IN ('feed', 'walk')", name="lane_known"),
    sa.CheckConstraint("answering IN ('unknown', 'no', 'yes')", name="lane_answering_known"),
    sa.Index(
        "lane_due",
        "lane",
        "answering",
        "due_at",
        postgresql_where=sa.text("enabled AND parked_at IS NULL"),
    ),
    sa.Index(
        "lane_held",
        "lane",
        postgresql_where=sa.text("holder IS NOT NULL OR claimed_until IS NOT NULL"),
    ),
)


DISPATCH = ours(
    "dispatch",
    "A row for each kind of lanes, locked by whoever claims some: one at a time",
    text("lane", "feed or walk", primary_key=True),
)


REJECT = ours(
    "reject",
    "Values that could not be normalised, kept with their reason",
    store_id("sync.store.id"),
    resource(),
    text("record", "the record's id or code", primary_key=True),
    text("field", "column, or table.column[n]", primary_key=True),
    text("value", "the value as JSON text, shortened to 2000 characters"),
    text("reason", "why it was not taken", nullable=False),
    timestamp("first_seen_at", "when", nullable=False, server_default=NOW),
    timestamp("last_seen_at", "when last", nullable=False, server_default=NOW),
)


UNKNOWN_FIELD = ours(
    "unknown_field",
    "Paths the API sends that no declaration names; their values stay in raw",
    store_id("sync.store.id"),
    resource(),
    text("path", "dotted path in the record", primary_key=True),
    text("example", "a value, shortened to 200 characters"),
    timestamp("first_seen_at", "when", nullable=False, server_default=NOW),
)


PARKED_PAGE = ours(
    "parked_page",
    "Answers that were not what was declared, kept whole",
    serial(),
    *owner(),
    text("request", "method and parameters, without the key", nullable=False),
    text("reason", "what was wrong", nullable=False),
    sa.Column("body", BYTEA, comment="the answer as received"),
    timestamp("seen_at", "when", nullable=False, server_default=NOW),
)


CUSTOM_VIEW = ours(
    "custom_view",
    "Views of custom fields, one for each store and kind of record",
    store_id("sync.store.id"),
    text("resource", "Resource.name", primary_key=True),
    text("name", "the view's name in crm", nullable=False),
    text("definition", "the statements it was made by", nullable=False),
    sa.UniqueConstraint("name", name="custom_view_name"),
)


CUSTOM_COLUMN = ours(
    "custom_column",
    "Columns of those views: names once given stay",
    store_id("sync.store.id"),
    text("resource", "Resource.name", primary_key=True),
    key("position", "place in the view: new ones come last"),
    text("code", "the field's code", nullable=False),
    text("type", "the field's type", nullable=False),
    text("name", "the column's name", nullable=False),
    text("dictionary", "crm.custom_dictionaries.code"),
    text("label", "the field's name", nullable=False),
)


HEARTBEAT = ours(
    "heartbeat",
    "Proof that queues are consumed: worker processes and the last task they ended",
    text("process", "host:pid", primary_key=True),
    text("queue", "feeds or crawls", primary_key=True),
    timestamp("consumed_at", "when it last ended a task", nullable=False),
    text("egress", "SYNC_EGRESS: the address it sends from"),
    number("places", "lanes of this queue that it works on at once"),
    timestamp("beat_at", "when it last took what beat sends to this queue at fixed intervals"),
)


WORKER = ours(
    "worker",
    "Heartbeats of processes that hold leases",
    text("id", "a UUID made when the process began", primary_key=True),
    text("host", "its host", nullable=False),
    number("pid", "its process id there", nullable=False),
    timestamp("started_at", "its first beat", nullable=False),
    timestamp("beat_at", "its last beat", nullable=False),
    real("ahead_seconds", "its clock minus Postgres's; NULL before its second beat"),
)


BUDGET_USE = ours(
    "budget_use",
    "Samples of the request budget's counts, which only grow: the last hours, by store",
    text("egress", "SYNC_EGRESS", primary_key=True),
    text("bucket", "default or telephony", primary_key=True),
    store_id("sync.store.id"),
    timestamp("at", "when it was read", primary_key=True),
    count("granted", "requests granted until then"),
    count("waited_ms", "milliseconds they waited for their slots"),
    count("refused", "requests the API answered with 503 or 429"),
    sa.Index("budget_use_at", "at"),
)


NUDGE = ours(
    "nudge",
    "Stores whose account calls a URL when something changed, and the records it named last",
    store_id("sync.store.id"),
    sa.Column("digest", BYTEA, nullable=False, comment="hash of the secret in the URL"),
    timestamp("made_at", "when the secret was made", nullable=False, server_default=NOW),
    count("came", "nudges that came"),
    count("acted", "looks that were made sooner because of them"),
    timestamp("last_at", "when the last one came"),
    sa.Column(
        "orders",
        ARRAY(sa.BigInteger),
        nullable=False,
        server_default=sa.text("'{}'"),
        comment="orders named, to be read first",
    ),
    sa.Column(
        "customers",
        ARRAY(sa.BigInteger),
        nullable=False,
        server_default=sa.text("'{}'"),
        comment="customers named, to be read first",
    ),
    sa.UniqueConstraint("digest", name="nudge_digest"),
)


ACT = ours(
    "act",
    "What people did, by command or on the status page",
    serial(),
    timestamp("at", "when", nullable=False, server_default=NOW),
    text("who", "name of the token, or of the login of this machine", nullable=False),
    text("source", "page or command", nullable=False),
    text("address", "address of the client; NULL for commands"),
    text("store", "its name then; empty for all", nullable=False),
    text("what", "retry, approve, backfill …", nullable=False),
    text("detail", "resources, days and the like", nullable=False),
    sa.CheckConstraint("source IN ('page', 'command')", name="act_source_known"),
    sa.Index("act_at", "at"),
)


SAMPLE = ours(
    "sample",
    "A week of figures by store, a row each quarter of an hour; store 0 is the service itself",
    store_id("sync.store.id; 0 for the service"),
    timestamp("at", "the quarter it is of", primary_key=True),
    real("lag_seconds", "longest lag of a feed"),
    count("rows_written", "rows written until then"),
    count("granted", "requests granted until then"),
    count("waited_ms", "milliseconds they waited for their slots"),
    count("refused", "requests the API answered with 503 or 429"),
    number("memory_bytes", "of the worker that sampled"),
    sa.Index("sample_at", "at"),
)


NOTIFICATION = ours(
    "notification",
    "What an operator is told by webhook: one row for each trouble, from its beginning to its end",
    serial(),
    number("store_id", "sync.store.id", nullable=False),
    text("kind", "operator or lag", nullable=False),
    text("resource", "Resource.name; empty for the store as a whole", nullable=False),
    text("text", "what is wrong and what to do", nullable=False),
    timestamp("began_at", "when it was first seen", nullable=False, server_default=NOW),
    timestamp("ended_at", "when it was gone"),
    text("told", "what was delivered last: trouble or recovered; NULL for nothing yet"),
    timestamp("told_at", "when"),
    text("telling", "what waits to be delivered: trouble or recovered; NULL for nothing"),
    timestamp("due_at", "when delivery is tried next"),
    count("attempts", "deliveries tried of what waits"),
    text("error", "why the last one failed"),
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


READER = ours(
    "reader",
    "Database roles that were granted reading, and how far",
    text("role", "name of the role", primary_key=True),
    sa.Column("store_ids", ARRAY(sa.BigInteger), comment="stores it may see; NULL for all"),
    flag("masked", "it reads crm_masked instead of crm", default=False),
    timestamp("granted_at", "when", nullable=False, server_default=NOW),
    number("statement_ms", "milliseconds that a statement of it may take; NULL for no limit"),
    number("idle_ms", "milliseconds that its transaction may be idle; NULL for no limit"),
)


SALT = ours(
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


SUPPRESSED = ours(
    "suppressed",
    "Erased persons and what is theirs, by salted hash: masked whenever they come again",
    store_id("sync.store.id when it was added; below 0 when the account was not mirrored then"),
    sa.Column(
        "digest",
        BYTEA,
        primary_key=True,
        comment="salted hash of resource and key, or of a phone or e-mail",
    ),
    text("resource", "Resource.name, phone or email", nullable=False),
    timestamp("erased_at", "when", nullable=False, server_default=NOW),
    text(
        "account",
        "sync.store.account, whose list outlives the store",
        nullable=False,
        server_default="",
    ),
    sa.Index("suppressed_by_account", "account", "digest"),
)


VERSIONED_STORE = ours(
    "versioned",
    "Stores that keep earlier contents, and for how long",
    store_id("sync.store.id"),
    sa.Column("is_on", sa.Boolean, nullable=False, comment="kept from now on"),
    number("keep_days", "days after its end; NULL for ever"),
)


ENDED_SESSION = ours(
    "ended_session",
    "Sessions of the status page that were logged out before their end",
    key("number", "what its cookie says"),
    timestamp("ends_at", "when it is over anyway, and this row may go", nullable=False),
)

ERA = ours(
    "era",
    "Since when transactions of this database are numbered as they are",
    text(
        "server",
        "server, timeline, database and table: another after each restore",
        primary_key=True,
    ),
    number("base", "change number less the transaction's own number", nullable=False),
    number("first_no", "no change of the era has a lower number", nullable=False),
)
