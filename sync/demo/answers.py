"""Three SQL queries an analyst would write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

QUESTIONS: tuple[tuple[str, str], ...] = (
    (
        "Revenue by month and site, cancelled orders left out",
        """
SELECT s.name AS store, d.site, to_char(d.day, 'YYYY-MM') AS month,
       sum(d.orders)::bigint AS orders, sum(d.total_summ) AS revenue, d.currency
FROM crm.daily_sales AS d
JOIN crm.store AS s USING (store_id)
WHERE d.status_group IS DISTINCT FROM 'cancel' AND s.name = ANY (:stores)
  AND d.day > (now() AT TIME ZONE s.zone)::date - 100
GROUP BY s.name, d.site, month, d.currency ORDER BY s.name, d.site, month, d.currency
""",
    ),
    (
        "From `new` to `complete`: how long orders take, from their history",
        """
WITH way AS (
  SELECT store_id, order_id, min(created_at) FILTER (WHERE created) AS made,
         min(created_at) FILTER (WHERE field = 'status' AND new_value ->> 'code' = 'complete')
           AS done
  FROM crm.order_history GROUP BY store_id, order_id),
took AS (
  SELECT store_id, extract(epoch FROM done - made) / 86400 AS days FROM way WHERE done > made)
SELECT s.name AS store, count(*) AS orders,
       round(percentile_cont(0.5) WITHIN GROUP (ORDER BY days)::numeric, 1) AS median_days,
       round(percentile_cont(0.9) WITHIN GROUP (ORDER BY days)::numeric, 1) AS days_of_nine_in_ten
FROM took JOIN crm.store AS s USING (store_id) WHERE s.name = ANY (:stores)
GROUP BY s.name ORDER BY s.name
""",
    ),
    (
        "Repeat customers: how many there are, and their share of the revenue",
        """
WITH bought AS (
  SELECT store_id, buyer_id, sum(sales) AS orders, sum(total_summ) AS revenue
  FROM crm.buyer_sales WHERE buyer_type = 'customer' AND sales > 0
  GROUP BY store_id, buyer_id)
SELECT s.name AS store, count(*) AS buyers, count(*) FILTER (WHERE orders > 1) AS again,
       round(100.0 * count(*) FILTER (WHERE orders > 1) / count(*), 1) AS percent,
       round(100.0 * sum(revenue) FILTER (WHERE orders > 1) / sum(revenue), 1)
         AS percent_of_revenue
FROM bought JOIN crm.store AS s USING (store_id) WHERE s.name = ANY (:stores)
GROUP BY s.name ORDER BY s.name
""",
    ),
)


def answer(
    connection: sa.Connection, question: str, *, stores: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    """Return column names and rows, as text; `:stores` is bound to the names of these stores."""
    result = connection.execute(sa.text(question), {"stores": list(stores)})
    return list(result.keys()), [[_text(value) for value in row] for row in result]


def _text(value: Any) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def table(columns: list[str], rows: list[list[str]]) -> list[str]:
    """Return the lines of a plain table; numbers are aligned to the right."""
    widths = [max(len(row[n]) for row in [columns, *rows]) for n in range(len(columns))]
    right = [bool(rows) and all(_is_number(row[n]) for row in rows) for n in range(len(columns))]

    def line(cells: list[str]) -> str:
        shown = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(cells, widths, right, strict=True)
        ]
        return "  ".join(shown).rstrip()

    return [line(columns), *(line(row) for row in rows)]


def _is_number(text: str) -> bool:
    return text.replace(",", "").replace(".", "").lstrip("-").isdigit()
