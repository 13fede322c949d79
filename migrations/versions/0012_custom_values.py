"""Custom fields' bad dates and numbers are NULL whatever plan reads them

Postgres works out what it can while it plans: of a value it knows by then it made the date before it
had asked whether it is one. Behind OFFSET 0 nothing is worked out early.

Revision: 0012, after 0011.
Additive only: the functions keep their names, arguments and results.
"""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

NUMERIC = """
    SELECT CASE WHEN t ~ '^[+-]?[0-9.]+([eE][+-]?[0-9]{{1,3}})?$'
        AND pg_input_is_valid(t, 'numeric') THEN t::numeric END
    FROM (SELECT replace(btrim(crm.custom_text(value)), ',', '.') AS t{fence}) AS v
"""
DATE = """
    SELECT CASE WHEN t ~ '^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}' AND pg_input_is_valid(left(t, 10), 'date')
        THEN make_date(left(t, 4)::int, substr(t, 6, 2)::int, substr(t, 9, 2)::int) END
    FROM (SELECT btrim(crm.custom_text(value)) AS t{fence}) AS v
"""


def functions(fence: str) -> None:
    """The two functions, their value kept from the planner by `fence`."""
    for signature, body in (
        ("custom_numeric(value jsonb) RETURNS numeric", NUMERIC),
        ("custom_date(value jsonb) RETURNS date", DATE),
    ):
        op.execute(
            f"CREATE OR REPLACE FUNCTION crm.{signature} LANGUAGE sql IMMUTABLE PARALLEL SAFE"
            f" AS $${body.format(fence=fence)}$$".replace(":", r"\:")
        )


def upgrade() -> None:
    functions(" OFFSET 0")


def downgrade() -> None:
    functions("")
