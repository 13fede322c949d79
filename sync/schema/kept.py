"""Tables kept up with the rows that they are worked out from: what a view is too slow for.

A view in `sync` of the same name, without the prefix, defines each of them; the view of that name
in `crm` shows it to analysts. What changes by itself (the clock, a dictionary, the account's
currency) is not kept: the view in `crm` adds it. sync/rows/kept.py writes them.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from sync.schema.columns import METADATA, day, key, number, store_id, text, timestamp


def _amount(name: str, comment: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Numeric, comment=comment)


SPANS = sa.Table(
    "kept_order_status_spans",
    METADATA,
    store_id(),
    key("order_id", "joins crm.orders.id"),
    key("ordinal", "1 for the order's first status"),
    text("status", "joins crm.statuses.code"),
    timestamp("entered_at", "when the order entered the status"),
    timestamp("left_at", "when it left; NULL while it is in it"),
    schema="crm",
    comment="crm.order_status_spans as they are stored; read that view",
)
MARGIN = sa.Table(
    "kept_order_margin",
    METADATA,
    store_id(),
    key("order_id", "joins crm.orders.id"),
    text("site", "joins crm.sites.code"),
    day("created_on", "day the order was made, in the store's zone"),
    text("status", "joins crm.statuses.code"),
    text("currency", "ISO 4217 currency of all amounts but costs"),
    _amount("total_summ", "amount due"),
    _amount("items_summ", "what its items were sold for"),
    _amount("purchase_summ", "the same at purchase prices"),
    number("items_without_purchase_price", "items of no known purchase price"),
    _amount("delivery_net_cost", "what delivery costs the shop"),
    _amount("costs", "other costs booked on the order, in the account's currency"),
    sa.Index("kept_order_margin_by_created_on", "store_id", "created_on"),
    schema="crm",
    comment="crm.order_margin without what joins add; read that view",
)
KEPT = (SPANS, MARGIN)
