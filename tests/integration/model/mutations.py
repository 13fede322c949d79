"""The rules that keep a mirror true, taken out one at a time: each must be missed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import sqlalchemy as sa

from sync.crm import WorkClass
from sync.declare import Resource
from sync.mirror import checkpoint, graves, lease, load, proofs, statements
from sync.mirror.checkpoint import Crawl
from sync.mirror.graves import Grave
from sync.mirror.load import Loaded
from sync.pipeline import follow, listed, prove, reread
from sync.pipeline.context import Context
from tests.integration.model.world import World
from tests.integration.pipeline.harness import FOLLOWED

LONG_AGO = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def no_bookmark(patch: pytest.MonkeyPatch) -> None:
    """The feed starts at the newest entry there is after the walk."""
    real = checkpoint.set_phase

    def set_phase(connection: sa.Connection, crawl: Crawl, phase: str) -> None:
        real(connection, crawl, phase)
        if phase == "prove" and crawl.kind == "load":
            history = FOLLOWED[crawl.resource]
            connection.execute(
                sa.text(
                    "UPDATE sync.feed SET bookmark = :id, head_id = greatest(head_id, :id),"
                    " tail_id = greatest(tail_id, :id) WHERE store_id = :s AND resource = :h"
                ),
                {"id": World.present.newest(history), "s": crawl.store_id, "h": history},
            )

    patch.setattr(checkpoint, "set_phase", set_phase)


def no_closing_proof(patch: pytest.MonkeyPatch) -> None:
    """Whatever was walked is taken for complete."""

    def settle(ctx: Context, crawl: Crawl, *, work: WorkClass) -> bool:
        moment = ctx.draw()

        def write(connection: sa.Connection) -> None:
            walked = checkpoint.windows(connection, crawl.id, states=("walked",))
            proofs.set_counted(connection, walked, asked_at=moment, counted_at=moment, crm_at=None)
            proofs.seal(connection, walked)

        ctx.write(write)
        prove.finish(ctx, crawl, work=work)
        return True

    patch.setattr(listed, "settle", settle)


def no_tail(patch: pytest.MonkeyPatch) -> None:
    """The chain is read once; the second cursor moves along without reading."""

    def follow_tail(ctx: Context) -> None:
        ctx.write(
            lambda connection: connection.execute(
                sa.text(
                    "UPDATE sync.feed SET tail_id = head_id"
                    " WHERE store_id = :store AND resource = :history"
                ),
                {"store": ctx.store.id, "history": ctx.resource.name},
            )
        )

    patch.setattr(follow, "follow_tail", follow_tail)


def no_fencing(patch: pytest.MonkeyPatch) -> None:
    """Whoever once held a lease may write."""
    patch.setattr(lease, "hold", lambda *_, **__: None)


def no_as_of(patch: pytest.MonkeyPatch) -> None:
    """What is committed last wins, however old it is."""
    real_known = load._known
    real_upsert, real_bury = statements.upsert_sql, statements.bury_sql

    def known(*arguments: Any) -> dict[Any, Any]:
        return {
            key: load._Known(before.content_hash, LONG_AGO, before.live)
            for key, before in real_known(*arguments).items()
        }

    def without_the_rule(sql: str) -> str:
        assert "WHERE t.as_of < excluded.as_of" in sql
        return sql.replace("WHERE t.as_of < excluded.as_of", "")

    patch.setattr(load, "_known", known)
    patch.setattr(load, "upsert_sql", lambda resource: without_the_rule(real_upsert(resource)))
    patch.setattr(graves, "bury_sql", lambda resource: without_the_rule(real_bury(resource)))


def no_move_of_as_of(patch: pytest.MonkeyPatch) -> None:
    """A feed's re-read that finds the row equal leaves it as old as it was."""
    patch.setattr(load, "_move_as_of", lambda *_: None)


def no_bare_tombstones(patch: pytest.MonkeyPatch) -> None:
    """The deletion of a record that is not mirrored yet is forgotten."""
    real = graves.bury

    def bury(
        connection: sa.Connection, resource: Resource, store_id: int, graves: Iterable[Grave]
    ) -> Loaded:
        wanted = list(graves)
        known = load._known(connection, resource, store_id, [grave.key for grave in wanted])
        return real(connection, resource, store_id, [g for g in wanted if g.key in known])

    patch.setattr(reread, "bury", bury)


MUTATIONS: tuple[Callable[[pytest.MonkeyPatch], None], ...] = (
    no_bookmark,
    no_closing_proof,
    no_tail,
    no_fencing,
    no_as_of,
    no_move_of_as_of,
    no_bare_tombstones,
)
