"""Roles that read: all of `crm`, the rows of some stores, or its masked views; nothing of `sync`.

A row of `sync.reader` says what a reader may see. `settle` makes the database agree with it, after
a grant and after every migration. A reader limited to stores is granted a table only once its
policy exists, so that nothing new is ever open to it by accident. It sees what a release added
after `celery -A sync mirror migrate`; all other readers see it at once, by default privileges.

A masked or limited reader may use what every role it is a member of may use, by inheritance or by
SET ROLE. So each grant checks all readers anew, because the wider of two roles may be granted last.
`settle` logs a warning about what a membership made later lets through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import sqlalchemy as sa
from psycopg.types.json import Jsonb

from sync.database.engine import attempts, reading
from sync.database.patience import Patience, Say, warn
from sync.database.quoting import quoted
from sync.errors import BadRequest, TryLater
from sync.privacy import masked_views, policies, rights, shared
from sync.privacy.masked_views import SCHEMA
from sync.privacy.policies import ONE_AT_A_TIME, Reader
from sync.state import acts
from sync.telemetry import log

# Views over `sync` that themselves leave out what a reader may not see.
_FILTERED = ("store", "store_titles", "coverage", "coverage_months", "known_gaps", "changes")
_OPEN_TO_LIMITED = (
    "SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'crm'::regnamespace AND ("
    "(c.relkind IN ('r', 'p') AND c.relrowsecurity) OR (c.relkind = 'v' AND (c.relname = ANY(%s)"
    " OR 'security_invoker=true' = ANY (c.reloptions)"
    " OR 'security_invoker=on' = ANY (c.reloptions)))) ORDER BY 1"
)
_BY_HAND = (
    "SELECT DISTINCT coalesce(r.rolname, 'PUBLIC') FROM pg_class AS c"
    " CROSS JOIN LATERAL aclexplode(c.relacl) AS a LEFT JOIN pg_roles AS r ON r.oid = a.grantee"
    " WHERE c.relnamespace = 'crm'::regnamespace AND c.relkind IN ('r', 'p')"
    " AND a.privilege_type = 'SELECT' AND a.grantee <> c.relowner"
    " AND coalesce(r.rolname, 'PUBLIC') NOT IN (SELECT role FROM sync.reader)"
    " AND NOT coalesce(r.rolsuper OR r.rolbypassrls, false) ORDER BY 1"
)
# MEMBER, not USAGE: a membership without INHERIT gives nothing until SET ROLE, and one WITH ADMIN
# OPTION alone can grant itself the rest. A role that reads files, or the log of changes, reads
# every table.
_REACHES_MORE = """
SELECT DISTINCT ON (g.role) g.role, m.rolname, why.text
FROM sync.reader AS g
JOIN pg_roles AS r ON r.rolname = g.role
JOIN pg_roles AS m ON pg_has_role(r.oid, m.oid, 'MEMBER')
LEFT JOIN sync.reader AS o ON o.role = m.rolname AND o.role <> g.role
CROSS JOIN LATERAL (SELECT CASE
    WHEN m.rolsuper OR m.rolbypassrls OR m.rolreplication
        THEN 'is a superuser, bypasses row-level security or replicates'
    WHEN m.rolname IN ('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program')
        THEN 'reaches the files of the server'
    WHEN has_schema_privilege(m.oid, 'sync', 'USAGE') THEN 'may use the schema sync'
    WHEN g.masked AND NOT o.masked THEN 'reads crm unmasked'
    WHEN g.store_ids IS NOT NULL AND o.role IS NOT NULL
        AND (o.store_ids IS NULL OR NOT o.store_ids <@ g.store_ids) THEN 'reads other stores'
    WHEN g.masked AND has_schema_privilege(m.oid, 'crm', 'USAGE') THEN 'may use the schema crm'
    WHEN g.store_ids IS NOT NULL AND o.role IS NULL AND m.oid <> r.oid AND EXISTS (
        SELECT FROM pg_namespace AS n CROSS JOIN LATERAL aclexplode(n.nspacl) AS a
        WHERE n.nspname = %s AND a.grantee = m.oid) THEN 'may use the schema crm_masked'
    END) AS why(text)
WHERE (g.masked OR g.store_ids IS NOT NULL) AND why.text IS NOT NULL
ORDER BY g.role, m.oid = r.oid, o.role IS NULL, m.rolname
"""

# Of a role's settings in words, those that are limits; 0 is none, and a bare number milliseconds.
_KEEP_LIMITS = r"""
UPDATE sync.reader SET (statement_ms, idle_ms) = (
    SELECT max(l.ms) FILTER (WHERE l.name = 'statement_timeout'),
        max(l.ms) FILTER (WHERE l.name = 'idle_in_transaction_session_timeout')
    FROM (SELECT s.key, nullif(extract(epoch FROM regexp_replace(s.value, '([0-9])$', '\1ms')
            ::interval) * 1000, 0)::bigint
        FROM jsonb_each_text(%s) AS s WHERE s.value ~ '^[0-9]+(ms|s|min|h|d)?$') AS l(name, ms))
WHERE role = %s
"""


def grant(
    engine: sa.Engine,
    role: str,
    *,
    store_ids: Sequence[int] | None,
    is_masked: bool,
    say: Say = warn,
) -> None:
    """Let a role read, and nothing else; what it was granted before is revoked first."""
    reader = Reader(role, None if store_ids is None else tuple(sorted(store_ids)), is_masked)
    for attempt in attempts(engine):
        with attempt as connection:
            _check(connection, reader)
            # Of two grants at once neither would see the other.
            connection.exec_driver_sql(ONE_AT_A_TIME)
            _take_back(connection, role)
            connection.execute(
                sa.text(
                    "INSERT INTO sync.reader (role, store_ids, masked)"
                    " VALUES (:role, :stores, :masked)"
                    " ON CONFLICT (role) DO UPDATE SET store_ids = excluded.store_ids,"
                    " masked = excluded.masked, granted_at = now()"
                ),
                {
                    "role": role,
                    "stores": None if reader.store_ids is None else list(reader.store_ids),
                    "masked": is_masked,
                },
            )
            for more in reaching_more(connection):
                raise BadRequest(f"{role} was not granted. {more}")
            acts.note(connection, "grant", detail=_told(reader))
    try:
        settle(engine, say=say)
    except TryLater as error:
        with reading(engine) as connection:
            raise TryLater(f"{error}. {_left(connection, role)}") from error


def _told(reader: Reader) -> str:
    which = "" if reader.store_ids is None else f", stores {', '.join(map(str, reader.store_ids))}"
    return f"{reader.role}{', masked' if reader.masked else ''}{which}"


def _left(connection: sa.Connection, role: str) -> str:
    """Return how far a grant came, and that it goes on from there."""
    tables = policies.left(connection)
    named = ", ".join(tables[:5]) + (" and others" if len(tables) > 5 else "")
    without = f"; without theirs: {named}" if tables else ""
    return (
        f"What was done stays{without}. Until all is done {role} may read nothing. Give the same"
        " command again: it goes on from here"
    )


def revoke(engine: sa.Engine, role: str) -> bool:
    """Revoke everything that a role was granted here; return False when that was nothing."""
    for attempt in attempts(engine):
        with attempt as connection:
            there = connection.exec_driver_sql(
                "SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)
            ).scalar()
            if there:
                _take_back(connection, role)
            gone = connection.execute(
                sa.text("DELETE FROM sync.reader WHERE role = :role"), {"role": role}
            ).rowcount
            if gone:
                acts.note(connection, "revoke", detail=role)
    settle(engine)
    return gone > 0


def keep_limits(connection: sa.Connection, role: str, settings: Mapping[str, str]) -> None:
    """Note a reader's limits of time, by Postgres's names for them, where it cannot alter them."""
    connection.exec_driver_sql(_KEEP_LIMITS, (Jsonb(dict(settings)), role))


def settle(engine: sa.Engine, *, say: Say = warn) -> None:
    """Make policies, masked views and grants what `sync.reader` asks for; idempotent.

    Nobody who reads is held up for longer than a short try at a lock; `say` is told of waits. A
    reader that reaches more is logged, not refused, so that no upgrade waits for a membership.
    """
    run = Patience(engine, say=say)
    with reading(engine) as connection:
        wanted = policies.readers(connection)
        are_there = connection.exec_driver_sql(
            "SELECT to_regnamespace(%s) IS NOT NULL", (SCHEMA,)
        ).scalar_one()
    policies.settle(run)
    if are_there or any(reader.masked for reader in wanted):
        masked_views.build(run)
    run.run(partial(_give, wanted=wanted), what="the grants of readers")
    if wanted and (told := shared.close(engine, readers=[reader.role for reader in wanted])):
        say(told)
    with reading(engine) as connection:
        reaching = reaching_more(connection)
    for more in reaching:
        log().warning(more)


def reaching_more(connection: sa.Connection) -> list[str]:
    """Return a sentence for each masked or limited reader that reaches more than it was granted."""
    told = []
    for role, other, why in connection.exec_driver_sql(_REACHES_MORE, (SCHEMA,)):
        if other == role:
            told.append(
                f"{role} {why}, by itself or by a grant to PUBLIC: it cannot be held to what it was"
                " granted. Take that right away."
            )
        else:
            told.append(
                f"{role} is a member of {other}, which {why}: it cannot be held to what it was"
                " granted. Revoke that membership, or the one it comes by: "
                f"REVOKE {quoted(other)} FROM {quoted(role)}"
            )
    return told


def _give(connection: sa.Connection, wanted: Sequence[Reader]) -> None:
    # One at a time: two that grant at once fail with "tuple concurrently updated".
    connection.exec_driver_sql(ONE_AT_A_TIME)
    open_to_limited = connection.exec_driver_sql(_OPEN_TO_LIMITED, (list(_FILTERED),)).scalars()
    names = ", ".join(f"crm.{quoted(name)}" for name in open_to_limited)
    for reader in wanted:
        role = quoted(reader.role)
        schema = SCHEMA if reader.masked else "crm"
        connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
        if reader.is_limited:
            connection.exec_driver_sql(f"GRANT SELECT ON {names} TO {role}")
        else:
            connection.exec_driver_sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}")
            connection.exec_driver_sql(
                f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO {role}"
            )


def _take_back(connection: sa.Connection, role: str) -> None:
    for schema in ("crm", SCHEMA):
        there = connection.exec_driver_sql(
            "SELECT 1 FROM pg_namespace WHERE nspname = %s", (schema,)
        ).scalar()
        if there:
            for what in (
                f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM",
                f"REVOKE ALL ON SCHEMA {schema} FROM",
                f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} REVOKE ALL ON TABLES FROM",
            ):
                connection.exec_driver_sql(f"{what} {quoted(role)}")


def _check(connection: sa.Connection, reader: Reader) -> None:
    """Raise BadRequest for a role that does not exist, or cannot be held to what it is granted."""
    found = connection.exec_driver_sql(
        "SELECT rolsuper OR rolbypassrls, rolname = current_user"
        " OR (pg_has_role(oid, current_user, 'MEMBER') AND NOT rolsuper)"
        " FROM pg_roles WHERE rolname = %s",
        (reader.role,),
    ).one_or_none()
    if found is None:
        raise BadRequest(
            f"Postgres has no role {reader.role!r}. Make it first: "
            f"CREATE ROLE {quoted(reader.role)} LOGIN PASSWORD '…'"
        )
    unbounded, is_ours = found
    if is_ours:
        raise BadRequest(f"{reader.role} is the mirror's own role, or a member of it.")
    if unbounded and (reader.masked or reader.store_ids is not None):
        raise BadRequest(
            f"{reader.role} is a superuser or bypasses row-level security: nothing can be kept "
            "from it. Grant an ordinary role."
        )
    if reader.is_limited:
        by_hand = [
            role for role in connection.exec_driver_sql(_BY_HAND).scalars() if role != reader.role
        ]
        if by_hand:
            raise BadRequest(
                f"{', '.join(by_hand)} may read crm by a GRANT made by hand, and would see no row "
                "any more once a reader is limited to a store. Grant it here first: celery -A sync"
                f" mirror grant {by_hand[0]}"
            )


def unread(engine: sa.Engine, role: str) -> str:
    """Return, in words, what a reader cannot read although it was granted; "" when nothing."""
    with reading(engine) as connection:
        for reader in policies.readers(connection):
            if reader.role == role:
                found = connection.exec_driver_sql(_OPEN_TO_LIMITED, (list(_FILTERED),)).scalars()
                return rights.unread(
                    connection,
                    reader,
                    schema=SCHEMA if reader.masked else "crm",
                    names=found.all() if reader.is_limited else None,
                )
    return f"{role} is no role of this server any more."


def remaining(engine: sa.Engine, role: str) -> list[str]:
    """Return, in sentences, what a role may still read by others' grants."""
    with reading(engine) as connection:
        return rights.remaining(connection, role)
