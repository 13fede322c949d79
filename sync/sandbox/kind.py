"""A kind of record: everything that the sandbox must know of it, in one declaration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from sync.sandbox.account import Account
from sync.sandbox.calls import Call
from sync.sandbox.php import Json
from sync.sandbox.records import Record

Answer = Callable[[Call], bytes]
Move = Callable[[Account, Random], object]  # a random mutation, as a person at work would do it
Left = Iterable[tuple[str, Record]]  # records to be filled in, each with its collection
Leaving = Callable[["Seeding", Json, float], Left]  # of a record; a die says whether


@dataclass
class Seeding:
    """An account while it is filled: what is asked for, and who was made so far."""

    account: Account
    rng: Random
    orders: int
    customers: int
    products: int
    persons: list[Json] = field(default_factory=list)  # customers, oldest first
    firms: list[Json] = field(default_factory=list)  # corporate customers
    number: int = 0  # of the record whose leavings are made


@dataclass(frozen=True)
class Kind:
    """One kind of record; methods, scopes, histories, timeline, oracle and churn follow from it."""

    name: str  # its collection and, if it has a history, the name of that
    methods: Mapping[str, Answer] = field(default_factory=dict)  # path below /api/v5/ -> answer
    scope: str | None = None  # what a key needs for them
    subject: str | None = None  # it has a history: the key of the record in an entry
    mutations: tuple[Callable[..., Any], ...] = ()  # what an editor may do: f(account, …)
    churn: Mapping[str, Move] = field(default_factory=dict)  # by the name in the knob churn_mix

    # Seeding: a kind is filled once those in `after` are. All draw from one generator, so that the
    # order of kinds, and of draws inside one, decides what a seed gives.
    after: tuple[str, ...] = ()
    seed: Callable[[Seeding], None] | None = None
    left_by: Mapping[str, Leaving] = field(default_factory=dict)  # "orders" -> what one left behind
    created: Callable[[Seeding, Record, Json], None] | None = None  # tells of each filled record
