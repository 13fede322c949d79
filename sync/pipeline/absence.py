"""What it means that a record did not come: asked for singly, and believed with care."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from sync.crm import WorkClass
from sync.declare import Resource
from sync.errors import AccessChanged, Forbidden, NotFound, TryLater
from sync.mirror import stores
from sync.mirror.graves import Grave
from sync.normalise import Batch
from sync.pipeline.context import Context

ACCESS_SECONDS = 5.0


@dataclass(slots=True)
class Told:
    """What the history says of a record: gone since when, and into whom it was combined.

    `moved`: it came, went, or changed its creation day or site, so that it may not have been where
    it is now a moment ago. `is_news`: an entry was read that names it.
    """

    gone_at: dt.datetime | None = None
    combined_to: int | None = None
    moved: bool = False
    is_news: bool = False

    @property
    def is_gone(self) -> bool:
        """Whether the history says that it was deleted or combined."""
        return self.gone_at is not None or self.combined_to is not None


@dataclass(slots=True)
class Found:
    """What became of records that did not come: rows that answer singly, and graves."""

    batches: list[tuple[Batch, dt.datetime]] = field(default_factory=list)
    graves: list[Grave] = field(default_factory=list)
    unlisted: list[int] = field(default_factory=list)


def find_out(
    ctx: Context,
    resource: Resource,
    missing: list[int],
    told: Mapping[int, Told],
    *,
    as_of: dt.datetime,
    work: WorkClass,
) -> Found:
    """Find out about records that did not come; `as_of` is the request that lacked them."""
    graves: list[Grave] = []
    unsaid = []
    for record in missing:
        about = told[record]
        if about.combined_to is not None:
            graves.append(Grave(record, as_of, "combined", about.gone_at, about.combined_to))
        elif about.gone_at is not None:
            graves.append(Grave(record, as_of, "history", about.gone_at))
        else:
            unsaid.append(record)
    found = verify_missing(ctx, resource, unsaid, work=work)
    found.graves[:0] = graves
    return found


def verify_missing(ctx: Context, resource: Resource, ids: list[int], *, work: WorkClass) -> Found:
    """Ask for each record singly; a 404 is believed only while the key sees what it saw."""
    result = Found()
    if not ids or not resource.single:
        return result
    graves: list[Grave] = []
    for record in ids:
        path = resource.single.replace("{id}", str(record))
        as_of = ctx.draw()
        try:
            reply = ctx.api.ask(path, {"by": "id"}, work=work)
        except NotFound as absence:
            reason = "not_found" if absence.combined_to is None else "combined"
            graves.append(Grave(record, as_of, reason, None, absence.combined_to))
        except Forbidden:
            continue  # not ours to see is not gone
        else:
            found = reply.data.get(resource.single_key)
            if isinstance(found, dict):
                batch = ctx.normalise(resource, [found])
                result.unlisted += [record for row in batch.rows if row.key == record]
                result.batches.append((batch, reply.as_of))
    if graves:
        insist_on_access(ctx, work=work)
        hidden = ctx.read(lambda c: _may_be_hidden(ctx, c, resource, graves))
        result.graves += [grave for grave in graves if grave.key not in hidden]
    return result


def _may_be_hidden(
    ctx: Context, connection: sa.Connection, resource: Resource, graves: list[Grave]
) -> set[Any]:
    """Rows read before the key was known to have lost sites, and not of a site it sees still."""
    if not ctx.store.hidden_sites:
        return set()
    where = ""
    binds: list[object] = [
        ctx.store.id,
        [grave.key for grave in graves],
        ctx.store.hidden_from,
    ]
    if any(f.name == "site" for f in resource.fields):
        where = " AND (site = ANY(%s)) IS NOT TRUE"
        binds.append(list(ctx.store.access.sites or ()))
    rows = connection.exec_driver_sql(
        f'SELECT id FROM crm."{resource.name}" WHERE store_id = %s AND id = ANY(%s)'
        f" AND deleted_at IS NULL AND as_of <= %s{where}",
        tuple(binds),
    )
    return {row[0] for row in rows}


def insist_on_access(ctx: Context, *, work: WorkClass) -> None:
    """TryLater or AccessChanged unless the key sees what it saw: absence proves nothing otherwise.

    A key that sees more is noted by `credentials`, asked at once; so is one a person has accepted
    while this slice went by what was before.
    """
    access = ctx.api.credentials(work=work)
    if access == ctx.store.access:
        return
    known = ctx.read(lambda c: stores.by_id(c, ctx.store.id))
    if known is None or access.sees_all_of(known.access):
        if known is not None and access != known.access and "credentials" in ctx.resources:
            ctx.read(lambda c: stores.queue_once(c, ctx.store.id, "credentials", kind="refresh"))
        raise TryLater(
            f"the key of {ctx.store.name} sees other things than when this began; what it does not"
            " find is asked for again",
            after=ACCESS_SECONDS,
        )
    raise AccessChanged(
        f"the key of {ctx.store.name} sees other things than before (was "
        f"{ctx.store.access}, is {access}); restore its access, or accept it with: "
        f"celery -A sync mirror store check {ctx.store.name}"
    )
