"""Typed columns and children worked out from `raw` by SQL alone, to judge the normaliser's by."""

from __future__ import annotations

import sqlalchemy as sa

COLUMNS = {
    "orders": {
        "id": "(raw->>'id')::bigint",
        "number": "raw->>'number'",
        "external_id": "raw->>'externalId'",
        "site": "raw->>'site'",
        "status": "raw->>'status'",
        "created_on": "left(raw->>'createdAt', 10)::date",
        "created_at": "(raw->>'createdAt')::timestamp AT TIME ZONE :zone",
        "status_updated_at": "(raw->>'statusUpdatedAt')::timestamp AT TIME ZONE :zone",
        "summ": "(raw->>'summ')::numeric",
        "total_summ": "(raw->>'totalSumm')::numeric",
        "purchase_summ": "(raw->>'purchaseSumm')::numeric",
        "currency": "raw->>'currency'",
        "first_name": "raw->>'firstName'",
        "call": "(raw->>'call')::boolean",
        "manager_id": "(raw->>'managerId')::bigint",
        "manager_comment": "raw->>'managerComment'",
        "customer_id": "(raw#>>'{customer,id}')::bigint",
        "customer_type": "raw#>>'{customer,type}'",
        "delivery_cost": "(raw#>>'{delivery,cost}')::numeric",
        "delivery_address_city": "raw#>>'{delivery,address,city}'",
        "shipment_date": "(raw->>'shipmentDate')::date",
    },
    "customers": {
        "id": "(raw->>'id')::bigint",
        "external_id": "raw->>'externalId'",
        "site": "raw->>'site'",
        "created_on": "left(raw->>'createdAt', 10)::date",
        "created_at": "(raw->>'createdAt')::timestamp AT TIME ZONE :zone",
        "first_name": "raw->>'firstName'",
        "email": "raw->>'email'",
        "vip": "(raw->>'vip')::boolean",
        "total_summ": "(raw->>'totalSumm')::numeric",
        "orders_count": "(raw->>'ordersCount')::bigint",
        "cumulative_discount": "(raw->>'cumulativeDiscount')::numeric",
        "address_city": "raw#>>'{address,city}'",
    },
}

_ITEM = "(m->>'id')::bigint, (m->>'quantity')::numeric, m->>'status', (m#>>'{offer,id}')::bigint"
_PAYMENT = "(m->>'id')::bigint, m->>'type', m->>'status', (m->>'amount')::numeric"
CHILDREN = {
    "orders": {
        "order_items": (
            "order_id, id, quantity, status, offer_id",
            f"SELECT t.id, {_ITEM} FROM t, jsonb_array_elements(t.raw->'items') AS m",
        ),
        "order_payments": (
            "order_id, id, type, status, amount",
            f"SELECT t.id, {_PAYMENT} FROM t, jsonb_path_query(t.raw->'payments', '$.*') AS m"
            f" WHERE jsonb_typeof(t.raw->'payments') = 'object'"
            f" UNION ALL SELECT t.id, {_PAYMENT}"
            " FROM t, jsonb_path_query(t.raw->'payments', '$[*]') AS m"
            " WHERE jsonb_typeof(t.raw->'payments') = 'array'",
        ),
    },
    "customers": {
        "customer_phones": (
            "customer_id, ordinal, number",
            "SELECT t.id, m.n, m.v->>'number' FROM t,"
            " jsonb_array_elements(t.raw->'phones') WITH ORDINALITY AS m(v, n)",
        ),
        "customer_tags": (
            "customer_id, ordinal, name",
            "SELECT t.id, m.n, m.v->>'name' FROM t,"
            " jsonb_array_elements(t.raw->'tags') WITH ORDINALITY AS m(v, n)",
        ),
    },
}


def assert_columns_follow_from_raw(
    connection: sa.Connection, store_id: int, resource: str, zone: str
) -> None:
    """Every live row's columns, and all children, are what its raw says."""
    binds = {"store": store_id, "zone": zone}
    for column, expression in COLUMNS[resource].items():
        wrong = connection.execute(
            sa.text(
                f'SELECT id, "{column}", {expression} FROM crm.{resource} WHERE store_id = :store'
                f' AND deleted_at IS NULL AND "{column}" IS DISTINCT FROM {expression} LIMIT 3'
            ),
            binds if ":zone" in expression else {"store": store_id},
        ).all()
        assert not wrong, f"{resource}.{column} (id, is, raw says): {wrong}"
    for child, (names, derived) in CHILDREN[resource].items():
        live = f"SELECT id, raw FROM crm.{resource} WHERE store_id = :store AND deleted_at IS NULL"
        have = f"SELECT {names} FROM crm.{child} WHERE store_id = :store"
        wrong = connection.execute(
            sa.text(
                f"WITH t AS ({live}), have AS ({have}), want AS ({derived})"
                " (SELECT 'too many', * FROM (TABLE have EXCEPT ALL TABLE want) AS a)"
                " UNION ALL (SELECT 'missing', * FROM (TABLE want EXCEPT ALL TABLE have) AS b)"
                " LIMIT 3"
            ),
            {"store": store_id},
        ).all()
        assert not wrong, f"{child}: {wrong}"
