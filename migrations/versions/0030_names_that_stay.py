"""Removed elements of dictionaries keep their names, and numbers with one comma are not guessed

Revision: 0030, after 0029.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

TABLE = "custom_dictionary_elements"
NOTE = "Values of dictionaries; those removed stay, for the records that hold them"
NOTE_BEFORE = "Values of dictionaries"
REMOVED = "when it was removed; NULL for those in use"
NUMERIC = """
CREATE OR REPLACE FUNCTION crm.custom_numeric(value jsonb) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN length(t) < 10000{but}
        AND t ~ '^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]{{1,3}})?$' THEN t::numeric END
    FROM (SELECT replace(btrim(crm.custom_text(value)), ',', '.') AS t OFFSET 0) AS v
$$
"""
# A comma before three digits may stand for a point or part thousands.
BUT = """
        AND btrim(crm.custom_text(value)) !~ '^[+-]?[1-9][0-9]{0,2},[0-9]{3}$'"""


def upgrade() -> None:
    op.add_column(
        TABLE,
        sa.Column("removed_at", sa.DateTime(timezone=True), comment=REMOVED),
        schema="crm",
    )
    op.execute(f"COMMENT ON TABLE crm.{TABLE} IS '{NOTE}'")
    _run(NUMERIC.format(but=BUT))


def downgrade() -> None:
    _run(NUMERIC.format(but=""))
    op.execute(f"COMMENT ON TABLE crm.{TABLE} IS '{NOTE_BEFORE}'")
    op.drop_column(TABLE, "removed_at", schema="crm")


def _run(sql: str) -> None:
    """Execute SQL as it stands; without parameters % and : are just characters."""
    op.get_bind().exec_driver_sql(sql, execution_options={"no_parameters": True})
