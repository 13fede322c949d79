"""Quoted identifiers, for the statements that take no binds."""


def quoted(name: str) -> str:
    """A name as Postgres reads it back; % doubled for the driver. Roles may be called anything."""
    return '"' + name.replace('"', '""').replace("%", "%%") + '"'


def literal(text: str) -> str:
    """Text as a constant."""
    return "'" + text.replace("'", "''") + "'"
