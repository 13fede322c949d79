"""dlt's REST source into the same Postgres, configured as well as its documentation allows.

    VENV/bin/python tests/bench/with_dlt.py URL KEY DATABASE_URL [workers]

Pages by number, a hundred a page, retries on 503; nested objects whose columns would pass
Postgres's 1,600 (payments, customer, contact, delivery, custom fields) as JSON columns. Runs in a
venv of its own. Prints one JSON line: seconds and rows.
"""

from __future__ import annotations

import json
import sys
import time

import dlt
from dlt.sources.rest_api import rest_api_source

JSON_COLUMNS = ("payments", "customer", "contact", "company", "delivery", "contragent", "source",
                "customFields", "marketplace")  # fmt: skip


def main() -> None:
    """Run one full load and print the figures."""
    url, key, database = sys.argv[1:4]
    source = rest_api_source(
        {
            "client": {
                "base_url": f"{url}/api/v5/",
                "headers": {"X-API-KEY": key},
                "paginator": {
                    "type": "page_number",
                    "base_page": 1,
                    "total_path": "pagination.totalPageCount",
                },
            },
            "resources": [
                {
                    "name": "orders",
                    "primary_key": "id",
                    "write_disposition": "merge",
                    "endpoint": {
                        "path": "orders",
                        "params": {"limit": 100},
                        "data_selector": "orders",
                    },
                    "columns": {name: {"data_type": "json"} for name in JSON_COLUMNS},
                }
            ],
        }
    )
    pipeline = dlt.pipeline(
        "bench", destination=dlt.destinations.postgres(database), dataset_name="dlt_bench"
    )
    began = time.time()
    pipeline.run(source)
    ended = time.time()
    with pipeline.sql_client() as client:
        rows = client.execute_sql("SELECT count(*) FROM orders")[0][0]
    print(json.dumps({"seconds": ended - began, "began": began, "ended": ended, "rows": rows}))


if __name__ == "__main__":
    main()
