"""The limits of time that a reader was granted, which it cannot alter for itself

Revision: 0031, after 0030.
Additive only.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

COLUMNS = {
    "statement_ms": "milliseconds that a statement of it may take; NULL for no limit",
    "idle_ms": "milliseconds that its transaction may be idle; NULL for no limit",
}
# What readers have by now; from here on `grant` notes it (sync/privacy/limits.py).
FILL = r"""
UPDATE sync.reader AS g SET (statement_ms, idle_ms) = (
    SELECT max(l.ms) FILTER (WHERE l.name = 'statement_timeout'),
        max(l.ms) FILTER (WHERE l.name = 'idle_in_transaction_session_timeout')
    FROM (SELECT split_part(s.text, '=', 1),
            nullif(extract(epoch FROM regexp_replace(split_part(s.text, '=', 2), '([0-9])$', '\1ms')
                ::interval) * 1000, 0)::bigint
        FROM pg_roles AS r JOIN pg_db_role_setting AS d ON d.setrole = r.oid
        JOIN pg_database AS b ON b.oid = d.setdatabase AND b.datname = current_database()
        CROSS JOIN LATERAL unnest(d.setconfig) AS s(text)
        WHERE r.rolname = g.role
            AND s.text ~ '^(statement|idle_in_transaction_session)_timeout=[0-9]+(ms|s|min|h|d)?$'
    ) AS l(name, ms))
"""


def upgrade() -> None:
    for name, note in COLUMNS.items():
        op.add_column("reader", sa.Column(name, sa.BigInteger, comment=note), schema="sync")
    op.execute(FILL)


def downgrade() -> None:
    for name in COLUMNS:
        op.drop_column("reader", name, schema="sync")
