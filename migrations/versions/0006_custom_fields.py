"""Custom fields for analysts: what the views of each store are made of

Revision: 0006, after 0005.
Additive only: nothing an analyst's view may stand on is dropped or retyped.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# A value of a custom field is what a person or another system wrote: each of these gives NULL
# for what is not of its type, and never an error. pg_input_is_valid asks the type's own reader,
# the expressions before it keep out what that would take as well ('today', 'NaN', 'infinity').
FUNCTIONS = {
    "custom_text(value jsonb) RETURNS text": """
        SELECT CASE jsonb_typeof(value) WHEN 'object' THEN NULL WHEN 'array' THEN NULL
            ELSE value #>> '{}' END
    """,
    "custom_texts(value jsonb) RETURNS text[]": """
        SELECT CASE jsonb_typeof(value)
            WHEN 'array' THEN ARRAY(SELECT e.v #>> '{}'
                FROM jsonb_array_elements(value) WITH ORDINALITY AS e(v, n)
                WHERE jsonb_typeof(e.v) NOT IN ('array', 'object', 'null') ORDER BY e.n)
            WHEN 'object' THEN ARRAY(SELECT e.v #>> '{}' FROM jsonb_each(value) AS e(k, v)
                WHERE jsonb_typeof(e.v) NOT IN ('array', 'object', 'null')
                ORDER BY length(e.k), e.k)
            WHEN 'null' THEN NULL
            ELSE CASE WHEN value #>> '{}' = '' THEN '{}'::text[]
                WHEN value IS NOT NULL THEN ARRAY[value #>> '{}'] END
        END
    """,
    "custom_boolean(value jsonb) RETURNS boolean": """
        SELECT CASE WHEN jsonb_typeof(value) IN ('object', 'array') THEN NULL
            ELSE CASE lower(btrim(value #>> '{}'))
                WHEN '1' THEN true WHEN 'true' THEN true WHEN 'yes' THEN true WHEN 'on' THEN true
                WHEN '0' THEN false WHEN 'false' THEN false WHEN 'no' THEN false
                WHEN 'off' THEN false END
        END
    """,
    "custom_numeric(value jsonb) RETURNS numeric": """
        SELECT CASE WHEN t ~ '^[+-]?[0-9.]+([eE][+-]?[0-9]{1,3})?$'
            AND pg_input_is_valid(t, 'numeric') THEN t::numeric END
        FROM (SELECT replace(btrim(crm.custom_text(value)), ',', '.') AS t) AS v
    """,
    "custom_integer(value jsonb) RETURNS bigint": """
        SELECT CASE WHEN n = trunc(n) AND n BETWEEN -9223372036854775808 AND 9223372036854775807
            THEN n::bigint END
        FROM (SELECT crm.custom_numeric(value) AS n) AS v
    """,
    "custom_date(value jsonb) RETURNS date": """
        SELECT CASE WHEN t ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}' AND pg_input_is_valid(left(t, 10), 'date')
            THEN make_date(left(t, 4)::int, substr(t, 6, 2)::int, substr(t, 9, 2)::int) END
        FROM (SELECT btrim(crm.custom_text(value)) AS t) AS v
    """,
    # As the rest of the mirror reads local times: of an hour that comes twice the earlier reading
    # (Postgres alone would take the later one), an hour that never comes moves forward.
    "custom_datetime(value jsonb, zone text) RETURNS timestamptz": """
        SELECT CASE
            WHEN t ~ '([zZ]|[+-][0-9]{2}(:?[0-9]{2})?)$' AND t ~ '[0-9]:[0-9]' THEN
                CASE WHEN pg_input_is_valid(t, 'timestamptz') THEN t::timestamptz END
            WHEN NOT pg_input_is_valid(t, 'timestamp') THEN NULL
            WHEN (t::timestamp AT TIME ZONE zone - interval '1 hour') AT TIME ZONE zone
                = t::timestamp THEN t::timestamp AT TIME ZONE zone - interval '1 hour'
            WHEN (t::timestamp AT TIME ZONE zone - interval '30 minutes') AT TIME ZONE zone
                = t::timestamp THEN t::timestamp AT TIME ZONE zone - interval '30 minutes'
            ELSE t::timestamp AT TIME ZONE zone
        END
        FROM (SELECT btrim(crm.custom_text(value)) AS t) AS v
        WHERE t ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?)?([zZ]|[+-][0-9]{2}(:?[0-9]{2})?)?$'
            AND t !~ '^0000-'
    """,
}


def upgrade() -> None:
    for signature, body in FUNCTIONS.items():
        volatility = "STABLE" if "zone" in signature else "IMMUTABLE"
        op.execute(
            f"CREATE FUNCTION crm.{signature} LANGUAGE sql {volatility} PARALLEL SAFE"
            f" AS $${body}$$".replace(":", r"\:")
        )
        name = signature.partition(" RETURNS")[0]
        types = name.replace("value ", "").replace("zone ", "")
        op.execute(
            f"COMMENT ON FUNCTION crm.{types} IS 'a custom field''s value; NULL where it is none'"
        )
    op.create_table(
        "custom_view",
        sa.Column(
            "store_id",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="sync.store.id",
        ),
        sa.Column("resource", sa.Text(), nullable=False, comment="Resource.name"),
        sa.Column("name", sa.Text(), nullable=False, comment="the view's name in crm"),
        sa.Column("definition", sa.Text(), nullable=False, comment="the statements it was made by"),
        sa.PrimaryKeyConstraint("store_id", "resource"),
        sa.UniqueConstraint("name", name="custom_view_name"),
        schema="sync",
        comment="Views of custom fields, one for each store and kind of record",
    )
    op.create_table(
        "custom_column",
        sa.Column(
            "store_id",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="sync.store.id",
        ),
        sa.Column("resource", sa.Text(), nullable=False, comment="Resource.name"),
        sa.Column(
            "position",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="place in the view: new ones come last",
        ),
        sa.Column("code", sa.Text(), nullable=False, comment="the field's code"),
        sa.Column("type", sa.Text(), nullable=False, comment="the field's type"),
        sa.Column("name", sa.Text(), nullable=False, comment="the column's name"),
        sa.Column("dictionary", sa.Text(), comment="crm.custom_dictionaries.code"),
        sa.Column("label", sa.Text(), nullable=False, comment="the field's name"),
        sa.PrimaryKeyConstraint("store_id", "resource", "position"),
        schema="sync",
        comment="Columns of those views: names once given stay",
    )


def downgrade() -> None:
    op.execute(
        "DO $$ DECLARE v record; BEGIN FOR v IN SELECT name FROM sync.custom_view WHERE definition"
        " <> '' LOOP EXECUTE format('DROP VIEW crm.%I CASCADE', v.name); END LOOP; END $$"
    )
    op.drop_table("custom_column", schema="sync")
    op.drop_table("custom_view", schema="sync")
    for signature in reversed(FUNCTIONS):
        name = signature.partition(" RETURNS")[0]
        op.execute(f"DROP FUNCTION crm.{name.replace('value ', '').replace('zone ', '')}")
