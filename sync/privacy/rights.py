"""Rights of a role as Postgres has them, whoever granted them, for `grant` to report."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from sync.privacy.policies import Reader

# Tables and views of the schema for readers that the reader may not read; of a limited reader's,
# those that its grant leaves out are not asked for.
_UNREAD = (
    "SELECT c.relname, o.rolname FROM pg_class AS c JOIN pg_roles AS o ON o.oid = c.relowner"
    " WHERE c.relnamespace = to_regnamespace(%(schema)s) AND c.relkind IN ('r', 'p', 'v')"
    " AND (%(names)s::text[] IS NULL OR c.relname = ANY(%(names)s))"
    " AND NOT (has_schema_privilege(%(role)s, c.relnamespace, 'USAGE')"
    " AND has_table_privilege(%(role)s, c.oid, 'SELECT')) ORDER BY 1"
)
# A grant is this role's by itself, by PUBLIC, or by a role that it is a member of. The views of
# custom fields are open to PUBLIC, and show nothing that the tables do not.
_STILL = """
SELECT DISTINCT n.nspname, coalesce(g.rolname, 'PUBLIC'), b.rolname
FROM pg_roles AS r
JOIN pg_namespace AS n ON n.nspname IN ('crm', 'crm_masked', 'sync')
    AND has_schema_privilege(r.oid, n.oid, 'USAGE')
JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v')
CROSS JOIN LATERAL aclexplode(c.relacl) AS a
LEFT JOIN pg_roles AS g ON g.oid = a.grantee
LEFT JOIN pg_roles AS b ON b.oid = a.grantor
WHERE r.rolname = %(role)s AND a.privilege_type = 'SELECT'
    AND (a.grantee = 0 OR pg_has_role(r.oid, a.grantee, 'MEMBER'))
    AND NOT (a.grantee = 0 AND c.relkind = 'v' AND 'security_invoker=true' = ANY (c.reloptions))
ORDER BY 1, 2, 3
"""


def unread(
    connection: sa.Connection, reader: Reader, *, schema: str, names: Sequence[str] | None
) -> str:
    """Return, in words, what a reader cannot read of what it was granted; "" when it is nothing."""
    binds = {"schema": schema, "role": reader.role, "names": names and list(names)}
    rows = connection.exec_driver_sql(_UNREAD, binds).all()
    if not rows:
        return ""
    owners = ", ".join(sorted({owner for _, owner in rows}))
    return (
        f"{reader.role} cannot read {len(rows)} of the tables and views of {schema}, such as"
        f" {rows[0][0]}: they belong to {owners}, and only their owner can grant them. Run the"
        " command as that role."
    )


def remaining(connection: sa.Connection, role: str) -> list[str]:
    """Return, in words, what a role may still read after everything that we granted was revoked."""
    told = []
    is_super = "SELECT rolsuper FROM pg_roles WHERE rolname = %s"
    if connection.exec_driver_sql(is_super, (role,)).scalar():
        return [f"{role} is a superuser, and reads everything."]
    for schema, grantee, grantor in connection.exec_driver_sql(_STILL, {"role": role}):
        by = f"which {grantor or 'somebody'} granted"
        if grantee == role:
            told.append(f"{role} still reads tables of {schema}, {by} it: REVOKE as that role.")
        else:
            whose = "everybody (PUBLIC)" if grantee == "PUBLIC" else f"{grantee}, it is a member"
            told.append(f"{role} still reads tables of {schema} as {whose}, {by}.")
    return told
