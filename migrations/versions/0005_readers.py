"""Who reads what: readers, the salt, erased persons, earlier contents of orders and customers

Revision: 0005, after 0004.
Additive only: nothing an analyst's view may stand on is dropped or retyped.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# What the tables held when this migration was made: later columns come with their own migrations.
VERSIONED = {"order_versions": "orders", "customer_versions": "customers"}
BOOKKEEPING = (
    "created_on", "listed_at", "combined_to", "raw", "content_hash", "as_of", "first_seen_at",
    "changed_at", "deleted_at", "deleted_reason",
)  # fmt: skip

# A role sees the stores of every reader it is a member of; the owner, superusers and roles that
# bypass row-level security see all; a role nobody was granted anything for sees all as long as
# no reader is limited (its grants were made by hand), and nothing from then on.
VISIBLE = """
CREATE FUNCTION sync.visible_stores(who name) RETURNS bigint[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN r.rolsuper OR r.rolbypassrls OR pg_has_role(who, current_user, 'USAGE')
            THEN (SELECT coalesce(array_agg(id), '{}') FROM sync.store)
        WHEN mine.n = 0 AND NOT (SELECT relrowsecurity FROM pg_class
                                 WHERE oid = 'crm.orders'::regclass)
            THEN (SELECT coalesce(array_agg(id), '{}') FROM sync.store)
        WHEN mine.everything THEN (SELECT coalesce(array_agg(id), '{}') FROM sync.store)
        ELSE coalesce(mine.stores, '{}')
    END
    FROM pg_roles AS r
    CROSS JOIN LATERAL (
        SELECT count(*) AS n, coalesce(bool_or(g.store_ids IS NULL), false) AS everything,
            (SELECT array_agg(DISTINCT s) FROM sync.reader AS h
             JOIN pg_roles AS q ON q.rolname = h.role CROSS JOIN unnest(h.store_ids) AS s
             WHERE pg_has_role(who, q.oid, 'USAGE')) AS stores
        FROM sync.reader AS g JOIN pg_roles AS p ON p.rolname = g.role
        WHERE pg_has_role(who, p.oid, 'USAGE')
    ) AS mine
    WHERE r.rolname = who
$$
"""

# The two views over `sync` run with their owner's rights, so they have to leave out themselves
# what a limited reader may not see. current_user is whoever asks, also inside a view.
LIMIT = """
DO $$
DECLARE viewed record;
BEGIN
    FOR viewed IN SELECT v, rtrim(pg_get_viewdef(v::regclass), ';') AS definition
        FROM unnest(ARRAY['crm.store', 'crm.coverage']) AS v LOOP
        EXECUTE format('CREATE OR REPLACE VIEW %s WITH (security_barrier) AS SELECT a.* FROM (%s)'
            ' AS a WHERE a.store_id = ANY (ARRAY(SELECT unnest(sync.visible_stores('
            'current_user::name))))', viewed.v, viewed.definition);
    END LOOP;
END $$
"""
FREE = """
DO $$
DECLARE viewed record; inner_part text;
BEGIN
    FOR viewed IN SELECT v, pg_get_viewdef(v::regclass) AS definition
        FROM unnest(ARRAY['crm.store', 'crm.coverage']) AS v LOOP
        inner_part := regexp_replace(viewed.definition, '^.*?FROM \\(', '');
        inner_part := regexp_replace(inner_part, '\\) a\\s+WHERE .*$', '');
        EXECUTE format('CREATE OR REPLACE VIEW %s AS %s', viewed.v, inner_part);
    END LOOP;
END $$
"""


def _moment(name: str, comment: str, **options: object) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), comment=comment, **options)


def _store_id(comment: str = "sync.store.id") -> sa.Column[int]:
    return sa.Column(
        "store_id", sa.BigInteger(), autoincrement=False, nullable=False, comment=comment
    )


def upgrade() -> None:
    op.create_table(
        "reader",
        sa.Column("role", sa.Text(), nullable=False, comment="name of the role"),
        sa.Column(
            "store_ids",
            postgresql.ARRAY(sa.BigInteger()),
            comment="stores it may see; NULL for all",
        ),
        sa.Column(
            "masked",
            sa.Boolean(),
            nullable=False,
            server_default=sa.text("false"),
            comment="it reads crm_masked instead of crm",
        ),
        _moment("granted_at", "when", nullable=False, server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("role"),
        schema="sync",
        comment="Database roles that were granted reading, and how far",
    )
    op.create_table(
        "salt",
        sa.Column(
            "one",
            sa.Boolean(),
            nullable=False,
            server_default=sa.text("true"),
            comment="true: there is one",
        ),
        sa.Column("salt", postgresql.BYTEA(), nullable=False, comment="32 random bytes"),
        sa.PrimaryKeyConstraint("one"),
        sa.CheckConstraint("one", name="salt_is_one"),
        schema="sync",
        comment="The secret that hashes are made with; one row, made with the database",
    )
    # gen_random_uuid is Postgres's strong source of randomness: 122 bits in each.
    op.execute(
        "INSERT INTO sync.salt (salt) SELECT sha256(uuid_send(gen_random_uuid())"
        " || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))"
    )
    op.create_table(
        "suppressed",
        _store_id(),
        sa.Column(
            "digest",
            postgresql.BYTEA(),
            nullable=False,
            comment="salted hash of resource and key",
        ),
        sa.Column("resource", sa.Text(), nullable=False, comment="Resource.name"),
        _moment("erased_at", "when", nullable=False, server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("store_id", "digest"),
        schema="sync",
        comment="Erased persons and what is theirs, by salted hash: masked whenever they come"
        " again",
    )
    op.create_table(
        "versioned",
        _store_id(),
        sa.Column("is_on", sa.Boolean(), nullable=False, comment="kept from now on"),
        sa.Column("keep_days", sa.BigInteger(), comment="days after its end; NULL for ever"),
        sa.PrimaryKeyConstraint("store_id"),
        schema="sync",
        comment="Stores that keep earlier contents, and for how long",
    )
    for table, resource in VERSIONED.items():
        op.execute(f"CREATE TABLE crm.{table} (LIKE crm.{resource} INCLUDING COMMENTS)")
        for column in BOOKKEEPING:
            if column != "raw":
                op.execute(f"ALTER TABLE crm.{table} DROP COLUMN {column}")
        op.add_column(
            table,
            _moment("valid_from", "when the mirror began to hold this content", nullable=False),
            schema="crm",
        )
        op.add_column(
            table,
            _moment("valid_to", "when another content or a deletion ended it", nullable=False),
            schema="crm",
        )
        op.execute(f"ALTER TABLE crm.{table} ADD PRIMARY KEY (store_id, id, valid_from)")
        op.create_table_comment(
            table,
            f"Earlier contents of crm.{resource}, kept where a store has switched it on",
            schema="crm",
        )
        op.create_index(f"{table}_ended", table, ["store_id", "valid_to"], schema="crm")
    op.execute(VISIBLE)
    op.execute(LIMIT)


def downgrade() -> None:
    op.execute(FREE)
    op.execute("DROP FUNCTION sync.visible_stores(name)")
    for table in VERSIONED:
        op.drop_table(table, schema="crm")
    for table in ("versioned", "suppressed", "salt", "reader"):
        op.drop_table(table, schema="sync")
