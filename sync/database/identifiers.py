"""Quoted names of tables, for the statements that are composed from declarations."""


def crm_name(table: str) -> str:
    """Return `crm."orders"` for orders; table names come from declarations, never from input."""
    return f'crm."{table}"'
