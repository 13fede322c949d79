"""Provisional proofs, the lateness bound, and one mark of doubt

What may be wrong is a row of sync.doubt, which holds coverage until it was compared or a person
accepts it; analysts see what was accepted in crm.known_gaps, and coverage by month in
crm.coverage_months. Proofs made before stand: what a release before proved counts as sealed.

Revision: 0015, after 0014.
Additive only: nothing an analyst's view may stand on is dropped or retyped.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

HERE = Path(__file__).resolve().parent
VIEWS = {
    "crm.known_gaps": (
        "What a person accepted as not to be mended; coverage goes on without it",
        {
            "store": "the store's name",
            "resource": "Resource.name",
            "first_day": "first creation day it is about; NULL for no lower end",
            "last_day": "last creation day it is about; NULL for no upper end",
            "record": "id of the record it is about; NULL where it is about more",
            "since": "from when on it may be wrong",
            "detail": "what was seen, in words",
            "difference": "records the API counts beside those that are here",
            "accepted_at": "when it was accepted",
            "accepted_by": "who accepted it",
            "accepted_because": "why",
            "store_id": "crm.store.store_id",
        },
    ),
    "crm.coverage_months": (
        "Coverage by month of creation: a month in doubt does not hold the others back",
        {
            "store": "the store's name",
            "resource": "Resource.name",
            "month": "first day of the month its records were created in",
            "complete_as_of": "every change the CRM made to them until then is in the mirror",
            "doubt": "what may be wrong with it; NULL for nothing",
            "store_id": "crm.store.store_id",
        },
    ),
}


COMPLETE = "every change the CRM made until then is in the mirror; NULL until first proven"
COMPLETE_NOW = (
    "every change the CRM made until then is in the mirror: by design a minute or two ago, and it"
    " may go back; NULL until first proven"
)


def view(name: str) -> str:
    """The text of a view."""
    return (HERE.parent / "views" / f"{name}.sql").read_text()


def quoted(text: str) -> str:
    """A literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def coverage_of_0011() -> str:
    """crm.coverage as it was before."""
    spec = importlib.util.spec_from_file_location("before", HERE / "0011_refused_histories.py")
    assert spec is not None
    assert spec.loader is not None
    before = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(before)
    text: str = before.view(before.TOLD)
    return text


def states(*known: str) -> None:
    """Let windows be in these states."""
    op.drop_constraint("window_state_known", "window", schema="sync")
    op.create_check_constraint(
        "window_state_known",
        "window",
        f"state IN ({', '.join(quoted(each) for each in known)})",
        schema="sync",
    )


def upgrade() -> None:
    op.create_table(
        "departure",
        sa.Column(
            "store_id",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="sync.store.id",
        ),
        sa.Column("resource", sa.Text(), nullable=False, comment="the list they left"),
        sa.Column(
            "entry_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="who told it"
        ),
        sa.Column("id", sa.BigInteger(), nullable=False, comment="record's id"),
        sa.Column(
            "created_on",
            sa.Date(),
            nullable=True,
            comment="the day it left; NULL where it had none",
        ),
        sa.Column(
            "left_at", sa.DateTime(timezone=True), nullable=True, comment="when, by the CRM's clock"
        ),
        sa.Column(
            "told_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when it was learnt",
        ),
        sa.PrimaryKeyConstraint("store_id", "resource", "entry_id"),
        schema="sync",
        comment="Live rows that a history told to be gone, or to have left their day or site: kept for a while, since a count may have missed them",
    )
    op.create_index(
        "departure_told",
        "departure",
        ["store_id", "resource", "told_at"],
        unique=False,
        schema="sync",
    )
    op.create_table(
        "doubt",
        sa.Column(
            "id",
            sa.BigInteger(),
            sa.Identity(always=True),
            nullable=False,
            comment="our own number",
        ),
        sa.Column("store_id", sa.BigInteger(), nullable=False, comment="sync.store.id"),
        sa.Column("resource", sa.Text(), nullable=False, comment="Resource.name"),
        sa.Column(
            "first_day",
            sa.Date(),
            nullable=True,
            comment="first creation day; NULL for no lower end",
        ),
        sa.Column(
            "last_day", sa.Date(), nullable=True, comment="last creation day; NULL for no upper end"
        ),
        sa.Column(
            "record",
            sa.BigInteger(),
            nullable=True,
            comment="record's id, where it is about one alone",
        ),
        sa.Column(
            "kind",
            sa.Text(),
            nullable=False,
            comment="gap, restart, unread, count, late, access, zone or operator",
        ),
        sa.Column("detail", sa.Text(), nullable=False, comment="what was seen, in words"),
        sa.Column(
            "since",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="from when on it may be wrong",
        ),
        sa.Column(
            "raised_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when it was seen",
        ),
        sa.Column(
            "difference",
            sa.BigInteger(),
            nullable=True,
            comment="total of the API less rows here, of a count",
        ),
        sa.Column(
            "accepted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when a person accepted that it stays; NULL while nobody did",
        ),
        sa.Column("accepted_by", sa.Text(), nullable=True, comment="who"),
        sa.Column("accepted_because", sa.Text(), nullable=True, comment="why"),
        sa.CheckConstraint(
            "kind IN ('gap', 'restart', 'unread', 'count', 'late', 'access', 'zone', 'operator')",
            name="doubt_kind_known",
        ),
        sa.PrimaryKeyConstraint("id"),
        schema="sync",
        comment="What may be wrong, since when and why: coverage does not go past it until it was compared",
    )
    op.create_index("doubt_of", "doubt", ["store_id", "resource"], unique=False, schema="sync")
    op.create_table(
        "met",
        sa.Column(
            "window_id",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="sync.window.id",
        ),
        sa.Column(
            "page",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="page of the window",
        ),
        sa.Column("ids", postgresql.ARRAY(sa.BigInteger()), nullable=False, comment="ids on it"),
        sa.PrimaryKeyConstraint("window_id", "page"),
        schema="sync",
        comment="Ids met on the pages of a window that is compared: what it lacks is looked for",
    )
    op.add_column(
        "crawl",
        sa.Column(
            "not_before",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="waits until then, and other crawls go before it; NULL for not",
        ),
        schema="sync",
    )
    op.add_column(
        "crawl",
        sa.Column(
            "rounds",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="rounds in a row that ended without a result",
        ),
        schema="sync",
    )
    op.add_column(
        "crawl",
        sa.Column(
            "fruitless_since",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the first of those rounds ended",
        ),
        schema="sync",
    )
    op.alter_column(
        "crawl",
        "phase",
        existing_type=sa.TEXT(),
        comment="plan, walk, prove, seal or done",
        existing_comment="plan, walk, prove, ids, finish or done",
        existing_nullable=False,
        existing_server_default=sa.text("'plan'::text"),
        schema="sync",
    )
    op.add_column(
        "feed",
        sa.Column(
            "lateness_seconds",
            sa.Float(),
            nullable=True,
            comment="lateness bound learnt from this history; NULL while nothing came later than it",
        ),
        schema="sync",
    )
    op.add_column(
        "feed",
        sa.Column(
            "late_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when it was last learnt, or halved",
        ),
        schema="sync",
    )
    op.add_column(
        "feed",
        sa.Column(
            "crm_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="the CRM's own clock in that answer; NULL where it tells none",
        ),
        schema="sync",
    )
    op.add_column(
        "feed",
        sa.Column(
            "broken_since",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="since when known entries do not come again; NULL when they do",
        ),
        schema="sync",
    )
    op.add_column(
        "feed",
        sa.Column(
            "backward_id",
            sa.BigInteger(),
            nullable=True,
            comment="third reading: last id read; NULL when done",
        ),
        schema="sync",
    )
    op.add_column(
        "feed",
        sa.Column(
            "backward_until_id",
            sa.BigInteger(),
            nullable=True,
            comment="third reading: where it ends",
        ),
        schema="sync",
    )
    op.add_column(
        "feed",
        sa.Column(
            "hour_read_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the last hour's entries were last read a third time",
        ),
        schema="sync",
    )
    op.add_column(
        "feed",
        sa.Column(
            "day_read_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the last day's entries were",
        ),
        schema="sync",
    )
    op.add_column(
        "feed",
        sa.Column(
            "sampled_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when a sample of passed records was last read again",
        ),
        schema="sync",
    )
    op.alter_column(
        "feed",
        "tail_id",
        existing_type=sa.BIGINT(),
        comment="last id of the same chain read again after the lateness bound",
        existing_comment="last id of the same chain read again a minute later",
        existing_nullable=False,
        schema="sync",
    )
    op.alter_column(
        "feed",
        "gap_at",
        existing_type=postgresql.TIMESTAMP(timezone=True),
        comment="no longer written: a gap is a row of sync.doubt",
        existing_comment="when entries were found missing in the chain",
        existing_nullable=True,
        schema="sync",
    )
    op.add_column(
        "reread",
        sa.Column(
            "early_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="read once more, before the last time, from then on; NULL for not",
        ),
        schema="sync",
    )
    op.add_column(
        "reread",
        sa.Column(
            "absent_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="send moment of the request it was first found absent by",
        ),
        schema="sync",
    )
    op.add_column(
        "reread",
        sa.Column(
            "failures",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="requests for it alone, in a row, that failed",
        ),
        schema="sync",
    )
    op.add_column(
        "reread",
        sa.Column(
            "failing_since",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the first of those failed",
        ),
        schema="sync",
    )
    op.add_column(
        "reread",
        sa.Column("error", sa.Text(), nullable=True, comment="the last failure, in words"),
        schema="sync",
    )
    op.alter_column(
        "reread",
        "since",
        existing_type=postgresql.TIMESTAMP(timezone=True),
        comment="what it holds of changes after that may be wrong; coverage is held there",
        existing_comment="up to when the history that asked for it had been read before",
        existing_nullable=True,
        schema="sync",
    )
    op.add_column(
        "store",
        sa.Column(
            "least_lateness_seconds",
            sa.Float(),
            nullable=True,
            comment="shortest lateness bound of its histories; NULL for a minute",
        ),
        schema="sync",
    )
    op.add_column(
        "window",
        sa.Column(
            "deep",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="walked to compare ids and contents with what is here",
        ),
        schema="sync",
    )
    op.add_column(
        "window",
        sa.Column(
            "differed",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="counts in a row that differed",
        ),
        schema="sync",
    )
    op.add_column(
        "window",
        sa.Column(
            "asked_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="send moment of the total of its provisional proof",
        ),
        schema="sync",
    )
    op.add_column(
        "window",
        sa.Column(
            "counted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when its rows were counted for that",
        ),
        schema="sync",
    )
    op.add_column(
        "window",
        sa.Column(
            "crm_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="the CRM's own clock, at or after asked_at",
        ),
        schema="sync",
    )
    op.alter_column(
        "window",
        "state",
        existing_type=sa.TEXT(),
        comment="planned, open, walked, counted (proven, not yet sealed) or proven",
        existing_comment="planned, open, walked or proven",
        existing_nullable=False,
        existing_server_default=sa.text("'planned'::text"),
        schema="sync",
    )
    op.alter_column(
        "window",
        "verified_at",
        existing_type=postgresql.TIMESTAMP(timezone=True),
        comment="as of when its set of records is proven",
        existing_comment="when its set of records was last proven",
        existing_nullable=True,
        schema="sync",
    )

    states("planned", "open", "walked", "counted", "proven")
    op.execute("UPDATE sync.crawl SET phase = 'prove' WHERE phase IN ('ids', 'finish')")
    op.execute(
        "INSERT INTO sync.doubt (store_id, resource, kind, detail, since)"
        " SELECT c.store_id, c.resource, 'gap', 'entries were missing in ' || f.resource,"
        " coalesce(c.proven_as_of, f.gap_at) FROM sync.feed AS f JOIN sync.coverage AS c"
        " ON c.store_id = f.store_id AND c.feed = f.resource AND c.resource <> f.resource"
        " WHERE f.gap_at IS NOT NULL"
    )
    for name in ("claim", "coverage", "known_gaps", "coverage_months"):
        op.execute(view(name))
    for name, (note, columns) in VIEWS.items():
        op.execute(f"COMMENT ON VIEW {name} IS {quoted(note)}")
        for column, about in columns.items():
            op.execute(f'COMMENT ON COLUMN {name}."{column}" IS {quoted(about)}')
    op.execute(f"COMMENT ON COLUMN crm.coverage.complete_as_of IS {quoted(COMPLETE_NOW)}")


def downgrade() -> None:
    op.execute(coverage_of_0011())
    op.execute(f"COMMENT ON COLUMN crm.coverage.complete_as_of IS {quoted(COMPLETE)}")
    for name in (*VIEWS, "sync.claim"):
        op.execute(f"DROP VIEW {name}")
    op.execute("UPDATE sync.window SET state = 'walked' WHERE state = 'counted'")
    op.execute("UPDATE sync.crawl SET phase = 'prove' WHERE phase = 'seal'")
    states("planned", "open", "walked", "proven")
    op.alter_column(
        "window",
        "verified_at",
        existing_type=postgresql.TIMESTAMP(timezone=True),
        comment="when its set of records was last proven",
        existing_comment="as of when its set of records is proven",
        existing_nullable=True,
        schema="sync",
    )
    op.alter_column(
        "window",
        "state",
        existing_type=sa.TEXT(),
        comment="planned, open, walked or proven",
        existing_comment="planned, open, walked, counted (proven, not yet sealed) or proven",
        existing_nullable=False,
        existing_server_default=sa.text("'planned'::text"),
        schema="sync",
    )
    op.drop_column("window", "crm_at", schema="sync")
    op.drop_column("window", "counted_at", schema="sync")
    op.drop_column("window", "asked_at", schema="sync")
    op.drop_column("window", "differed", schema="sync")
    op.drop_column("window", "deep", schema="sync")
    op.drop_column("store", "least_lateness_seconds", schema="sync")
    op.alter_column(
        "reread",
        "since",
        existing_type=postgresql.TIMESTAMP(timezone=True),
        comment="up to when the history that asked for it had been read before",
        existing_comment="what it holds of changes after that may be wrong; coverage is held there",
        existing_nullable=True,
        schema="sync",
    )
    op.drop_column("reread", "error", schema="sync")
    op.drop_column("reread", "failing_since", schema="sync")
    op.drop_column("reread", "failures", schema="sync")
    op.drop_column("reread", "absent_at", schema="sync")
    op.drop_column("reread", "early_at", schema="sync")
    op.alter_column(
        "feed",
        "gap_at",
        existing_type=postgresql.TIMESTAMP(timezone=True),
        comment="when entries were found missing in the chain",
        existing_comment="no longer written: a gap is a row of sync.doubt",
        existing_nullable=True,
        schema="sync",
    )
    op.alter_column(
        "feed",
        "tail_id",
        existing_type=sa.BIGINT(),
        comment="last id of the same chain read again a minute later",
        existing_comment="last id of the same chain read again after the lateness bound",
        existing_nullable=False,
        schema="sync",
    )
    op.drop_column("feed", "sampled_at", schema="sync")
    op.drop_column("feed", "day_read_at", schema="sync")
    op.drop_column("feed", "hour_read_at", schema="sync")
    op.drop_column("feed", "backward_until_id", schema="sync")
    op.drop_column("feed", "backward_id", schema="sync")
    op.drop_column("feed", "broken_since", schema="sync")
    op.drop_column("feed", "crm_at", schema="sync")
    op.drop_column("feed", "late_at", schema="sync")
    op.drop_column("feed", "lateness_seconds", schema="sync")
    op.alter_column(
        "crawl",
        "phase",
        existing_type=sa.TEXT(),
        comment="plan, walk, prove, ids, finish or done",
        existing_comment="plan, walk, prove, seal or done",
        existing_nullable=False,
        existing_server_default=sa.text("'plan'::text"),
        schema="sync",
    )
    op.drop_column("crawl", "fruitless_since", schema="sync")
    op.drop_column("crawl", "rounds", schema="sync")
    op.drop_column("crawl", "not_before", schema="sync")
    op.drop_table("met", schema="sync")
    op.drop_index("doubt_of", table_name="doubt", schema="sync")
    op.drop_table("doubt", schema="sync")
    op.drop_index("departure_told", table_name="departure", schema="sync")
    op.drop_table("departure", schema="sync")
