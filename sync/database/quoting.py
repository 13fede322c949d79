"""Quoted identifiers and constants, for the statements that take no binds."""


def quoted(name: str) -> str:
    """Return a name as a quoted identifier, `%` doubled for the driver; roles may have any name."""
    return '"' + name.replace('"', '""').replace("%", "%%") + '"'


def literal(text: str) -> str:
    """Return text as a quoted constant."""
    return "'" + text.replace("'", "''") + "'"
