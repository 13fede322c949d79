"""Three SQL queries an analyst would write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

QUESTIONS: tuple[tuple[str, str], ...] = (
    (
        "Revenue by month and site, cancelled orders left out",
        """
SELECT s.name AS store, o.site, to_char(o.created_at AT TIME ZONE s.zone, 'YYYY-MM') AS month,
       count(*) AS orders, sum(o.total_summ) AS revenue, s.currency
FROM crm.orders AS o
JOIN crm.store AS s USING (store_id)
JOIN crm.statuses AS t ON t.store_id = o.store_id AND t.code = o.status
WHERE o.deleted_at IS NULL AND t."group" <> 'cancel' AND s.name = ANY (:stores)
  AND o.created_at > now() - interval '100 days'
GROUP BY s.name, o.site, month, s.currency ORDER BY s.name, o.site, month
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
  SELECT store_id, customer_id, count(*) AS orders, sum(total_summ) AS revenue
  FROM crm.orders WHERE deleted_at IS NULL AND customer_id IS NOT NULL
  GROUP BY store_id, customer_id)
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
