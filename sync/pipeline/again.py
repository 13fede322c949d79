"""What a window lacks that is compared: asked for by its ids before it becomes a tombstone."""

from __future__ import annotations

from sync import faults
from sync.crm import WorkClass
from sync.mirror import checkpoint, proofs
from sync.mirror.checkpoint import Crawl, Window
from sync.pipeline.context import Context
from sync.pipeline.halves import IDS_PER_REQUEST
from sync.pipeline.reread import Told, apply, read_again

SUSPECTS_AT_ONCE = 50 * IDS_PER_REQUEST


def ask_for_missing(ctx: Context, crawl: Crawl, window: Window, *, work: WorkClass) -> bool:
    """Ask for every live row that no page of a window showed; False when the slice ended before.

    A request's worth a transaction; the next slice goes on after the last one.
    """
    resource = ctx.resources[crawl.resource]
    while True:
        with ctx.reading() as connection:
            suspects = proofs.not_met(
                connection,
                resource,
                ctx.store.id,
                window,
                sites=ctx.store.sites,
                at_most=SUSPECTS_AT_ONCE,
            )
        if not suspects:
            for attempt in ctx.attempts():
                with attempt as connection:
                    proofs.end_comparison(connection, window)
            return True
        for start in range(0, len(suspects), IDS_PER_REQUEST):
            _ask(ctx, crawl, window, suspects[start : start + IDS_PER_REQUEST], work=work)
            if ctx.is_over:
                return False


def _ask(
    ctx: Context, crawl: Crawl, window: Window, suspects: list[int], *, work: WorkClass
) -> None:
    resource = ctx.resources[crawl.resource]
    read = read_again(ctx, resource, {record: Told() for record in suspects}, work=work)
    for attempt in ctx.attempts():
        with attempt as connection:
            loaded = apply(ctx, connection, resource, read)
            proofs.asked_for(connection, window, last_id=suspects[-1])
            checkpoint.count_pages(connection, crawl, requests=1)
            checkpoint.add_report(connection, crawl, {"ghosts": loaded.buried})
    window.last_id = suspects[-1]
    faults.point("reconcile_repaired")
