"""Resource, Field, Child and the ways a resource is listed and followed. Data, no behaviour."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from sync.declare.kinds import Kind, SqlType


class Shape(Enum):
    """How the records stand under the answer key."""

    LIST = "list"
    MAP = "map"  # an object keyed by code; PHP sends [] when it is empty
    SINGLE = "single"  # one object; with an empty answer key, the answer itself
    SCALARS = "scalars"  # a list of plain values, read by the path ""


class Bucket(Enum):
    """Which request limit of an address a method counts against: 40 a second for `/telephony/*`,
    10 for everything else."""

    DEFAULT = "default"
    TELEPHONY = "telephony"


class After(Enum):
    """What follows from a resource once it was read to its end (pipeline/account.py)."""

    ZONE = "zone"  # the store's zone and currency are taken over
    ACCESS = "access"  # what the key may see is compared
    CUSTOM_VIEWS = "custom views"  # the views of custom fields are made anew


@dataclass(frozen=True, slots=True)
class Field:
    """A typed column: where it comes from and what it means.

    `path` is dotted, in the API's names; `note` becomes the column's SQL comment, so it is schema.
    The path "" is no place in an object: a plain value itself, or a column that is filled from
    elsewhere (`Parent.column`, a made key).
    """

    name: str
    kind: Kind
    path: str
    note: str


@dataclass(frozen=True, slots=True)
class Child:
    """A list (or map) inside a record that gets a table of its own.

    `key` names the column that identifies a child inside its parent; None numbers the children
    from 1 in the order sent (`ordinal`). `of_scalars`: the list holds plain values, which are read
    by the path "". `map_key` is the path under which a map's own key is offered to the fields.
    """

    name: str
    path: str
    fields: tuple[Field, ...]
    note: str
    key: str | None = None
    map_key: str | None = None

    def __hash__(self) -> int:
        return hash(self.name)


@dataclass(frozen=True, slots=True)
class Days:
    """A list that can be cut by creation day: the filters' names, and the field they look at.

    Both filters take `Y-m-d` in the store's zone and include both ends.
    """

    first: str
    last: str
    created: str = "createdAt"


@dataclass(frozen=True, slots=True)
class Pages:
    """A list without a filter by creation day: read whole, page by page."""


@dataclass(frozen=True, slots=True)
class Once:
    """An answer that is not paged."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A history: chained by `filter[sinceId]`, ascending.

    `subject` is the key of the stub inside an entry, `target` the resource whose records it names.
    """

    subject: str
    target: str


@dataclass(frozen=True, slots=True)
class Cursor:
    """A list in the order of time, where each answer names the next one's opaque cursor.

    The answer's `pagination.nextCursor` is sent back as the parameter `cursor`. The last cursor
    resumes the list, so what is new is read by going on from it; nothing tells of deletions.
    """


Listing = Days | Pages | Once | Chain | Cursor


@dataclass(frozen=True, slots=True)
class Followed:
    """Changes are known from a history (a resource whose listing is a `Chain`)."""

    by: str


@dataclass(frozen=True, slots=True)
class Refreshed:
    """Nothing tells of changes: the list is read again every so many seconds."""

    every_seconds: int


@dataclass(frozen=True, slots=True)
class Updated(Refreshed):
    """A filter tells what changed since; the list is read again all the same, for deletions.

    `since` is the filter's name: `Y-m-d H:i:s` in the store's zone, the bound itself left out.
    It is asked every `poll_seconds`, from `overlap_seconds` before the send moment of the last
    poll that was read to its end.
    """

    since: str
    poll_seconds: int
    overlap_seconds: int = 300


@dataclass(frozen=True, slots=True)
class Parent:
    """The method is asked once for every live record of another resource.

    `{name}` in the resource's path and parameters is the column `name` of the parent's table;
    a parent where one of them is NULL has nothing to ask for. `column` is this resource's column
    that keeps the parent's `by`: filled from the request, whatever the record says.
    """

    resource: str
    column: str
    by: str = "id"


@dataclass(frozen=True, slots=True)
class Made:
    """A key for records that have none: the values of `columns`, joined, as text.

    `repeats`: records equal in all of them may be different ones, so they are counted in the
    order sent; the key is then a hash and the count.
    """

    columns: tuple[str, ...]
    repeats: bool = False


@dataclass(frozen=True, slots=True)
class Reread:
    """Another resource's records that change together with this one, without an entry of theirs.

    `path`: where this resource's record names the other's id. `after_seconds`: how long the CRM
    may need until the other record shows the change. `when`: only where the record has
    one of these values at this path, None standing for none. Of a resource with a `Parent`, the id
    is the parent's.
    """

    resource: str
    path: str
    after_seconds: int = 5
    when: tuple[str, tuple[str | None, ...]] | None = None


@dataclass(frozen=True)
class Resource:
    """A kind of record that is mirrored.

    name        the table's name in `crm`, and its name everywhere else
    singular    names the parent's column in child tables: `order` gives `order_id`
    path        the list method
    answer_key  where the records stand in the answer; "" for the answer itself
    single      the method for one record (`{id}` in it), read with by=id; "" where there is none
    single_key  the answer key of `single`
    key         the identifying column: "id", "code", or "" for single objects
    made        how the key is made where records have none
    parent      the resource whose records the method is asked for, one by one
    scope       the API key's scope the method needs, None where it is not established
    after       what else is done when it was read to its end
    combined    resources whose records point at one of ours by this column, and are read again
                when ours is combined into another: (("orders", "customer_id"),)
    """

    name: str
    singular: str
    path: str
    answer_key: str
    listing: Listing
    changes: Followed | Refreshed
    fields: tuple[Field, ...]
    note: str
    children: tuple[Child, ...] = ()
    shape: Shape = Shape.LIST
    key: str = "id"
    page_size: int = 100
    single: str = ""
    single_key: str = ""
    scope: str | None = None
    bucket: Bucket = Bucket.DEFAULT
    rereads: tuple[Reread, ...] = ()
    combined: tuple[tuple[str, str], ...] = ()
    params: tuple[tuple[str, str | int], ...] = ()
    raw_only: tuple[tuple[str, str], ...] = ()
    optional: bool = False
    parent: Parent | None = None
    made: Made | None = None
    after: After | None = None

    def __hash__(self) -> int:
        # Statements are kept by resource: hashing all its fields took longer than some of them.
        return hash(self.name)

    @cached_property
    def version(self) -> str:
        """What the typed columns and children are made from; part of every `content_hash`."""
        parts = [f"{f.name}:{f.kind.name}:{f.path}" for f in self.fields]
        if self.made:
            parts.append(f"<{self.made.columns}:{self.made.repeats}>")
        for child in self.children:
            parts.append(f"[{child.name}:{child.path}:{child.key}:{child.map_key}]")
            parts += [f"{f.name}:{f.kind.name}:{f.path}" for f in child.fields]
        return hashlib.blake2b("\n".join(parts).encode(), digest_size=6).hexdigest()

    @property
    def is_history(self) -> bool:
        """Whether this is a history, whose entries tell of another resource's changes."""
        return isinstance(self.listing, Chain)

    @property
    def key_column(self) -> str | None:
        """`id`, `code`, or None for single objects."""
        return self.key or None

    @property
    def key_sql(self) -> SqlType | None:
        """The key column's SQL type: ids are `bigint`, codes and made keys `text`."""
        kinds = (field.kind for field in self.fields if field.name == self.key)
        return next((kind.sql for kind in kinds), None)

    @property
    def parent_column(self) -> str | None:
        """How a child table names its parent: `order_id`, `status_group_code`."""
        return f"{self.singular}_{self.key}" if self.key else None

    @property
    def created_field(self) -> str | None:
        """The path of the creation date the windows are cut by, None for other lists."""
        return self.listing.created if isinstance(self.listing, Days) else None

    @property
    def is_followed(self) -> bool:
        """Whether a history tells of its changes, so that its windows can be proven by counting."""
        return isinstance(self.changes, Followed)

    @property
    def tables(self) -> Iterator[str]:
        """Its own table and its children's, in the order they are written."""
        yield self.name
        for child in self.children:
            yield child.name
