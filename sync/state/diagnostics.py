"""Records of what could not be stored as declared, so that nothing is lost: rejects, unknown
fields, parked answers, drift; and the audit trail of proofs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa

from sync.crawl import Count
from sync.records.normalise import Reject
from sync.telemetry import plain, scrubbed

_PARKED_BYTES = 1_000_000


def keep_rejects(
    connection: sa.Connection,
    store_id: int,
    resource: str,
    *,
    rejects: Sequence[Reject],
    read: Iterable[str] = (),
    from_raw: bool = False,
) -> None:
    """Replace the rejects of the records just read (`read`: their keys as text).

    A record read from our own `raw` no longer holds what Postgres could not store, so the reject
    about that (its field is "") stays.
    """
    keys = list(read)
    gone = connection.execute(
        sa.text(
            "DELETE FROM sync.reject WHERE store_id = :store AND resource = :resource"
            " AND record = ANY(:keys) AND (field <> '' OR NOT :from_raw) AND (record, field) NOT IN"
            " (SELECT * FROM unnest(cast(:records AS text[]), cast(:fields AS text[])))"
        ),
        {
            "store": store_id,
            "resource": resource,
            "keys": keys,
            "from_raw": from_raw,
            "records": [reject.record for reject in rejects],
            "fields": [reject.field for reject in rejects],
        },
    ).rowcount
    new = 0
    if rejects:
        unique = {(reject.record, reject.field): reject for reject in rejects}
        ordered = [unique[key] for key in sorted(unique)]
        is_new = connection.execute(
            sa.text(
                "INSERT INTO sync.reject AS r (store_id, resource, record, field, value, reason)"
                " SELECT :store, :resource, n.* FROM unnest(cast(:records AS text[]),"
                " cast(:fields AS text[]), cast(:values AS text[]), cast(:reasons AS text[])) AS n"
                " ON CONFLICT (store_id, resource, record, field) DO UPDATE"
                " SET value = excluded.value, reason = excluded.reason, last_seen_at = now()"
                " RETURNING old.store_id IS NULL"
            ),
            {
                "store": store_id,
                "resource": resource,
                "records": [reject.record for reject in ordered],
                "fields": [reject.field for reject in ordered],
                "values": [reject.value for reject in ordered],
                "reasons": [reject.reason for reject in ordered],
            },
        ).scalars()
        new = sum(is_new)
    if gone != new:
        connection.execute(
            sa.text(
                # A running count: a proof of the whole corrects it (coverage.py).
                "UPDATE sync.coverage SET rejects = greatest(rejects + :difference, 0)"
                " WHERE store_id = :store AND resource = :resource"
            ),
            {"store": store_id, "resource": resource, "difference": new - gone},
        )


def known_rejects(
    connection: sa.Connection, store_id: int, resource: str, records: Sequence[str]
) -> set[str]:
    """Return those of the records that have rejects already."""
    if not records:
        return set()
    found = connection.execute(
        sa.text(
            "SELECT record FROM sync.reject WHERE store_id = :store AND resource = :resource"
            " AND record = ANY(:records)"
        ),
        {"store": store_id, "resource": resource, "records": list(records)},
    )
    return set(found.scalars())


def keep_unknown(
    connection: sa.Connection, store_id: int, resource: str, unknown: Mapping[str, str]
) -> None:
    """Store paths that no declaration names, each once."""
    if not unknown:
        return
    connection.execute(
        sa.text(
            "INSERT INTO sync.unknown_field (store_id, resource, path, example)"
            " SELECT :store, :resource, n.* FROM unnest(cast(:paths AS text[]),"
            " cast(:examples AS text[])) AS n ON CONFLICT DO NOTHING"
        ),
        {
            "store": store_id,
            "resource": resource,
            "paths": sorted(unknown),
            "examples": [unknown[path] for path in sorted(unknown)],
        },
    )


def park_page(
    connection: sa.Connection,
    store_id: int,
    resource: str,
    *,
    request: str,
    reason: str,
    body: bytes,
) -> None:
    """Store an answer that is not as declared, with any key it quotes removed."""
    connection.execute(
        sa.text(
            "INSERT INTO sync.parked_page (store_id, resource, request, reason, body)"
            " VALUES (:store, :resource, :request, :reason, :body)"
        ),
        {
            "store": store_id,
            "resource": resource,
            "request": plain(request),
            "reason": plain(reason),
            "body": scrubbed(body)[:_PARKED_BYTES],
        },
    )


def note_drift(
    connection: sa.Connection,
    store_id: int,
    resource: str,
    *,
    kind: str,
    detail: str,
    window_id: int | None = None,
    crawl_id: int | None = None,
) -> None:
    """Note that the list changed under the walk."""
    connection.execute(
        sa.text(
            "INSERT INTO sync.drift (store_id, resource, window_id, kind, detail)"
            " VALUES (:store, :resource, :window, :kind, :detail)"
        ),
        {
            "store": store_id,
            "resource": resource,
            "window": window_id,
            "kind": kind,
            "detail": detail[:500],
        },
    )
    connection.execute(
        sa.text(
            "UPDATE sync.coverage SET drifts = drifts + 1"
            " WHERE store_id = :store AND resource = :resource"
        ),
        {"store": store_id, "resource": resource},
    )
    if crawl_id is not None:
        connection.execute(
            sa.text("UPDATE sync.crawl SET drifts = drifts + 1 WHERE id = :id"), {"id": crawl_id}
        )


def keep_proof(
    connection: sa.Connection,
    store_id: int,
    resource: str,
    count: Count,
    *,
    method: str,
    head_id: int | None,
    proven: bool,
    detail: str = "",
) -> None:
    """Store an audit record: the API's total, the mirror's count, and the conclusion from them."""
    connection.execute(
        sa.text(
            "INSERT INTO sync.proof (store_id, resource, first_day, last_day, method, asked_as_of,"
            " total, mirrored, entered, head_id, proven, detail) VALUES (:store, :resource, :first,"
            " :last, :method, :asked, :total, :mirrored, :entered, :head, :proven, :detail)"
        ),
        {
            "store": store_id,
            "resource": resource,
            "first": count.days.first,
            "last": count.days.last,
            "method": method,
            "asked": count.asked_as_of,
            "total": count.total,
            "mirrored": count.mirrored,
            "entered": count.entered,
            "head": head_id,
            "proven": proven,
            "detail": detail or None,
        },
    )
