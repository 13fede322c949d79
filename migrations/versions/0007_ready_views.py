"""Ready views: time in a status, sales by day, customers, stock, margin, freshness

Revision: 0007, after 0006.
Additive only: nothing an analyst's view may stand on is dropped or retyped.

All run with the rights of whoever asks (security_invoker), so that row-level security holds
through them.
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def _code(value: str) -> str:
    """A history's value names a dictionary entry by an object with its code, or by the code."""
    return (
        f"CASE jsonb_typeof({value}) WHEN 'object' THEN {value} ->> 'code' "
        f"WHEN 'null' THEN NULL ELSE {value} #>> '{{}}' END"
    )


# What an order was before its first change is told by that change; without any, by the order.
SPANS = f"""
SELECT s.store_id, s.order_id, s.ordinal, s.status, s.entered_at,
    coalesce(s.next_at, o.deleted_at) AS left_at,
    coalesce(s.next_at, o.deleted_at) IS NULL AS is_open,
    coalesce(s.next_at, o.deleted_at, now()) - s.entered_at AS lasted
FROM (
    SELECT e.store_id, e.order_id, e.status, e.at AS entered_at,
        lead(e.at) OVER span AS next_at, row_number() OVER span AS ordinal
    FROM (
        SELECT h.store_id, h.order_id, h.created_at AS at, h.id AS entry,
            {_code("h.new_value")} AS status
        FROM crm.order_history AS h
        WHERE h.field = 'status' AND h.deleted_at IS NULL
        UNION ALL
        SELECT b.store_id, b.id, b.created_at, 0,
            CASE WHEN f.order_id IS NULL THEN b.status ELSE f.before END
        FROM crm.orders AS b
        LEFT JOIN (
            SELECT DISTINCT ON (g.store_id, g.order_id) g.store_id, g.order_id,
                {_code("g.old_value")} AS before
            FROM crm.order_history AS g
            WHERE g.field = 'status' AND g.deleted_at IS NULL
            ORDER BY g.store_id, g.order_id, g.created_at, g.id
        ) AS f ON f.store_id = b.store_id AND f.order_id = b.id
        WHERE (f.order_id IS NULL OR f.before IS NOT NULL) AND b.created_at IS NOT NULL
    ) AS e
    WINDOW span AS (PARTITION BY e.store_id, e.order_id ORDER BY e.at, e.entry)
) AS s
LEFT JOIN crm.orders AS o ON o.store_id = s.store_id AND o.id = s.order_id
"""

SALES = """
SELECT o.store_id, o.created_on AS day, o.site, s."group" AS status_group, o.currency,
    count(*) AS orders,
    sum(o.total_summ) AS total_summ,
    sum(o.summ) AS summ,
    sum(o.purchase_summ) AS purchase_summ,
    sum(o.delivery_cost) AS delivery_cost,
    sum(o.prepay_sum) AS prepay_sum
FROM crm.orders AS o
LEFT JOIN crm.statuses AS s ON s.store_id = o.store_id AND s.code = o.status
WHERE o.deleted_at IS NULL
GROUP BY o.store_id, o.created_on, o.site, s."group", o.currency
"""

CUSTOMERS = """
SELECT c.store_id, c.id AS customer_id, c.site, c.created_at AS registered_at,
    coalesce(o.orders, 0) AS orders,
    coalesce(o.canceled_orders, 0) AS canceled_orders,
    o.first_order_at, o.last_order_at,
    CASE WHEN o.currencies = 1 THEN o.currency END AS currency,
    CASE WHEN o.currencies = 1 THEN o.total_summ WHEN o.orders IS NULL THEN 0 END AS total_summ,
    CASE WHEN o.currencies = 1 THEN o.total_summ / nullif(o.orders - o.canceled_orders, 0)
        END AS average_summ,
    c.vip, c.bad
FROM crm.customers AS c
LEFT JOIN (
    SELECT i.store_id, i.customer_id, count(*) AS orders,
        count(*) FILTER (WHERE s."group" = 'cancel') AS canceled_orders,
        min(i.created_at) AS first_order_at, max(i.created_at) AS last_order_at,
        count(DISTINCT i.currency) AS currencies, min(i.currency) AS currency,
        coalesce(sum(i.total_summ) FILTER (WHERE s."group" IS DISTINCT FROM 'cancel'), 0)
            AS total_summ
    FROM crm.orders AS i
    LEFT JOIN crm.statuses AS s ON s.store_id = i.store_id AND s.code = i.status
    WHERE i.deleted_at IS NULL AND i.customer_id IS NOT NULL
        AND i.customer_type IS DISTINCT FROM 'customer_corporate'
    GROUP BY i.store_id, i.customer_id
) AS o ON o.store_id = c.store_id AND o.customer_id = c.id
WHERE c.deleted_at IS NULL
"""

STOCK = """
SELECT i.store_id, i.id AS offer_id, i.site, i.article, i.name AS offer,
    f.product_id, f.product_name AS product,
    coalesce(w.store, w.code) AS warehouse, h.name AS warehouse_name,
    CASE WHEN w.inventory_id IS NULL THEN i.quantity ELSE w.quantity END AS quantity,
    w.available,
    coalesce(w.purchase_price, i.purchase_price) AS purchase_price,
    CASE WHEN w.inventory_id IS NULL THEN i.quantity ELSE w.quantity END
        * coalesce(w.purchase_price, i.purchase_price) AS purchase_value,
    i.as_of
FROM crm.inventories AS i
LEFT JOIN crm.inventory_stores AS w ON w.store_id = i.store_id AND w.inventory_id = i.id
LEFT JOIN crm.warehouses AS h ON h.store_id = i.store_id AND h.code = coalesce(w.store, w.code)
LEFT JOIN crm.offers AS f ON f.store_id = i.store_id AND f.id = i.id
WHERE i.deleted_at IS NULL
"""

MARGIN = """
SELECT o.store_id, o.id AS order_id, o.site, o.created_on, o.status, o.currency, o.total_summ,
    coalesce(i.items_summ, 0) AS items_summ,
    coalesce(i.purchase_summ, 0) AS purchase_summ,
    coalesce(i.unpriced, 0) AS items_without_purchase_price,
    coalesce(o.delivery_net_cost, 0) AS delivery_net_cost,
    coalesce(c.costs, 0) AS costs,
    o.total_summ - coalesce(i.purchase_summ, 0) - coalesce(o.delivery_net_cost, 0)
        - coalesce(c.costs, 0) AS margin
FROM crm.orders AS o
LEFT JOIN (
    SELECT p.store_id, p.order_id,
        sum(coalesce(t.summ, (p.initial_price - coalesce(p.discount_total, 0)) * p.quantity))
            AS items_summ,
        sum(p.purchase_price * p.quantity) AS purchase_summ,
        count(*) FILTER (WHERE p.purchase_price IS NULL) AS unpriced
    FROM crm.order_items AS p
    LEFT JOIN LATERAL (
        SELECT sum((e ->> 'price')::numeric * (e ->> 'quantity')::numeric) AS summ
        FROM jsonb_array_elements(CASE jsonb_typeof(p.prices) WHEN 'array' THEN p.prices END) AS e
        WHERE jsonb_typeof(e -> 'price') = 'number' AND jsonb_typeof(e -> 'quantity') = 'number'
    ) AS t ON true
    WHERE p.is_canceled IS NOT true
    GROUP BY p.store_id, p.order_id
) AS i ON i.store_id = o.store_id AND i.order_id = o.id
LEFT JOIN (
    SELECT k.store_id, k.order_id, sum(k.summ) AS costs
    FROM crm.costs AS k WHERE k.deleted_at IS NULL AND k.order_id IS NOT NULL
    GROUP BY k.store_id, k.order_id
) AS c ON c.store_id = o.store_id AND c.order_id = o.id
WHERE o.deleted_at IS NULL
"""

FRESHNESS = """
SELECT c.store_id, c.store, c.resource, c.state, c.complete_as_of,
    now() - c.complete_as_of AS age, c.mirrored, c.expected,
    greatest(c.expected - c.mirrored, 0) AS missing
FROM crm.coverage AS c
"""

STORE_ID = "crm.store.store_id"
VIEWS: dict[str, tuple[str, str, dict[str, str]]] = {
    "order_status_spans": (
        SPANS,
        "How long each order was in each status, from its history; an open span lasts until now",
        {
            "store_id": STORE_ID,
            "order_id": "joins crm.orders.id",
            "ordinal": "the order's spans, counted from 1",
            "status": "joins crm.statuses.code",
            "entered_at": "when the order came into the status",
            "left_at": "when it left it, or was deleted; NULL while it is in it",
            "is_open": "whether the order is in it",
            "lasted": "left_at, or now, less entered_at",
        },
    ),
    "daily_sales": (
        SALES,
        "Live orders by creation day in the store's zone, site, status group and currency",
        {
            "store_id": STORE_ID,
            "day": "creation day in the store's zone",
            "site": "joins crm.sites.code",
            "status_group": "joins crm.status_groups.code",
            "currency": "ISO 4217; amounts of several currencies are never added up",
            "orders": "how many",
            "total_summ": "amounts due: items, discounts and delivery",
            "summ": "items before the orders' discounts",
            "purchase_summ": "purchase cost of the items, by the CRM",
            "delivery_cost": "what customers pay for delivery",
            "prepay_sum": "what was paid already",
        },
    ),
    "customer_summary": (
        CUSTOMERS,
        "Live customers and their live orders, counted from the mirror's own rows",
        {
            "store_id": STORE_ID,
            "customer_id": "joins crm.customers.id",
            "site": "customer's site; joins crm.sites.code",
            "registered_at": "when the customer registered",
            "orders": "their orders",
            "canceled_orders": "of them in a status of the group cancel",
            "first_order_at": "when the first was made",
            "last_order_at": "when the last was made",
            "currency": "of the orders; NULL when there are several or none",
            "total_summ": "amounts due of orders not cancelled; NULL for several currencies",
            "average_summ": "the same, an order",
            "vip": "marked as VIP",
            "bad": "marked as bad",
        },
    ),
    "stock": (
        STOCK,
        "Stock of each offer in each warehouse; one row without a warehouse where only a total is"
        " known",
        {
            "store_id": STORE_ID,
            "offer_id": "joins crm.offers.id",
            "site": "joins crm.sites.code",
            "article": "article number",
            "offer": "offer's name",
            "product_id": "joins crm.products.id",
            "product": "product's name",
            "warehouse": "joins crm.warehouses.code",
            "warehouse_name": "warehouse's name",
            "quantity": "stock",
            "available": "of it not reserved",
            "purchase_price": "purchase price, a unit",
            "purchase_value": "quantity at that price",
            "as_of": "send moment of the request it is known from",
        },
    ),
    "order_margin": (
        MARGIN,
        "What is left of each live order after purchase, delivery and costs, in its currency",
        {
            "store_id": STORE_ID,
            "order_id": "joins crm.orders.id",
            "site": "joins crm.sites.code",
            "created_on": "creation day in the store's zone",
            "status": "joins crm.statuses.code",
            "currency": "ISO 4217 currency of all amounts",
            "total_summ": "amount due: items, discount and delivery",
            "items_summ": "items not cancelled, at the prices sold",
            "purchase_summ": "the same at purchase prices",
            "items_without_purchase_price": "items whose cost is unknown and taken as nothing",
            "delivery_net_cost": "what delivery costs the shop",
            "costs": "crm.costs booked on the order",
            "margin": "total_summ less purchase_summ, delivery_net_cost and costs",
        },
    ),
    "freshness": (
        FRESHNESS,
        "How old each resource of each store may be; age is NULL until it is proven complete",
        {
            "store_id": STORE_ID,
            "store": "the store's name",
            "resource": "Resource.name",
            "state": "see crm.coverage",
            "complete_as_of": "every change the CRM made until then is in the mirror",
            "age": "now less complete_as_of",
            "mirrored": "live rows in crm",
            "expected": "records in the CRM as far as is known",
            "missing": "how many of them are not here yet",
        },
    ),
}


def upgrade() -> None:
    for name, (query, note, columns) in VIEWS.items():
        op.execute(f"CREATE VIEW crm.{name} WITH (security_invoker) AS {query}")
        op.execute(f"COMMENT ON VIEW crm.{name} IS {_quoted(note)}")
        for column, about in columns.items():
            op.execute(f'COMMENT ON COLUMN crm.{name}."{column}" IS {_quoted(about)}')
    op.execute("COMMENT ON COLUMN crm.coverage.resource IS 'Resource.name'")
    op.execute("COMMENT ON COLUMN crm.coverage.store_id IS 'crm.store.store_id'")
    for column, about in {
        "store_id": "store_id of every other table",
        "name": "its name in commands and in crm.coverage",
        "zone": "IANA zone of all its local times",
        "currency": "ISO 4217 default currency",
        "enabled": "whether it is crawled",
    }.items():
        op.execute(f"COMMENT ON COLUMN crm.store.{column} IS {_quoted(about)}")


def downgrade() -> None:
    for name in VIEWS:
        op.execute(f"DROP VIEW crm.{name}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
