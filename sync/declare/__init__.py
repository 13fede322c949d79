"""The words of a declaration.

A resource is one frozen `Resource` in `sync/resources/`. Everything else is derived from it:
tables, comments, requests, parsing, schedule, command names, metric labels, and
`ops/docs/resources.md`.

declarations.py  Resource, Field, Child, ways of listing and of telling changes: read this first
kinds.py         Kind: a column's SQL type with the parser of its values
moments.py       local date-times to instants, and back
personal.py      the list of personal columns, for masking, erasure and the dictionary
"""

from sync.declare.declarations import (
    Child,
    CursorPages,
    DateWindows,
    Field,
    FullRefresh,
    HistoryFeed,
    Incremental,
    Listing,
    OnComplete,
    PageNumbers,
    Parent,
    Reread,
    Resource,
    Shape,
    SinceId,
    SinglePage,
    SurrogateKey,
)
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
    "Child",
    "CursorPages",
    "DateWindows",
    "Field",
    "FullRefresh",
    "HistoryFeed",
    "Incremental",
    "Kind",
    "Listing",
    "OnComplete",
    "PageNumbers",
    "Parent",
    "Reading",
    "Rejected",
    "Reread",
    "Resource",
    "Shape",
    "SinceId",
    "SinglePage",
    "SurrogateKey",
]
