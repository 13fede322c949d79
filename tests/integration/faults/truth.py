"""The mirror against the oracle, row for row, without the code that filled it.

Typed columns and children are made a second time here, in SQL, from `raw`; of the declarations
only names, paths and kinds are used.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson
import psycopg

from sync.declare import Child, Field, Resource
from sync.resources import RESOURCES
from sync.sandbox.sending import steady

Connection = psycopg.Connection[tuple[Any, ...]]

# Our name of a resource, and the oracle's.
FOLLOWED = {
    "orders": "orders",
    "customers": "customers",
    "corporate_customers": "customers-corporate",
    "packs": "packs",
    "tasks": "tasks",
}
REFRESHED = {
    "customer_notes": "customer-notes",
    "costs": "costs",
    "files": "files",
    "users": "users",
    "products": "products",
    "product_groups": "product-groups",
    "loyalties": "loyalties",
    "loyalty_accounts": "loyalty-accounts",
}
COLLECTIONS = FOLLOWED | REFRESHED
HISTORIES = {
    "order_history": "orders",
    "customer_history": "customers",
    "corporate_customer_history": "customers-corporate",
    "pack_history": "packs",
    "task_history": "tasks",
}
DICTIONARIES = {
    "statuses": "statuses",
    "status_groups": "status-groups",
    "order_types": "order-types",
    "order_methods": "order-methods",
    "payment_types": "payment-types",
    "payment_statuses": "payment-statuses",
    "delivery_types": "delivery-types",
    "product_statuses": "product-statuses",
    "price_types": "price-types",
    "units": "units",
}
UNSTORABLE = dict.fromkeys((0, *range(55296, 57344)), "�")


@dataclass
class Verdict:
    """What the mirror has wrong, each in words; empty lists are what every scenario ends with."""

    lost: list[str] = field(default_factory=list)
    ghosts: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    tombstones: list[str] = field(default_factory=list)
    checkpoints: list[str] = field(default_factory=list)

    def wrong(self) -> dict[str, list[str]]:
        """The lists that are not empty, the first few of each."""
        return {name: found[:8] for name, found in vars(self).items() if found}


@dataclass
class Told:
    """What the oracle says of an account."""

    summary: dict[str, Any]
    records: dict[str, dict[int, Any]]
    deleted: dict[str, list[dict[str, Any]]]
    entries: dict[str, dict[int, Any]]
    dictionaries: dict[str, dict[str, Any]]


def storable(value: Any) -> Any:
    """JSON without what Postgres cannot hold: the one liberty `raw` takes."""
    if isinstance(value, str):
        return value.translate(UNSTORABLE)
    if isinstance(value, list):
        return [storable(member) for member in value]
    if isinstance(value, dict):
        return {storable(name): storable(member) for name, member in value.items()}
    return value


def judge(connection: Connection, store_id: int, told: Told) -> Verdict:
    """Compare everything the oracle tells of with one store's rows."""
    verdict = Verdict()
    mirrored = {
        name
        for (name,) in connection.execute(
            "SELECT resource FROM sync.coverage WHERE store_id = %s AND selected", [store_id]
        )
    }
    for resource, collection in _of(mirrored, COLLECTIONS):
        sent = {key: steady(storable(row)) for key, row in told.records[collection].items()}
        here = {
            key: steady(row) for key, row in _live(connection, store_id, resource, "id").items()
        }
        _compare(verdict, resource, sent, here)
        if resource in FOLLOWED:
            _judge_tombstones(verdict, connection, store_id, resource, told.deleted[collection])
    for resource, history in _of(mirrored, HISTORIES):
        subject = RESOURCES[resource].listing.subject  # type: ignore[union-attr]
        sent = {key: _stub(storable(e), subject) for key, e in told.entries[history].items()}
        rows = _live(connection, store_id, resource, "id")
        here = {key: _stub(row, subject) for key, row in rows.items()}
        _compare(verdict, resource, sent, here)
    for resource, name in _of(mirrored, DICTIONARIES):
        sent = {key: storable(row) for key, row in told.dictionaries[name].items()}
        _compare(verdict, resource, sent, _live(connection, store_id, resource, "code"))
    zone = connection.execute("SELECT zone FROM sync.store WHERE id = %s", [store_id]).fetchone()
    assert zone is not None
    for each in RESOURCES.values():
        _judge_columns(verdict, connection, store_id, each, str(zone[0]))
        for child in each.children:
            _judge_children(verdict, connection, store_id, each, child, str(zone[0]))
    _judge_checkpoints(verdict, connection, store_id, told)
    return verdict


def _of(mirrored: set[str], names: dict[str, str]) -> list[tuple[str, str]]:
    return [(ours, theirs) for ours, theirs in names.items() if ours in mirrored]


def _live(connection: Connection, store_id: int, resource: str, key: str) -> dict[Any, Any]:
    rows = connection.execute(
        f"SELECT {key}, raw::text FROM crm.{resource} WHERE store_id = %s AND deleted_at IS NULL",
        [store_id],
    )
    return {row[0]: orjson.loads(row[1]) for row in rows}


def _compare(verdict: Verdict, name: str, sent: dict[Any, Any], here: dict[Any, Any]) -> None:
    verdict.lost += [f"{name} {key}" for key in sent.keys() - here.keys()]
    verdict.ghosts += [f"{name} {key}" for key in here.keys() - sent.keys()]
    for key in sent.keys() & here.keys():
        if sent[key] != here[key]:
            verdict.stale.append(f"{name} {key}: {_difference(sent[key], here[key])}")


def _difference(sent: Any, here: Any) -> str:
    if isinstance(sent, dict) and isinstance(here, dict):
        names = [n for n in {*sent, *here} if sent.get(n) != here.get(n)]
        return "; ".join(
            f"{n}: {json.dumps(here.get(n))[:120]} for {json.dumps(sent.get(n))[:120]}"
            for n in sorted(names)[:3]
        )
    return "differs"


def _stub(entry: dict[str, Any], subject: str) -> dict[str, Any]:
    """An entry without the whole object that a creation carries: it shows people as of now."""
    about = entry.get(subject)
    if isinstance(about, dict):
        return {**entry, subject: {"id": about.get("id"), "site": about.get("site")}}
    return entry


def _judge_tombstones(
    verdict: Verdict,
    connection: Connection,
    store_id: int,
    resource: str,
    gone: list[dict[str, Any]],
) -> None:
    """Whatever was deleted since the bookmark is a tombstone with the reason history tells."""
    history = RESOURCES[resource].changes.by  # type: ignore[union-attr]
    row = connection.execute(
        "SELECT bookmark FROM sync.feed WHERE store_id = %s AND resource = %s", [store_id, history]
    ).fetchone()
    bookmark = row[0] if row else 0
    subject = RESOURCES[history].listing.subject  # type: ignore[union-attr]
    told_since = {
        found[0]
        for found in connection.execute(
            "SELECT (raw #>> ARRAY[%s, 'id'])::bigint FROM crm."
            f"{history} WHERE store_id = %s AND id > %s"
            " AND (raw ->> 'deleted' = 'true' OR raw -> 'combinedTo' IS NOT NULL)",
            [subject, store_id, bookmark],
        )
    }
    tombstones = {
        found[0]: found[1:]
        for found in connection.execute(
            f"SELECT id, deleted_reason, combined_to FROM crm.{resource}"
            " WHERE store_id = %s AND deleted_at IS NOT NULL",
            [store_id],
        )
    }
    known = {record["id"]: record for record in gone}
    verdict.tombstones += [
        f"{resource} {key} is a tombstone, and was never deleted"
        for key in tombstones.keys() - known
    ]
    for key, record in known.items():
        if key not in told_since:
            continue
        if key not in tombstones:
            verdict.tombstones.append(f"{resource} {key} has no tombstone")
            continue
        reason, survivor = tombstones[key]
        wanted = "combined" if record.get("combinedTo") else "history"
        if reason != wanted or survivor != record.get("combinedTo"):
            verdict.tombstones.append(f"{resource} {key} is {reason} {survivor}, not {record}")


# --- columns, a second time ---------------------------------------------------------------------


def _judge_columns(
    verdict: Verdict, connection: Connection, store_id: int, resource: Resource, zone: str
) -> None:
    key = resource.key or "''"
    wrong = _mismatches(resource.fields, "t", "t.raw", zone, skip=_made_elsewhere(resource))
    rows = connection.execute(
        f"SELECT * FROM (SELECT t.{key}::text AS key, {wrong} AS wrong FROM crm.{resource.name} AS"
        " t WHERE t.store_id = %(store)s AND t.deleted_at IS NULL) AS w"
        " WHERE EXISTS (SELECT FROM unnest(wrong) AS n(name) WHERE name NOT IN"
        " (SELECT field FROM sync.reject WHERE store_id = %(store)s AND resource = %(name)s"
        " AND record = w.key))"
        if resource.key
        else f"SELECT * FROM (SELECT '' AS key, {wrong} AS wrong FROM crm.{resource.name} AS t"
        " WHERE t.store_id = %(store)s AND t.deleted_at IS NULL) AS w"
        " WHERE wrong <> '{}' AND %(name)s <> ''",
        {"store": store_id, "name": resource.name},
    )
    verdict.columns += [f"{resource.name} {row[0]}: {', '.join(row[1][:6])}" for row in rows]


def _made_elsewhere(resource: Resource) -> set[str]:
    made = {resource.key} if resource.made else set()
    return made | ({resource.parent.column} if resource.parent else set())


def _judge_children(
    verdict: Verdict,
    connection: Connection,
    store_id: int,
    resource: Resource,
    child: Child,
    zone: str,
) -> None:
    """Every member of the list is a row with the right columns, and there is no other row."""
    parent = f"t.{resource.parent_column}" if resource.parent_column else "''"
    source = f"p.{resource.key}" if resource.key else "''"
    key = child.key or "ordinal"
    by_key = next((f for f in child.fields if f.name == child.key), None)
    made_key = column_sql(by_key, "m.member", zone) if by_key else "m.ordinal"
    member = "e.value"
    named = (
        f"jsonb_build_object('{child.map_key}', e.key) || e.value" if child.map_key else "e.value"
    )
    where = _place("p.raw", child.path)
    wrong = _mismatches(child.fields, "t", "s.member", zone, skip=set())
    sql = f"""
        WITH sent AS MATERIALIZED (
            SELECT DISTINCT ON (parent, key) * FROM (
                SELECT m.parent, m.member, m.ordinal, {made_key} AS key FROM (
                    SELECT {source} AS parent, {member} AS member, e.ordinality AS ordinal
                    FROM crm.{resource.name} AS p, jsonb_array_elements(
                        CASE WHEN jsonb_typeof({where}) = 'array' THEN {where} ELSE '[]' END
                    ) WITH ORDINALITY AS e
                    WHERE p.store_id = %(store)s AND p.deleted_at IS NULL
                    UNION ALL
                    SELECT {source}, {named}, e.ordinality
                    FROM crm.{resource.name} AS p, jsonb_each(
                        CASE WHEN jsonb_typeof({where}) = 'object' THEN {where} ELSE '{{}}' END
                    ) WITH ORDINALITY AS e(key, value, ordinality)
                    WHERE p.store_id = %(store)s AND p.deleted_at IS NULL
                ) AS m
            ) AS k WHERE key IS NOT NULL ORDER BY parent, key, ordinal DESC
        ), here AS (SELECT * FROM crm.{child.name} WHERE store_id = %(store)s)
        SELECT coalesce(s.parent::text, {parent}::text), coalesce(s.key::text, t.{key}::text),
            t.store_id IS NULL, s.key IS NULL,
            CASE WHEN t.store_id IS NULL OR s.key IS NULL THEN '{{}}' ELSE {wrong} END
        FROM sent AS s FULL JOIN here AS t ON {parent} = s.parent AND t.{key} = s.key
        WHERE t.store_id IS NULL OR s.key IS NULL OR ({wrong} <> '{{}}' AND NOT EXISTS (
            SELECT FROM sync.reject AS r WHERE r.store_id = %(store)s
            AND r.resource = %(name)s AND r.record = s.parent::text
            AND r.field LIKE %(like)s))"""
    binds = {"store": store_id, "name": resource.name, "like": f"{child.name}%"}
    for owner, name, missing, extra, columns in connection.execute(sql, binds):
        what = f"{child.name} {name} of {owner}"
        if missing:
            verdict.lost.append(what)
        elif extra:
            verdict.doubled.append(what)
        else:
            verdict.columns.append(f"{what}: {', '.join(columns[:6])}")


def _mismatches(
    fields: Iterable[Field], table: str, json_sql: str, zone: str, *, skip: set[str]
) -> str:
    cases = ", ".join(
        f'CASE WHEN {table}."{f.name}" IS DISTINCT FROM {column_sql(f, json_sql, zone)}'
        f" THEN '{f.name}' END"
        for f in fields
        if f.name not in skip
    )
    return f"array_remove(ARRAY[{cases}]::text[], NULL)"


def _place(base: str, path: str) -> str:
    return f"({base} #> '{{{path.replace('.', ',')}}}')" if path else f"({base})"


_LOCAL = "^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\\.[0-9]+)?)?)?$"
_ZERO = "^(0000-00-00|-0001-11-30)"


def column_sql(field: Field, base: str, zone: str) -> str:
    """A field's value made from the record by Postgres alone."""
    j = _place(base, field.path)
    t = f"({j} #>> '{{}}')"
    kind = f"jsonb_typeof({j})"
    dated = f"{kind} = 'string' AND {t} ~ '{_LOCAL}' AND {t} !~ '{_ZERO}'"
    match field.kind.sql:
        case "text":
            return f"CASE WHEN {kind} IN ('string', 'number', 'boolean') THEN {t} END"
        case "bigint":
            return (
                f"CASE WHEN {kind} IN ('string', 'number') AND {t} ~ '^ *[+-]?[0-9]{{1,18}}(\\.0+)?"
                f" *$' THEN {t}::numeric::bigint END"
            )
        case "numeric":
            return (
                f"CASE WHEN {kind} = 'number' THEN {t}::numeric"
                f" WHEN {kind} = 'string' AND {t} ~ '^ *[+-]?[0-9]+([.,][0-9]+)? *$'"
                f" THEN replace({t}, ',', '.')::numeric END"
            )
        case "boolean":
            return (
                f"CASE WHEN lower({t}) IN ('1', 'true', 'yes', 'on') THEN true"
                f" WHEN lower({t}) IN ('0', 'false', 'no', 'off') THEN false END"
            )
        case "date":
            return (
                f"CASE WHEN {kind} = 'string' AND {t} ~ '^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}'"
                f" AND {t} !~ '{_ZERO}' THEN left({t}, 10)::date END"
            )
        case "timestamptz":
            return f"CASE WHEN {dated} THEN {t}::timestamp AT TIME ZONE '{zone}' END"
        case "time":
            return f"CASE WHEN {kind} = 'string' AND {t} <> '' THEN {t}::time END"
        case "jsonb":
            empty = f" WHEN {j} = '[]' THEN '{{}}'" if field.kind.name == "map" else ""
            return f"CASE WHEN {kind} = 'null' OR {j} = '\"\"' THEN NULL{empty} ELSE {j} END"
    raise AssertionError(field.kind.sql)


# --- checkpoints --------------------------------------------------------------------------------

_CHECKS = {
    "{} of {}: feed head {} tail {}": (
        "SELECT 'feed', resource, head_id, tail_id FROM sync.feed WHERE store_id = %(store)s"
        " AND (head_id <> (%(newest)s::jsonb ->> resource)::bigint OR tail_id > head_id)"
    ),
    "window {} of {}: page {} of {}": (
        "SELECT id, resource, last_page, page_count FROM sync.window WHERE store_id = %(store)s"
        " AND after_id IS NULL AND last_page > page_count"
    ),
    "window {} of {} is {} under a crawl that is {}": (
        "SELECT w.id, w.resource, w.state, c.state FROM sync.window AS w JOIN sync.crawl AS c"
        " ON c.id = w.crawl_id WHERE w.store_id = %(store)s AND c.state = 'done'"
        " AND w.state <> 'proven'"
    ),
    "crawl {} of {} is {} in phase {}": (
        "SELECT id, resource, state, phase FROM sync.crawl WHERE store_id = %(store)s"
        " AND state <> 'done'"
    ),
    "lane {} {} is held by {}, {}": (
        "SELECT resource, lane, holder, coalesce(error, '') FROM sync.lane"
        " WHERE store_id = %(store)s AND (lease_until > now() OR parked_at IS NOT NULL)"
    ),
    "coverage of {} {} says {} rows, there are {}": None,
    "page of {} parked: {} {}{}": (
        "SELECT resource, request, reason, '' FROM sync.parked_page WHERE store_id = %(store)s"
    ),
}


def _judge_checkpoints(verdict: Verdict, connection: Connection, store_id: int, told: Told) -> None:
    newest = {name: told.summary["history"][history] for name, history in HISTORIES.items()}
    binds = {"store": store_id, "newest": json.dumps(newest)}
    for words, sql in _CHECKS.items():
        if sql is not None:
            verdict.checkpoints += [words.format(*row) for row in connection.execute(sql, binds)]
            continue
        for resource in RESOURCES:
            row = connection.execute(
                f"SELECT mirrored, (SELECT count(*) FROM crm.{resource} WHERE store_id = %(store)s"
                " AND deleted_at IS NULL) FROM sync.coverage WHERE store_id = %(store)s"
                " AND resource = %(resource)s",
                {"store": store_id, "resource": resource},
            ).fetchone()
            if row is None or row[0] != row[1]:
                verdict.checkpoints.append(words.format(resource, "", *(row or ("no", ""))))
