"""Functions of Postgres that every role may call, and by which one of them stops all others.

A session may take locks by number until the table of locks is full: from then on nobody's statement
gets one, and a load or a migration fails. Large objects and messages in the log fill the disk, and
no limit of a role counts them. The mirror uses none of the three. They belong to a superuser; what
our role may not close is told with the statement that closes it. Other applications in the same
database may use them: where there are any, nothing is closed.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.exc import ProgrammingError

from sync.database.engine import reading, writing

_NAMES = (
    "^(pg_(try_)?advisory_(xact_)?lock|lo_(creat|from_bytea|put)|lowrite|pg_logical_emit_message)"
)
_EACH = (
    "DO $$ DECLARE f regprocedure; BEGIN FOR f IN SELECT oid FROM pg_proc"
    f" WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ '{_NAMES}'"
    " LOOP EXECUTE format('{}', f); END LOOP; END $$"
)
CLOSE = _EACH.replace("{}", "REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC")
# To one role, and not to PUBLIC, from which the next migration would take them again.
OPEN = _EACH.replace("{}", "GRANT EXECUTE ON FUNCTION %s TO ROLE")
_OPEN = f"""
SELECT EXISTS (SELECT FROM pg_proc AS p
    CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
    WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname ~ '{_NAMES}' AND a.grantee = 0)
"""
# Schemas of logins that are neither ours, nor a reader's, nor a superuser's.
_OTHERS = """
SELECT n.nspname, r.rolname FROM pg_namespace AS n JOIN pg_roles AS r ON r.oid = n.nspowner
WHERE r.rolcanlogin AND NOT r.rolsuper AND n.nspname !~ '^pg_'
    AND r.rolname <> ALL (%s::text[])
    AND r.oid NOT IN (SELECT o.nspowner FROM pg_namespace AS o WHERE o.nspname IN ('crm', 'sync'))
    AND r.rolname <> current_user
ORDER BY 1
"""


def close(engine: sa.Engine, *, readers: Iterable[str] = ()) -> str:
    """Take them from everybody in this database; return what is to be said, "" where nothing is.

    What a reader owns is taken for its work on the mirror, and not for an application.
    """
    with reading(engine) as connection:
        if not connection.exec_driver_sql(_OPEN).scalar_one():
            return ""
        others = connection.exec_driver_sql(_OTHERS, (list(readers),)).all()
    if others:
        named = ", ".join(f"{schema} (of {owner})" for schema, owner in others)
        return (
            f"Other applications are in this database: {named}. So every role that may connect"
            " keeps the functions by which it can take all locks there are, and fill the disk with"
            f" large objects. If none of them uses these, let a superuser run: {CLOSE};"
        )
    try:
        with writing(engine) as connection:
            connection.exec_driver_sql(CLOSE, execution_options={"no_parameters": True})
    except ProgrammingError:
        pass
    with reading(engine) as connection:
        if not connection.exec_driver_sql(_OPEN).scalar_one():
            return (
                "Advisory locks, large objects and messages in the log were closed to all roles of"
                " this database but superusers: one of them could stop all others. If another"
                " application here needs them, let a superuser run, with the name of its role for"
                f" ROLE: {OPEN};"
            )
    return (
        "Every role that may connect can take all locks there are, and fill the disk with large"
        f" objects. Let a superuser run, in this database: {CLOSE};"
    )
