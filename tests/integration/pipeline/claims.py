"""Claims of a mirror in this process, judged as tests/integration/faults/claims.py does."""

from __future__ import annotations

import orjson

from tests.integration.faults.claims import State, Timeline, Wrong, judge_records
from tests.integration.pipeline.harness import Mirror


def watch(mirror: Mirror) -> None:
    """Have the sandbox keep a timeline of what is true when."""
    mirror.sandbox.knobs.turn(timeline=True)
    mirror.account.timeline.kept(mirror.now())


def wrong(mirror: Mirror, resource: str) -> list[str]:
    """Each record about which coverage of a resource claims at this moment what is not so."""
    claimed = mirror.coverage(resource).complete_as_of
    if claimed is None:
        return []
    told, past = Timeline(), mirror.account.timeline.past
    assert past is not None
    told.learn(map(orjson.loads, past.lines(resource, 0)))
    rows = {
        row.id: State.of(row.raw)
        for row in mirror.rows(
            f"SELECT id, raw FROM crm.{resource} WHERE store_id = :store AND deleted_at IS NULL"
        )
    }
    found: list[Wrong] = judge_records(
        resource, told, rows, complete_as_of=claimed.timestamp(), seen_at=mirror.now()
    )
    return [f"as of {claimed:%H:%M:%S}: {each}" for each in found]
