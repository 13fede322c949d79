"""Every place that may hold a person, and what becomes of it when the person is erased.

In `crm` the declarations say it for each column (sync/declare/personal.py). In `sync` there are
columns that hold what the CRM sent. All other text there is our own: names of resources, states,
reasons, which quote no values. But messages may repeat the words of an account, and these any name:
where one of the person's marks stands in such a text, the mark is cut out of it.
"""

from __future__ import annotations

from sync.declare.personal import OWNERS, care_of, child_links, links
from sync.resources import RESOURCES
from sync.rows.erasing import PERSONS
from sync.schema.columns import VERSIONED
from sync.state.diagnostics import REPEATING


def in_crm() -> dict[str, tuple[str, ...]]:
    """Return the columns of `crm` that hold something of a person, by table."""
    found: dict[str, tuple[str, ...]] = {}
    for resource in RESOURCES.values():
        own, theirs = links(resource), child_links(resource).values()
        if resource.name != PERSONS and not any(
            link.to in OWNERS for each in (own, *theirs) for link in each
        ):
            continue
        for table, fields, more in (
            (resource.name, resource.fields, ("raw",)),
            *((child.name, child.fields, ()) for child in resource.children),
        ):
            personal = (f.name for f in fields if not care_of(table, f).is_kept)
            found[table] = (*personal, *more)
        if resource.name in VERSIONED:
            found[VERSIONED[resource.name]] = found[resource.name]
    return {table: columns for table, columns in found.items() if columns}


QUOTING = {
    "reject.value": "emptied for the person's records, and for all that nobody could read",
    "unknown_field.example": "emptied in the whole store",
    "parked_page.body": "emptied in the whole store; none is kept after the first erasure",
}
"""Columns that hold what the CRM sent, and what an erasure does to them."""
OURS = frozenset(
    {
        "access_look.answer", "act.address", "act.detail", "act.source", "act.store", "act.what",
        "act.who", "budget_use.bucket", "budget_use.egress", "coverage.approval",
        "coverage.feed", "coverage.ids_checked", "coverage.told_by", "coverage.unavailable",
        "coverage.version", "coverage.zone", "crawl.asked_by", "crawl.error", "crawl.kind",
        "crawl.phase", "crawl.report", "crawl.state", "custom_column.code",
        "custom_column.dictionary", "custom_column.label", "custom_column.name",
        "custom_column.type", "custom_view.definition", "custom_view.name", "dispatch.lane",
        "doubt.accepted_because", "doubt.accepted_by", "doubt.detail", "doubt.kind",
        "drift.detail", "drift.kind", "era.server", "heartbeat.egress", "heartbeat.process",
        "heartbeat.queue", "lane.answering", "lane.error", "lane.holder", "lane.lane",
        "lane.odd_answer", "met.ids", "notification.error", "notification.kind",
        "notification.telling", "notification.text", "notification.told", "nudge.customers",
        "nudge.digest", "nudge.orders",
        "page_size.reason", "parked_page.reason", "parked_page.request", "position.cursor",
        "position.repeats", "proof.detail", "proof.method", "reader.role",
        "reader.store_ids", "reject.field", "reject.reason", "reject.record",
        "reread.error", "reread.reason", "salt.salt", "suppressed.account",
        "suppressed.digest", "unknown_field.path", "window.state", "worker.host",
        "worker.id",
    }
)  # fmt: skip
"""Columns of our own words, ids, codes and hashes; all of `store`, and each `resource`, are too."""
IN_SYNC = (*QUOTING, *REPEATING, "unknown_field.path")
"""Columns of `sync` that an erasure goes through."""
