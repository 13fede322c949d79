"""Resource, Field, Child, the kinds of listing and of change detection. Data, no behaviour."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from sync.declare.kinds import Kind, SqlType


class Shape(Enum):
    """The form of the records under the answer key."""

    LIST = "list"
    MAP = "map"  # an object keyed by code; PHP sends [] when it is empty
    SINGLE = "single"  # one object; with an empty answer key, the answer itself
    SCALARS = "scalars"  # a list of plain values, read by the path ""


class OnComplete(Enum):
    """An action that follows when a resource has been read completely (work/account.py)."""

    ZONE = "zone"  # store the account's zone and currency
    ACCESS = "access"  # compare the key's scopes and sites with the stored ones
    CUSTOM_VIEWS = "custom views"  # create the views of custom fields again


@dataclass(frozen=True, slots=True)
class Field:
    """A typed column, its source and its meaning.

    `path` is dotted, in the API's names. `note` becomes the column's SQL comment, so it is schema.
    The path "" stands for a plain value itself, or for a column that is not filled from the record
    (`Parent.column`, a key from `SurrogateKey`). `is_indexed`: analysts look rows up by it; a text
    that is too long for an index is rejected.
    """

    name: str
    kind: Kind
    path: str
    note: str
    is_indexed: bool = False

    @property
    def read_as(self) -> str:
        """All that the column's values depend on besides the record."""
        rules = f":{self.kind.rules}" if self.kind.rules > 1 else ""
        return f"{self.name}:{self.kind.name}{rules}:{self.path}"


@dataclass(frozen=True, slots=True)
class Child:
    """A list (or map) inside a record that gets a table of its own.

    `key` names the column that identifies a child inside its parent; None numbers the children
    from 1 in the order sent (`ordinal`). In a list of plain values a field has the path "".
    `map_key` is the path by which fields read the key of a map's entry. `keeps_removed`: records
    refer to a child for ever, so one that is gone keeps its row, with `removed_at`.
    """

    name: str
    path: str
    fields: tuple[Field, ...]
    note: str
    key: str | None = None
    map_key: str | None = None
    keeps_removed: bool = False

    def __hash__(self) -> int:
        return hash(self.name)


_CHILD_RULES = 2  # plain texts give no rows of objects, and a lone object is a list of one


@dataclass(frozen=True, slots=True)
class DateWindows:
    """A list with filters by creation day: the filters' names, and the field they compare.

    Both filters take `Y-m-d` in the store's zone and are inclusive.
    """

    first: str
    last: str
    created: str = "createdAt"


@dataclass(frozen=True, slots=True)
class PageNumbers:
    """A list without a filter by creation day; it is read whole, page by page."""


@dataclass(frozen=True, slots=True)
class SinglePage:
    """A list in a single answer, without pagination."""


@dataclass(frozen=True, slots=True)
class SinceId:
    """A history, read in ascending order by `filter[sinceId]`.

    `subject` is the key of the stub inside an entry; the stub names a record of `target`.
    """

    subject: str
    target: str


@dataclass(frozen=True, slots=True)
class CursorPages:
    """A list in chronological order, where each answer has the opaque cursor of the next one.

    `pagination.nextCursor` of an answer is sent as the parameter `cursor`. New records are read by
    continuing from the last cursor. Deletions cannot be noticed.
    """


Listing = DateWindows | PageNumbers | SinglePage | SinceId | CursorPages


@dataclass(frozen=True, slots=True)
class HistoryFeed:
    """Changes come from the history `by` (a resource whose listing is a `SinceId`).

    Entries name records, which are read by id. So the list must take `filter[ids]`, and one record
    must have a method of its own (`single`): its 404 confirms that a record missing from the
    answer is gone. Of a list that ignores `filter[ids]`, each record is requested singly.
    """

    by: str


@dataclass(frozen=True, slots=True)
class FullRefresh:
    """The API does not report changes: the list is read again every `every_seconds`."""

    every_seconds: int


@dataclass(frozen=True, slots=True)
class Incremental(FullRefresh):
    """A filter selects records changed since a moment; the full list is still read, for deletions.

    `since` is the filter's name; it takes `Y-m-d H:i:s` in the store's zone, exclusive. It is
    polled every `poll_seconds`, from `overlap_seconds` before the send moment of the last poll
    that was read completely.
    """

    since: str
    poll_seconds: int
    overlap_seconds: int = 300


@dataclass(frozen=True, slots=True)
class Parent:
    """The resource whose live records the method is requested for, once each.

    `{name}` in the resource's path and parameters is replaced by the column `name` of the parent's
    table; a parent where one of these columns is NULL is skipped. `column` is this resource's
    column with the parent's `by`. It is filled from the request, not from the record.
    """

    resource: str
    column: str
    by: str = "id"


@dataclass(frozen=True, slots=True)
class SurrogateKey:
    """A surrogate key for records without one: the values of `columns`, joined, as text.

    `repeats`: different records may be equal in all `columns`. Then they are counted in the order
    sent, and the key is a hash and the count.
    """

    columns: tuple[str, ...]
    repeats: bool = False


@dataclass(frozen=True, slots=True)
class Reread:
    """Records of another resource that change with this one, without a history entry of their own.

    `path` is the other record's id in this resource's record; for a resource with a `Parent`, the
    parent's id. `after_seconds` is the time the CRM may need until the other record shows the
    change. `when` is a path and values: only records with one of the values are reread; the value
    None stands for a missing value.
    """

    resource: str
    path: str
    after_seconds: int = 5
    when: tuple[str, tuple[str | None, ...]] | None = None


@dataclass(frozen=True)
class Resource:
    """A kind of record that is mirrored.

    name        the table in `crm`, and the resource's name everywhere else
    singular    the first part of the parent's column in child tables: `order` gives `order_id`
    path        the list method
    answer_key  the key of the records in the answer; "" for the answer itself
    single      the method for one record, with `{id}` in it, read with by=id; "" without one
    single_key  the answer key of `single`
    key         the identifying column: "id", "code", or "" for single objects
    made        the surrogate key, for records without a key
    parent      the resource whose records the method is requested for, one by one
    scope       the scope that the API key needs for the method; None when it is not known
    after       an action that follows when the resource has been read completely
    combined    resources with a column that points at a record of this one; they are read again
                when that record is combined into another: (("orders", "customer_id"),)
    """

    name: str
    singular: str
    path: str
    answer_key: str
    listing: Listing
    changes: HistoryFeed | FullRefresh
    fields: tuple[Field, ...]
    note: str
    children: tuple[Child, ...] = ()
    shape: Shape = Shape.LIST
    key: str = "id"
    page_size: int = 100
    single: str = ""
    single_key: str = ""
    scope: str | None = None
    rereads: tuple[Reread, ...] = ()
    combined: tuple[tuple[str, str], ...] = ()
    params: tuple[tuple[str, str | int], ...] = ()
    raw_only: tuple[tuple[str, str], ...] = ()
    optional: bool = False
    parent: Parent | None = None
    made: SurrogateKey | None = None
    after: OnComplete | None = None

    def __hash__(self) -> int:
        # Statements are cached by resource: hashing all fields took longer than some statements.
        return hash(self.name)

    @cached_property
    def version(self) -> str:
        """A hash of the declared columns and children and of the rules by which they are read.

        Part of every `content_hash`.
        """
        parts = [field.read_as for field in self.fields]
        if self.is_history:
            parts.append("in the order of ids")  # sync/rows/doubled_hour.py
        if self.made:
            parts.append(f"<{self.made.columns}:{self.made.repeats}>")
        for child in self.children:
            parts.append(f"[{child.name}:{child.path}:{child.key}:{child.map_key}:{_CHILD_RULES}]")
            parts += [field.read_as for field in child.fields]
        return hashlib.blake2b("\n".join(parts).encode(), digest_size=6).hexdigest()

    @property
    def is_history(self) -> bool:
        """True for a history, whose entries report another resource's changes."""
        return isinstance(self.listing, SinceId)

    @property
    def target(self) -> str:
        """The resource whose changes a history reports; "" for other resources."""
        return self.listing.target if isinstance(self.listing, SinceId) else ""

    @property
    def subject(self) -> str:
        """The member of a history's entry that holds its record; "" for other resources."""
        return self.listing.subject if isinstance(self.listing, SinceId) else ""

    @property
    def history(self) -> str:
        """The history that reports the changes of this resource; "" where there is none."""
        return self.changes.by if isinstance(self.changes, HistoryFeed) else ""

    @property
    def has_site(self) -> bool:
        """True when each record belongs to a site."""
        return any(field.name == "site" for field in self.fields)

    @property
    def key_column(self) -> str | None:
        """The key column, `id` or `code`; None for single objects."""
        return self.key or None

    @property
    def key_sql(self) -> SqlType | None:
        """The key column's SQL type: `bigint` for ids, `text` for codes and surrogate keys."""
        kinds = (field.kind for field in self.fields if field.name == self.key)
        return next((kind.sql for kind in kinds), None)

    @property
    def parent_column(self) -> str | None:
        """The parent's column in a child table: `order_id`, `status_group_code`."""
        return f"{self.singular}_{self.key}" if self.key else None

    @property
    def created_field(self) -> str | None:
        """The path of the creation date by which windows are cut; None for other lists."""
        return self.listing.created if isinstance(self.listing, DateWindows) else None

    @property
    def is_followed(self) -> bool:
        """True when a history reports the changes, so that windows can be proven by counting."""
        return bool(self.history)

    @property
    def tables(self) -> Iterator[str]:
        """The resource's table and its children's, in the order in which they are written."""
        yield self.name
        for child in self.children:
            yield child.name
