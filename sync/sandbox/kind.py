"""The declaration of a kind of record: everything the sandbox needs to know about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from sync.sandbox.account import Account
from sync.sandbox.calls import Call
from sync.sandbox.php import Json
from sync.sandbox.records import Record
from sync.sandbox.shapes import Write

Answer = Callable[[Call], bytes]
Move = Callable[[Account, Random], object]  # a random mutation, like those of people at work
Left = Iterable[tuple[str, Record]]  # new records, each with the name of its collection
Leaving = Callable[["Seeding", Json, float], Left]  # f(seeding, owner, random number)


@dataclass
class Seeding:
    """The state of seeding an account: what is asked for, and the people made so far."""

    account: Account
    rng: Random
    orders: int
    customers: int
    products: int
    persons: list[Json] = field(default_factory=list)  # customers, oldest first
    firms: list[Json] = field(default_factory=list)  # corporate customers
    number: int = 0  # of the record whose related records are made


@dataclass(frozen=True)
class Kind:
    """One kind of record; methods, scopes, histories, timeline, oracle and churn follow from it."""

    name: str  # its collection and, if it has a history, the history's name
    methods: Mapping[str, Answer] = field(default_factory=dict)  # path below /api/v5/ -> answer
    writes: Mapping[str, Write] = field(default_factory=dict)  # those of POST
    scope: str | None = None  # the scope a key needs for its methods; writes: with _write
    subject: str | None = None  # with a history: the key of the record in an entry
    mutations: tuple[Callable[..., Any], ...] = ()  # all that an editor may do: f(account, …)
    churn: Mapping[str, Move] = field(default_factory=dict)  # by their names in the knob churn_mix

    # Seeding: a kind is filled after those in `after`. All use one random generator, so the order
    # of kinds, and of draws within one, decides what a seed gives.
    after: tuple[str, ...] = ()
    seed: Callable[[Seeding], None] | None = None
    left_by: Mapping[str, Leaving] = field(default_factory=dict)  # by the owner's collection
    created: Callable[[Seeding, Record, Json], None] | None = None  # writes a record's entry
