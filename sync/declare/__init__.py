"""The words of a declaration.

A resource is one frozen `Resource` in `sync/resources/`. Everything else is derived from it:
tables, comments, requests, parsing, schedule, command names, metric labels, `ops/resources.md`.

words.py     Resource, Field, Child, the kinds of listing and of change detection: read this first
kinds.py     Kind: a column's SQL type with the parser of its values
moments.py   local date-times to instants, and back
personal.py  the list of personal columns, for masking, erasure and the dictionary
"""

from sync.declare.kinds import (
    BOOLEAN,
    CODE,
    DATE,
    DATETIME,
    DATETIME_OFFSET,
    ID,
    INTEGER,
    JSON,
    MAP,
    MINUTE,
    MONEY,
    NUMBER,
    QUANTITY,
    TEXT,
    TIME,
    Kind,
    Reading,
    Rejected,
)
from sync.declare.words import (
    After,
    Bucket,
    Chain,
    Child,
    Cursor,
    Days,
    Field,
    Followed,
    Listing,
    Made,
    Once,
    Pages,
    Parent,
    Refreshed,
    Reread,
    Resource,
    Shape,
    Updated,
)

__all__ = [
    "BOOLEAN",
    "CODE",
    "DATE",
    "DATETIME",
    "DATETIME_OFFSET",
    "ID",
    "INTEGER",
    "JSON",
    "MAP",
    "MINUTE",
    "MONEY",
    "NUMBER",
    "QUANTITY",
    "TEXT",
    "TIME",
    "After",
    "Bucket",
    "Chain",
    "Child",
    "Cursor",
    "Days",
    "Field",
    "Followed",
    "Kind",
    "Listing",
    "Made",
    "Once",
    "Pages",
    "Parent",
    "Reading",
    "Refreshed",
    "Rejected",
    "Reread",
    "Resource",
    "Shape",
    "Updated",
]
