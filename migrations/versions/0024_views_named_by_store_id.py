"""Views of custom fields are named by their store's id

Revision: 0024, after 0023.
They are renamed, so that views which stand on them go on; queries by the old name have to change.
Whoever may connect reads the names of views, and those of stores belong to their readers alone.
"""

from __future__ import annotations

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

# In two steps: a store may be named like another one's id.
RENAME = """
DO $$
DECLARE
    item record;
    turn text;
BEGIN
    FOREACH turn IN ARRAY ARRAY['~', ''] LOOP
        FOR item IN SELECT store_id, resource, name FROM sync.custom_view ORDER BY 1, 2 LOOP
            IF to_regclass(format('crm.%I', item.name)) IS NOT NULL THEN
                EXECUTE format('ALTER VIEW crm.%I RENAME TO %I', item.name,
                    turn || item.resource || '_custom_' || item.store_id);
            END IF;
            UPDATE sync.custom_view SET name = turn || item.resource || '_custom_' || item.store_id
                WHERE store_id = item.store_id AND resource = item.resource;
        END LOOP;
    END LOOP;
    UPDATE sync.custom_view SET definition = '';
END $$
"""


def upgrade() -> None:
    op.execute(RENAME)


def downgrade() -> None:
    """Leave the names: an earlier release keeps whatever name `sync.custom_view` has."""
