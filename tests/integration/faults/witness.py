"""Snapshots of a mirror, each of one moment, and their judgement.

A snapshot is one REPEATABLE READ transaction: coverage, live rows, children and customers' totals
as of one moment. Of rows that a former snapshot has seen, told by where the tuple stands and who
wrote it, the content is not read again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson

from tests.integration.faults.claims import (
    CHILDREN,
    MIRRORED,
    Moment,
    State,
    Timeline,
    Wrong,
    judge_entries,
    judge_records,
)
from tests.integration.faults.rig import Rig
from tests.integration.faults.truth import FOLLOWED, HISTORIES, Connection


@dataclass(frozen=True, slots=True)
class Child:
    """A child list: its table, the parent's column, its key, where it is in `raw`, and what of it
    is compared: column and name as sent."""

    table: str
    parent: str
    key: str
    path: str
    compared: tuple[tuple[str, str], ...]


CHILDREN_OF = {
    "orders": (
        Child(
            "order_items", "order_id", "id", "items",
            (("quantity", "quantity"), ("status", "status")),
        ),
        Child(
            "order_payments", "order_id", "id", "payments",
            (("amount", "amount"), ("status", "status")),
        ),
    ),
    "customers": (
        Child("customer_phones", "customer_id", "ordinal", "phones", (("number", "number"),)),
        Child("customer_segments", "customer_id", "id", "segments", (("code", "code"),)),
    ),
}  # fmt: skip


@dataclass(slots=True)
class Row:
    """A live row, as long as its tuple is the same."""

    tuple_id: str
    state: State
    children: dict[str, dict[int, tuple[Any, ...]]]


@dataclass
class Snapshot:
    """What coverage claimed and what was there, at one moment."""

    at: float
    claims: dict[str, tuple[float | None, int]] = field(default_factory=dict)
    rows: dict[str, dict[int, State]] = field(default_factory=dict)
    wrong: list[Wrong] = field(default_factory=list)


class Witness:
    """Takes snapshots of one store and judges them."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.timelines = {name: Timeline() for name in FOLLOWED}
        self.entries: dict[str, dict[int, Moment]] = {name: {} for name in HISTORIES}
        self.first_entry: dict[str, int] = {}
        self._rows: dict[str, dict[int, Row]] = {name: {} for name in FOLLOWED}
        self._here: dict[str, dict[int, tuple[str, str]]] = {name: {} for name in HISTORIES}

    def look(self) -> Snapshot:
        """A snapshot, judged by what was true up to its moment."""
        with self.rig.connect() as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            taken = self._take(connection)
        self._learn(taken)
        for name, (claimed, _) in taken.claims.items():
            if claimed is None:
                continue
            if name in FOLLOWED:
                taken.wrong += self._judge(taken, name, claimed)
            else:
                here = {key: text for key, (_, text) in self._here[name].items()}
                taken.wrong += judge_entries(name, self.entries[name], here, complete_as_of=claimed)
        return taken

    def differences(self, taken: Snapshot) -> list[Wrong]:
        """What the mirror lacks or has wrong at the snapshot's moment, whatever it claims."""
        found: list[Wrong] = []
        for name in FOLLOWED:
            if name in taken.rows:
                found += judge_records(
                    name, self.timelines[name], taken.rows[name],
                    complete_as_of=taken.at, seen_at=taken.at,
                )  # fmt: skip
        return found

    def restored(self) -> None:
        """The account was restored: its entries are others, under ids that are known."""
        for entries in self.entries.values():
            entries.clear()

    # --- the mirror

    def _take(self, connection: Connection) -> Snapshot:
        claims = connection.execute(
            "SELECT extract(epoch FROM clock_timestamp()), resource,"
            " extract(epoch FROM complete_as_of), mirrored FROM crm.coverage"
            " WHERE store_id = %s AND state <> 'disabled' AND resource = ANY(%s)",
            [self.rig.store_id, [*FOLLOWED, *HISTORIES]],
        ).fetchall()
        taken = Snapshot(float(claims[0][0]))
        for _, name, claimed, mirrored in claims:
            taken.claims[name] = (None if claimed is None else float(claimed), mirrored)
            if name in FOLLOWED:
                self._read_rows(connection, taken, name)
            else:
                self._read_entries(connection, name)
        return taken

    def _read_rows(self, connection: Connection, taken: Snapshot, name: str) -> None:
        store, known = self.rig.store_id, self._rows[name]
        places = connection.execute(
            f"SELECT id, ctid::text || '/' || xmin::text FROM crm.{name}"
            " WHERE store_id = %s AND deleted_at IS NULL",
            [store],
        ).fetchall()
        new = [key for key, place in places if key not in known or known[key].tuple_id != place]
        texts = connection.execute(
            f"SELECT id, ctid::text || '/' || xmin::text, raw::text FROM crm.{name}"
            " WHERE store_id = %s AND id = ANY(%s)",
            [store, new],
        )
        for key, place, text in texts:
            raw = orjson.loads(text)
            children = {c.table: _sent(c, raw) for c in CHILDREN_OF.get(name, ())}
            known[key] = Row(place, State.of(raw), children)
        taken.rows[name] = {key: known[key].state for key, _ in places}
        if taken.claims[name][0] is None:
            return
        for child in CHILDREN_OF.get(name, ()):
            held = self._read_children(connection, child)
            for key, _ in places:
                if held.pop(key, {}) != known[key].children[child.table]:
                    taken.wrong.append(Wrong(CHILDREN, name, key, child.table))
            taken.wrong += [Wrong(CHILDREN, name, key, f"{child.table} of none") for key in held]

    def _read_children(
        self, connection: Connection, child: Child
    ) -> dict[int, dict[int, tuple[Any, ...]]]:
        columns = ", ".join(column for column, _ in child.compared)
        rows = connection.execute(
            f"SELECT {child.parent}, {child.key}, {columns} FROM crm.{child.table}"
            " WHERE store_id = %s",
            [self.rig.store_id],
        )
        found: dict[int, dict[int, tuple[Any, ...]]] = {}
        for parent, key, *values in rows:
            found.setdefault(parent, {})[key] = tuple(_value(v) for v in values)
        return found

    def _read_entries(self, connection: Connection, name: str) -> None:
        store, known = self.rig.store_id, self._here[name]
        written = connection.execute(
            f"SELECT id, xmin::text FROM crm.{name} WHERE store_id = %s", [store]
        ).fetchall()
        here = {key: known[key] for key, writer in written if known.get(key, ("",))[0] == writer}
        new = [key for key, _ in written if key not in here]
        texts = connection.execute(
            f"SELECT id, xmin::text, raw ->> 'createdAt' FROM crm.{name}"
            " WHERE store_id = %s AND id = ANY(%s)",
            [store, new],
        )
        self._here[name] = here | {key: (writer, text) for key, writer, text in texts}

    # --- the truth

    def _learn(self, taken: Snapshot) -> None:
        """All that was true up to the snapshot: asked for after it was taken."""
        stage, account = self.rig.stage, self.rig.account
        for name in taken.claims:
            if name in FOLLOWED:
                line = self.timelines[name]
                path = f"/oracle/{account}/{FOLLOWED[name]}/timeline"
                line.learn(self.lines(stage.http.get(path, params={"since": line.told})))
            else:
                known = self.entries[name]
                path = f"/oracle/{account}/moments/{HISTORIES[name]}"
                since = max(known, default=0)
                for told in self.lines(stage.http.get(path, params={"since": since})):
                    known[told["id"]] = Moment(
                        told["owner"], told["at"], told["seen_at"], told["createdAt"]
                    )

    def lines(self, answer: Any) -> Iterable[dict[str, Any]]:
        assert answer.status_code == 200, answer.text
        return (orjson.loads(line) for line in answer.content.splitlines())

    def _judge(self, taken: Snapshot, name: str, claimed: float) -> list[Wrong]:
        rows = taken.rows[name]
        found = judge_records(
            name, self.timelines[name], rows, complete_as_of=claimed, seen_at=taken.at
        )
        mirrored = taken.claims[name][1]
        if mirrored != len(rows):
            found.append(Wrong(MIRRORED, name, 0, f"says {mirrored}, there are {len(rows)}"))
        return found


def _sent(child: Child, raw: dict[str, Any]) -> dict[int, tuple[Any, ...]]:
    """A child list as `raw` has it: by key, or by place from 1 on."""
    given = raw.get(child.path) or []
    members = list(given.values()) if isinstance(given, dict) else given
    return {
        member["id"] if child.key == "id" else place: tuple(
            _value(member.get(name)) for _, name in child.compared
        )
        for place, member in enumerate(members, 1)
    }


def _value(value: Any) -> Any:
    """A number as Postgres would compare it; all else as it is."""
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return Decimal(str(value)).normalize()
    return value
