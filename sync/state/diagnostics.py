"""Records of what could not be stored as declared, so that nothing is lost: rejects, unknown
fields, parked answers, drift; and the audit trail of proofs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa

from sync.crawl import Count
from sync.records.normalise import Reject
from sync.state import coverage, crawls
from sync.telemetry import plain, scrubbed

_PARKED_BYTES = 1_000_000
REPEATING = (
    "access_look.answer", "coverage.unavailable", "crawl.error", "doubt.detail", "drift.detail",
    "lane.error", "notification.error", "notification.text", "page_size.reason",
    "parked_page.reason", "parked_page.request", "proof.detail", "reread.error", "store.error",
)  # fmt: skip
"""Columns of our own words, in which an account's may be repeated."""
_ERASED = (
    "EXISTS (SELECT FROM sync.suppressed WHERE account ="
    " (SELECT account FROM sync.store WHERE id = :store))"
)
"""True where people were erased: nothing is kept there of which nobody can say whose it is."""


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
                " SELECT :store, :resource, n.record, n.field,"
                f" CASE WHEN n.record NOT LIKE 'record:%' OR NOT {_ERASED} THEN n.value END,"
                " n.reason FROM unnest(cast(:records AS text[]), cast(:fields AS text[]),"
                " cast(:values AS text[]), cast(:reasons AS text[]))"
                " AS n(record, field, value, reason)"
                " ON CONFLICT (store_id, resource, record, field) DO UPDATE"
                " SET value = excluded.value, reason = excluded.reason, last_seen_at = now()"
                # A row that was there keeps the mark of the lock that ON CONFLICT takes.
                " RETURNING r.xmax = 0"
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
        coverage.carry_rejects(connection, store_id, resource, difference=new - gone)


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
    """Store paths that no declaration names, each once; no example where people were erased."""
    if not unknown:
        return
    connection.execute(
        sa.text(
            "INSERT INTO sync.unknown_field (store_id, resource, path, example)"
            f" SELECT :store, :resource, n.path, CASE WHEN NOT {_ERASED} THEN n.example END"
            " FROM unnest(cast(:paths AS text[]), cast(:examples AS text[])) AS n(path, example)"
            " ON CONFLICT DO NOTHING"
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
    """Store an answer that is not as declared, with any key it quotes removed.

    Of a store in which people were erased the body is not kept: it may hold one of them.
    """
    connection.execute(
        sa.text(
            "INSERT INTO sync.parked_page (store_id, resource, request, reason, body)"
            f" SELECT :store, :resource, :request, :reason, CASE WHEN NOT {_ERASED} THEN :body END"
        ),
        {
            "store": store_id,
            "resource": resource,
            "request": plain(request),
            "reason": plain(reason),
            "body": scrubbed(body[: _PARKED_BYTES + 10_000])[:_PARKED_BYTES],
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
    coverage.count_drift(connection, store_id, resource)
    if crawl_id is not None:
        crawls.count_drift(connection, crawl_id)


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


def forget_old(connection: sa.Connection, ids: Sequence[int], *, days: int) -> None:
    """Delete the proofs, drifts and parked answers of some stores that are older than so many
    days."""
    for table, moment in (("proof", "made_at"), ("drift", "seen_at"), ("parked_page", "seen_at")):
        connection.execute(
            sa.text(
                f"DELETE FROM sync.{table} WHERE store_id = ANY(:ids)"
                f" AND {moment} < now() - make_interval(days => :days)"
            ),
            {"ids": list(ids), "days": days},
        )


def mask(connection: sa.Connection, store_id: int, resource: str, keys: Sequence[str]) -> None:
    """Delete the values kept of some records, and all values of the store that cannot be told apart
    by record: those of unreadable records, examples of unknown fields, parked answers."""
    connection.exec_driver_sql(
        "UPDATE sync.reject SET value = NULL WHERE store_id = %s"
        " AND (resource = %s AND record = ANY(%s) OR record LIKE 'record:%%')",
        (store_id, resource, list(keys)),
    )
    connection.exec_driver_sql(
        "UPDATE sync.unknown_field SET example = NULL WHERE store_id = %s AND example IS NOT NULL",
        (store_id,),
    )
    connection.exec_driver_sql(
        "UPDATE sync.parked_page SET body = NULL WHERE store_id = %s AND body IS NOT NULL",
        (store_id,),
    )


def cut_marks(connection: sa.Connection, spelled: Iterable[str]) -> None:
    """Cut a person's names, phones and e-mails out of all messages, in any of their spellings.

    Paths of unknown fields in which one of them stands are deleted.
    """
    pattern = "|".join(_literally(each) for each in sorted(spelled, key=len, reverse=True))
    if not pattern:
        return
    for place in REPEATING:
        table, column = place.split(".")
        kind = "jsonb" if place == "access_look.answer" else "text"
        connection.exec_driver_sql(
            f"UPDATE sync.{table} SET {column} ="
            f" regexp_replace({column}::text, %(p)s, '[erased]', 'gi')::{kind}"
            f" WHERE {column}::text ~* %(p)s",
            {"p": pattern},
        )
    connection.exec_driver_sql("DELETE FROM sync.unknown_field WHERE path ~* %s", (pattern,))


def _literally(text: str) -> str:
    """Return a regular expression of Postgres that matches a text and nothing else."""
    return "".join(c if c.isalnum() or c.isspace() else f"\\{c}" for c in text)
