"""The world a machine acts in: a small account, its mirror, and what may happen when.

Every step is one slice of the real pipeline. While it runs, its *script* has its say: after the
n-th answer, and before anything is made of it, the CRM changes, the other lane works, time passes,
the lease is taken over by somebody who works on, or the process dies. A fault point may kill it,
too. `check` is asked after every step and compares what `crm.coverage` claims with what was true.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
import pytest
import sqlalchemy as sa

from sync import failpoints
from sync.sandbox import Clock, Sandbox
from sync.sandbox.php import Refusal
from sync.state import lanes
from tests.integration.faults.claims import State, Timeline, Wrong, judge_records
from tests.integration.pipeline.harness import FOLLOWED, Mirror, expire_lease, small

COMMIT = lanes.commit
Act = tuple[Any, ...]
BEGIN = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC).timestamp()
"""When every world begins. Its clocks move on only by what the machine says."""
LATE_SECONDS = 25.0
"""How late a save may be committed after its entry's id was allotted."""
UNPUBLISHED_SECONDS = 30.0
"""How late an entry may be published after its save's commit: with the above within the bound."""
LAG_SECONDS = 15.0
TICK_SECONDS = 0.001
"""What passes before each save, so that it is after every request that was sent before."""


class Crash(BaseException):
    """The worker process is gone: nothing catches it, nothing is cleaned up."""


@dataclass
class Script:
    """What happens during a slice: acts after the n-th answer, and a fault point to die at.

    Answers are counted by kind: "any", or "page" for those of a list that is read page by page.
    """

    acts: Sequence[tuple[str, int, Sequence[Act]]] = ()
    die_at: tuple[str, int] | None = None


@dataclass
class _Frame:
    """A slice under way."""

    resource: str
    lane: str
    script: Script
    answers: dict[str, int] = field(default_factory=dict)
    passed: dict[str, int] = field(default_factory=dict)


class World:
    """An account, its mirror, and the timeline of what was true when."""

    present: World

    def __init__(
        self,
        database: str,
        engine: sa.Engine,
        monkeypatch: pytest.MonkeyPatch,
        *,
        seed: int = 7,
        orders: int = 42,
        customers: int = 22,
    ) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE testclock.shift SET by = '0', frozen = to_timestamp(%s)", (BEGIN,)
            )
        self.mirror = Mirror(
            database,
            engine=engine,
            sandbox=Sandbox(seed=seed, clock=Clock(BEGIN)),
            resources=small(),
            orders=orders,
            customers=customers,
            frozen_at=BEGIN,
        )
        self.account = self.mirror.account
        self.frames: list[_Frame] = []
        self.steps = self.acts = self.answers = 0
        self.timelines = {name: Timeline() for name in FOLLOWED}
        self.bookmarked: dict[str, float] = {}
        self.knob(timeline=True)
        self.account.timeline.kept(BEGIN)
        # What the history held before is another crawl's work, and of no interest here.
        self.mirror.rows(
            "DELETE FROM sync.crawl WHERE store_id = :store AND resource LIKE '%history'"
        )
        monkeypatch.setattr(failpoints, "point", self._point)
        self._watch_holders(monkeypatch)
        self.mirror.wire.after = self._answered
        World.present = self

    def close(self) -> None:
        self.mirror.services.client.close()
        self.mirror._hearts.dispose()

    # --- the CRM

    def knob(self, **values: Any) -> None:
        """Turn knobs of the CRM."""
        self.mirror.sandbox.knobs.turn(**values)

    def change(self, kind: str, pick: int, other: int = 0) -> None:
        """One save in the CRM; what cannot be done just now is left out."""
        self.mirror.pass_time(TICK_SECONDS)
        with suppress(Refusal, IndexError):
            self._change(kind, pick, other)

    def _change(self, kind: str, pick: int, other: int) -> None:
        """What the API can do is done by it; the rest by hand, as people do it in the CRM."""
        account = self.account
        match kind:
            case "create_order":
                person = account.read("customers", self._live("customers", other))
                self.create_order({"customer": {"id": person["id"]}}, site=person["site"])
            case "update_order":
                self.edit_order(self._live("orders", pick), managerComment=f"c{other}")
            case "flip_order":
                self.flip(pick)
            case "pay_order":
                key = self._live("orders", pick)
                kept = account.read("orders", key)["items"][: 1 + other % 2]
                self.edit_order(key, items=[{"id": item["id"]} for item in kept])
            case "delete_order":
                account.delete_order(self._live("orders", pick))
            case "undelete_order":
                account.undelete_order(self._gone("orders", pick))
            case "redate_order":
                day = dt.datetime.fromtimestamp(BEGIN, dt.UTC) - dt.timedelta(days=other * 11 % 600)
                self.edit_order(self._live("orders", pick), createdAt=f"{day:%Y-%m-%d} 12:00:00")
            case "move_order":
                account.move_order(self._live("orders", pick))
            case "reassign_order":
                heir = {"id": self._live("customers", other)}
                self.edit_order(self._live("orders", pick), customer=heir)
            case "import_orders":
                newest = [key for _, key in account.collections["orders"].truth.order[::-1]]
                account.import_orders(
                    orders=newest[pick:][: 3 + other % 12],
                    commit_seconds=(0, 10, LATE_SECONDS)[other % 3],
                )
            case "merge_orders":
                into, source = self._live("orders", pick), self._live("orders", other)
                self.post("orders/combine", order={"id": source}, resultOrder={"id": into})
            case "create_customer":
                site = account.sites[pick % len(account.sites)]
                self.post("customers/create", site=site, customer={"firstName": f"n{other}"})
            case "update_customer":
                key = self._live("customers", pick)
                email = {"email": f"m{other}@example.com"}
                self.post(f"customers/{key}/edit", by="id", customer=email)
            case "delete_customer":
                account.delete_customer(self._live("customers", pick))
            case "undelete_customer":
                account.undelete_customer(self._gone("customers", pick))
            case "merge_customers":
                into, source = self._live("customers", pick), self._live("customers", other)
                combined = [{"id": source}]
                self.post("customers/combine", resultCustomer={"id": into}, customers=combined)
            case "merge_chain":
                account.merge_chain(2 + other % 2)
            case "lists_lag":
                self.knob(list_lag_seconds=(0, LAG_SECONDS)[other % 2])
            case _:
                raise ValueError(kind)

    def post(self, path: str, **form: Any) -> Any:
        """A write as a client of the API makes it; a refusal is one of the CRM's."""
        status, told = self.mirror.sandbox.post(path, key=self.account.key, **form)
        if status >= 400:
            raise Refusal(status, told["errorMsg"])
        return told

    def edit_order(self, key: int, **changes: Any) -> None:
        """Change an order by the API."""
        self.post(f"orders/{key}/edit", by="id", order=changes)

    def create_order(self, form: dict[str, Any], *, site: str) -> None:
        """Make an order by the API, of the first article of the site."""
        offer = self.account.shop.articles[site][0].offer
        items = [{"offer": {"id": offer["id"]}, "quantity": 2}]
        self.post("orders/create", site=site, order={**form, "items": items})

    def flip(self, pick: int) -> None:
        """Set a mark on one of a few orders, or take it off again: A, B, A."""
        key = self._live("orders", (0, 28, -1)[pick % 3])
        marked = (
            self.account.collections["orders"]
            .load(self.account.must("orders", key))
            .get("statusComment")
        )
        self.edit_order(key, statusComment=None if marked else "flipped")

    def _live(self, collection: str, pick: int) -> int:
        """A living record, 0 being the newest."""
        order = self.account.collections[collection].truth.order
        return int(order[-1 - pick % len(order)][1]) if order else 0

    def _gone(self, collection: str, pick: int) -> int:
        """A deleted record, of those that can come back as they were.

        What was combined does not: its orders are another's by then. Nor does an order whose
        customer was combined meanwhile: in no CRM would it still name that one.
        """
        people = self.account.collections["customers"].gone
        combined = {key for key, about in people.items() if about.reason == "combined"}
        gone = sorted(
            key
            for key, about in self.account.collections[collection].gone.items()
            if about.reason == "history"
            and about.last is not None
            and not combined & {about.last.customer, about.last.contact}
        )
        return gone[-1 - pick % len(gone)] if gone else 0

    # --- work

    def slice(self, resource: str, lane: str, script: Script | None = None) -> None:
        """One slice of a lane, whatever happens to it; a dead holder's lease has run out."""
        self.steps += 1
        expire_lease(self.mirror, resource, lane)
        frame = _Frame(resource, lane, script or Script())
        self.frames.append(frame)
        try:
            self.mirror.work(resource, lane)
        except Crash:
            pass
        finally:
            assert self.frames.pop() is frame
        self._retry()
        for name, history in FOLLOWED.items():
            if name not in self.bookmarked and self.mirror.rows(
                "SELECT 1 FROM sync.feed WHERE store_id = :store AND resource = :h", h=history
            ):
                self.bookmarked[name] = self.mirror.now()

    def _retry(self) -> None:
        """What is parked because its worker died too often is released, as `retry` does."""
        for row in self.mirror.errors():
            assert row.parked_at is None or "its worker died" in row.error, row
        self.mirror.rows(
            "UPDATE sync.lane SET parked_at = NULL, attempts = 0 WHERE store_id = :store"
            " AND parked_at IS NOT NULL"
        )

    def _answered(self, request: httpx.Request) -> None:
        if not self.frames:
            return
        frame = self.frames[-1]
        is_page = "page=" in request.url.query.decode()
        for kind in ("any", "page") if is_page else ("any",):
            self.answers += 1
            frame.answers[kind] = frame.answers.get(kind, 0) + 1
            for what, number, acts in frame.script.acts:
                if (what, number) == (kind, frame.answers[kind]):
                    for act in acts:
                        self.act(act)

    def act(self, act: Act) -> None:
        """One act of a script."""
        self.acts += 1
        match act:
            case ("crash",):
                raise Crash
            case ("time", seconds):
                self.mirror.pass_time(seconds)
            case ("knob", values):
                self.knob(**values)
            case ("stop",):
                self.mirror.services.stop.set()
            case ("feed", history):
                if len(self.frames) < 3 and self.frames[-1].lane == "walk":
                    self.nested(history, "feed")
            case ("take_over",):
                # The holder sleeps; another takes its lease and works a slice of its own.
                frame = self.frames[-1]
                if len(self.frames) < 2:
                    expire_lease(self.mirror, frame.resource, frame.lane)
                    self.nested(frame.resource, frame.lane)
            case (kind, pick, other):
                self.change(kind, pick, other)
            case _:
                raise ValueError(act)

    def nested(self, resource: str, lane: str) -> None:
        """A slice by another process while one waits for its commit."""
        self.frames.append(_Frame(resource, lane, Script()))
        try:
            self.mirror.work(resource, lane)
        finally:
            self.frames.pop()

    def _point(self, name: str) -> None:
        if not self.frames:
            return
        frame = self.frames[-1]
        frame.passed[name] = frame.passed.get(name, 0) + 1
        if frame.script.die_at == (name, frame.passed[name]):
            raise Crash

    def _watch_holders(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever commits must hold the lease in that very transaction."""
        store_id = self.mirror.store_id

        def watched(connection: sa.Connection, held: lanes.Lease) -> None:
            if held.store_id == store_id:
                token = connection.execute(
                    sa.text(
                        "SELECT token FROM sync.lane WHERE store_id = :s AND resource = :r"
                        " AND lane = :l AND lease_until > clock_timestamp()"
                    ),
                    {"s": held.store_id, "r": held.resource, "l": held.lane},
                ).scalar()
                assert token == held.token, f"{held} writes although {token} holds the lease"
            COMMIT(connection, held)

        monkeypatch.setattr(lanes, "commit", watched)

    # --- judging

    def check(self) -> None:
        """What coverage claims at this moment is so, and its counts are those of the rows."""
        wrong = self.wrong_claims()
        assert not wrong, "; ".join(str(each) for each in wrong[:5])

    def wrong_claims(self) -> list[Wrong]:
        """Each record about which coverage claims at this moment what is not so."""
        covers = self.mirror.rows(
            "SELECT resource, mirrored, complete_as_of FROM crm.coverage"
            " WHERE store_id = :store AND resource = ANY(:followed)",
            followed=list(FOLLOWED),
        )
        found: list[Wrong] = []
        for cover in covers:
            rows = self._states(cover.resource)
            assert cover.mirrored == len(rows), f"{cover} but {len(rows)} rows live"
            if cover.complete_as_of is not None:
                found += judge_records(
                    cover.resource,
                    self._told(cover.resource),
                    rows,
                    complete_as_of=cover.complete_as_of.timestamp(),
                    seen_at=self.mirror.now(),
                )
        return found

    def _states(self, resource: str) -> dict[int, State]:
        return {
            row.id: State.of(row.raw)
            for row in self.mirror.rows(
                f"SELECT id, raw FROM crm.{resource} WHERE store_id = :store AND deleted_at IS NULL"
            )
        }

    def _told(self, resource: str) -> Timeline:
        """The timeline of a resource up to this moment."""
        told, kept = self.timelines[resource], self.account.timeline.past
        assert kept is not None
        told.learn(map(orjson.loads, kept.lines(resource, told.told)))
        return told

    def settle(self) -> None:
        """Let the CRM come to rest, work until all is proven, and compare everything."""
        self.mirror.services.stop.clear()
        self.knob(history_publish_delay=0, list_lag_seconds=0, entry_delay_share=0)
        self.mirror.pass_time(LATE_SECONDS + UNPUBLISHED_SECONDS + LAG_SECONDS)
        quiet = self.mirror.now()
        for name in self.mirror.resources:
            for lane in ("feed", "walk"):
                expire_lease(self.mirror, name, lane)
        self._retry()
        self.mirror.settle()
        self.check()
        self.mirror.assert_equal_to_oracle()
        for name, history in FOLLOWED.items():
            cover = self.mirror.coverage(name)
            assert cover.complete_as_of is not None, f"{name} is not proven: {self.mirror.errors()}"
            assert cover.complete_as_of.timestamp() > quiet, f"{name} is behind: {cover}"
            self.mirror.assert_tombstones(name, since=self.bookmarked.get(name, quiet))
            self._compare_history(name, history)

    def _compare_history(self, name: str, history: str) -> None:
        bookmark = self.mirror.value(
            "SELECT bookmark FROM sync.feed WHERE store_id = :store AND resource = :h", h=history
        )
        have = {
            row[0]
            for row in self.mirror.rows(
                f"SELECT id FROM crm.{history} WHERE store_id = :store AND id > :b", b=bookmark
            )
        }
        want = {e.id for e in self.account.histories[name].entries if e.id > bookmark}
        assert have == want, f"{history}: lost {want - have}, invented {have - want}"
