"""The rules that keep a mirror true, taken out one at a time: each must be missed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import sqlalchemy as sa

from sync import deletion
from sync.database import contract
from sync.database.identifiers import crm_name
from sync.declare import Resource
from sync.records.loaded import Loaded
from sync.rows import sql, tombstones, upsert
from sync.rows.tombstones import Tombstone
from sync.state import departures, doubts, feeds, lanes, windows
from sync.state.crawls import Crawl
from sync.work import missing as asked_about
from sync.work import writing
from sync.work.context import Context
from sync.work.feed import bookmark, follow, write_told
from sync.work.feed.history import feed_of, find_feed
from sync.work.windows import crawl, prove
from tests.integration.model import directed
from tests.integration.model.directed import Directed
from tests.integration.pipeline.harness import FOLLOWED

Mutation = Callable[[pytest.MonkeyPatch], None]
LONG_AGO = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def no_bookmark(patch: pytest.MonkeyPatch) -> None:
    """The feed begins where it is when all pages are read."""
    real = crawl.prove_windows

    def prove_windows(ctx: Context, crawl: Crawl) -> bool:
        history = ctx.resources[FOLLOWED[crawl.resource]]
        if find_feed(ctx, history) is None:
            bookmark.set_bookmark(ctx, history)
        return real(ctx, crawl)

    patch.setattr(crawl, "set_bookmark", lambda *_: None)
    patch.setattr(crawl, "prove_windows", prove_windows)


def no_closing_proof(patch: pytest.MonkeyPatch) -> None:
    """Whatever was walked is taken for complete."""

    def prove_windows(ctx: Context, crawl: Crawl) -> bool:
        moment = ctx.draw()

        for attempt in ctx.attempts():
            with attempt as connection:
                walked = windows.of_crawl(connection, crawl.id, states=("walked",))
                windows.set_counted(
                    connection, walked, asked_at=moment, counted_at=moment, crm_at=None
                )
                windows.seal(connection, walked)
        prove.finish(ctx, crawl)
        return True

    patch.setattr(crawl, "prove_windows", prove_windows)


def no_tail(patch: pytest.MonkeyPatch) -> None:
    """The chain is read once; the second cursor moves along without reading."""

    def follow_tail(ctx: Context) -> feeds.Feed:
        for attempt in ctx.attempts():
            with attempt as connection:
                connection.execute(
                    sa.text(
                        "UPDATE sync.feed SET tail_id = head_id"
                        " WHERE store_id = :store AND resource = :history"
                    ),
                    {"store": ctx.store.id, "history": ctx.resource.name},
                )
        return feed_of(ctx, ctx.resource)

    patch.setattr(follow, "follow_tail", follow_tail)


def no_fencing(patch: pytest.MonkeyPatch) -> None:
    """Whoever once held a lease may write."""
    real = contract.run

    def run(connection: sa.Connection, statements: bytes) -> list[str]:
        return real(connection, statements.replace(b"SELECT 1 / count(*)", b"SELECT count(*)"))

    patch.setattr(lanes, "hold", lambda *_, **__: None)
    patch.setattr(contract, "run", run)


def no_as_of(patch: pytest.MonkeyPatch) -> None:
    """What is committed last wins, however old it is."""
    real_known = upsert._known
    real_upsert, real_mark_deleted = sql.upsert_sql, sql.mark_deleted_sql

    def known(*arguments: Any) -> dict[Any, Any]:
        return {
            key: upsert._Known(before.content_hash, LONG_AGO, before.live)
            for key, before in real_known(*arguments).items()
        }

    def without_the_rule(sql: str) -> str:
        assert "WHERE t.as_of < excluded.as_of" in sql
        return sql.replace("WHERE t.as_of < excluded.as_of", "")

    patch.setattr(upsert, "_known", known)
    patch.setattr(upsert, "upsert_sql", lambda resource: without_the_rule(real_upsert(resource)))
    patch.setattr(
        tombstones,
        "mark_deleted_sql",
        lambda resource: without_the_rule(real_mark_deleted(resource)),
    )


def no_move_of_as_of(patch: pytest.MonkeyPatch) -> None:
    """A feed's re-read that finds the row equal leaves it as old as it was."""
    patch.setattr(upsert, "_move_as_of", lambda *_: None)


def no_bare_tombstones(patch: pytest.MonkeyPatch) -> None:
    """The deletion of a record that is not mirrored yet is forgotten.

    That it is found deleted later makes up for it, and is forgotten too.
    """
    real = tombstones.mark_deleted
    patch.setattr(departures, "note_read", lambda *_, **__: None)

    def mark_deleted(
        connection: sa.Connection,
        resource: Resource,
        store_id: int,
        tombstones: Iterable[Tombstone],
    ) -> Loaded:
        wanted = list(tombstones)
        known = upsert._known(
            connection, resource, store_id, [tombstone.key for tombstone in wanted]
        )
        return real(connection, resource, store_id, [g for g in wanted if g.key in known])

    patch.setattr(writing, "mark_deleted", mark_deleted)


def no_seal(patch: pytest.MonkeyPatch) -> None:
    """A count that agrees is final at once."""
    patch.setattr(prove, "can_seal", lambda *_: True)
    patch.setattr(departures, "speaks_against", lambda *_, **__: False)


def no_doubt(patch: pytest.MonkeyPatch) -> None:
    """What may be wrong is compared one day, and claimed meanwhile."""
    patch.setattr(doubts, "raise_doubt", lambda *_, **__: None)


def _clear(patch: pytest.MonkeyPatch, moment: str) -> None:
    real = feeds.set_clear

    def set_clear(
        connection: sa.Connection, store_id: int, history: str, *, looked_at: dt.datetime
    ) -> None:
        real(connection, store_id, history, looked_at=looked_at)
        connection.execute(
            sa.text(
                f"UPDATE sync.feed AS f SET clear_at = least({moment}, (SELECT"
                f" min(least(h.as_of, h.first_seen_at)) FROM {crm_name(history)} AS h"
                " WHERE h.store_id = :store AND h.id > f.tail_id AND h.id <= f.head_id"
                " AND h.deleted_at IS NULL))"
                " WHERE store_id = :store AND resource = :history"
            ),
            {
                "store": store_id,
                "history": history,
                "bound": feeds.lateness_seconds(connection, store_id),
            },
        )

    patch.setattr(feeds, "set_clear", set_clear)


def clear_without_bound(patch: pytest.MonkeyPatch) -> None:
    """What the head has read is all there is."""
    _clear(patch, "head_at - 0 * make_interval(secs => :bound)")


def first_seen_without_bound(patch: pytest.MonkeyPatch) -> None:
    """Nothing from before the oldest entry that was not passed is published any more."""
    _clear(patch, "head_at - make_interval(secs => :bound)")


def no_third_reading(patch: pytest.MonkeyPatch) -> None:
    """What the tail has passed is never looked at again."""
    patch.setattr(follow, "read_backward", lambda *_: None)


def no_overlap(patch: pytest.MonkeyPatch) -> None:
    """A look asks for what follows the head, and for nothing that is known."""
    patch.setattr(follow, "OVERLAP", 0)


def no_sample(patch: pytest.MonkeyPatch) -> None:
    """How far lists lag is taken on trust."""
    patch.setattr(follow, "take_sample", lambda *_: None)


def no_former_version(patch: pytest.MonkeyPatch) -> None:
    """Only what the new version of a record names is read again."""
    patch.setattr(upsert, "name_before", lambda *_: None)
    patch.setattr(tombstones, "name_before", lambda *_: None)
    patch.setattr(write_told, "parts_told", lambda *_: [])


def no_second_question(patch: pytest.MonkeyPatch) -> None:
    """One 404 is a tombstone."""

    def judge(found: deletion.Evidence) -> deletion.Verdict:
        verdict = deletion.judge(found)
        return deletion.Deleted("not_found") if isinstance(verdict, deletion.Ask) else verdict

    patch.setattr(asked_about, "judge", judge)


MUTATIONS: tuple[tuple[Mutation, Directed], ...] = (
    (no_bookmark, directed.an_edit_during_the_walk),
    (no_closing_proof, directed.a_departure_hides_a_lost_row),
    (no_tail, directed.entries_before_many_others),
    (no_fencing, directed.a_holder_that_sleeps),
    (no_as_of, directed.an_edit_between_fetch_and_commit),
    (no_move_of_as_of, directed.a_change_of_mind),
    (no_bare_tombstones, directed.a_deletion_between_fetch_and_commit),
    (no_seal, directed.a_departure_hides_a_lost_row),
    (no_doubt, directed.an_account_that_was_restored),
    (clear_without_bound, directed.entries_before_many_others),
    (first_seen_without_bound, directed.entries_before_many_others),
    (no_third_reading, directed.an_entry_later_than_the_bound),
    (no_overlap, directed.an_account_that_was_restored),
    (no_sample, directed.lists_that_lag_longer_than_the_bound),
    (no_former_version, directed.orders_given_to_others),
    (no_second_question, directed.a_replica_that_lacks_a_record),
)
