"""Writers of orders and of what belongs to them take turns, and hold nothing while they wait."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa

from tests.integration.pipeline.conftest import Open
from tests.integration.pipeline.harness import small

FEED = re.compile(r"(UPDATE sync\.feed|FROM sync\.feed WHERE .* FOR UPDATE$)")
ROWS = re.compile(r"(INSERT INTO|UPDATE|DELETE FROM) (sync\.reread|sync\.coverage|crm\.)")
TURN = re.compile(r"FROM sync\.coverage WHERE .* FOR NO KEY UPDATE$")


def test_the_turn_is_taken_before_anything_that_its_holders_wait_for(open_mirror: Open) -> None:
    """The one whose turn it is may write any reread, count or row; who held one of them already,
    and waited for its turn, would be in a deadlock with it."""
    mirror = open_mirror(resources=small("orders", "order_history", "costs"), orders=25)
    held: list[str] = []
    out_of_order: set[str] = set()
    taken = 0

    def begin(_: sa.Connection) -> None:
        held.clear()

    def execute(_c: object, _k: object, statement: str, binds: Any, *_: object) -> None:
        nonlocal taken
        sql = " ".join(statement.split())
        if TURN.search(sql) and "orders" in binds.values():
            taken += not held
            if "turn" not in held:
                out_of_order.update(f"{each}, then the turn" for each in held)
                held.append("turn")
        elif found := ROWS.search(sql):
            held.append(found[0])
        elif FEED.search(sql):
            held.append("a feed")

    sa.event.listen(mirror.engine, "begin", begin)
    sa.event.listen(mirror.engine, "before_cursor_execute", execute)
    mirror.settle()
    lagging, *_, gone = sorted(mirror.truth("orders"))
    mirror.account.update_order(lagging, managerComment="told")
    mirror.account.delete_order(gone)
    mirror.come_to_rest()
    # A sample finds a difference that no entry tells of, and asks for the record again.
    other = "raw || jsonb_build_object('managerComment', 1)"
    mirror.rows(f"UPDATE crm.orders SET raw = {other} WHERE id = :id", id=lagging)
    for _ in range(6):
        mirror.pass_time(61)
        mirror.feeds()
    assert mirror.value("SELECT max(untold_records) FROM sync.feed") > 0
    for name in ("orders", "order_history", "costs"):
        mirror.finish(mirror.queue(name, "rebuild"))
    mirror.finish(mirror.queue("orders", deep=True))
    assert out_of_order == set()
    assert taken > 10
