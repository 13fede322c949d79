"""What can be turned on a sandbox while it runs: limits, faults, drift, quirks."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

CHURN_MIX = {
    "create_order": 18.0,
    "update_order": 42.0,
    "delete_order": 8.0,
    "redate_order": 2.0,
    "move_order": 1.0,
    "undelete_order": 1.0,
    "create_customer": 7.0,
    "update_customer": 13.0,
    "delete_customer": 4.0,
    "merge_customers": 2.0,
    "touch_silently": 2.0,
}
ORDERS_OF_LISTS = ("newest", "oldest", "id_desc", "id_asc", "shuffled")


@dataclass
class Knobs:
    """Every switch of a sandbox, with its unit. A list of accounts or paths may hold `*` patterns.

    Limits
      rate                    requests in any sliding second from one client address; above it 503.
                              0 = no limit. Refused requests do not count against the window.
      telephony_rate          the same for /telephony, a window of its own; only when `rate` is on.
      retry_after             seconds sent as Retry-After with a 503; None = no such header.
      latency_ms              (low, high), or one number: milliseconds an answer of the API takes.
                              What it shows is the state of some moment within them.
    Faults
      fault_share             kind -> share of API requests (0..1). Kinds: "500", "502" (HTML page),
                              "503", "html" (HTML with 200), "cut" (200, half a JSON),
                              "short" (the connection ends inside the body), "slow", "reset".
      slow_seconds            how long "slow" waits before the true answer.
      html_always             accounts whose host answers every request with an HTML page.
      missing                 paths below /api/v5/ that this server does not know (404).
      forbidden               paths below /api/v5/ that no key may read (403 "Access denied.").
    Drift
      list_lag_seconds        lists and filter[ids] show the state of so many seconds ago, while
                              the history shows a change at once and GET by id the newest state.
      history_publish_delay   seconds between an id being allotted and its save being committed:
      history_publish_share   this share of saves is such a long transaction. Until its commit
                              neither history nor lists nor GET show it, though larger ids do.
      history_retention       seconds; older entries are gone from the history. None = kept.
      history_hidden_share    share of entries that totalCount counts and no page shows.
      merge_writes_order_history  a merge of customers writes `customer` entries for their orders.
    Lists
      order_of_lists          "newest" (createdAt, id descending), "oldest", "id_desc", "id_asc",
                              or "shuffled": another order at every request.
      ignore_date_filter      date filters of lists are read and ignored.
      total_page_count_never_ends  totalPageCount is always one more than the page asked for.
      same_page_again         every page number answers page 1.
      beyond_end              a page after the last: "empty", "404" or "400".
      unknown_filter          "ignore" or "400".
      strict_since_id         refuse filter[sinceId] beside page=1 too, not only page>1.
    Life
      churn_per_second        saves per second of orders and customers while churn runs.
      churn_mix               mutation -> weight; see CHURN_MIX.
    """

    rate: float = 0
    telephony_rate: float = 40
    retry_after: float | None = None
    latency_ms: tuple[float, float] = (0, 0)

    fault_share: dict[str, float] = field(default_factory=dict)
    slow_seconds: float = 2.0
    html_always: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    forbidden: list[str] = field(default_factory=list)

    list_lag_seconds: float = 0
    history_publish_delay: float = 0
    history_publish_share: float = 0.1
    history_retention: float | None = None
    history_hidden_share: float = 0
    merge_writes_order_history: bool = False

    order_of_lists: str = "newest"
    ignore_date_filter: bool = False
    total_page_count_never_ends: bool = False
    same_page_again: bool = False
    beyond_end: str = "empty"
    unknown_filter: str = "ignore"
    strict_since_id: bool = False

    churn_per_second: float = 0
    churn_mix: dict[str, float] = field(default_factory=lambda: dict(CHURN_MIX))

    def __post_init__(self) -> None:
        self.turn(**{f.name: getattr(self, f.name) for f in fields(self)})

    def turn(self, **values: Any) -> None:
        """Set knobs by name; an unknown name or value is an error, and then nothing is set."""
        known = {f.name for f in fields(self)}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"there is no knob {name!r}; there are {', '.join(sorted(known))}")
            if name == "order_of_lists" and value not in ORDERS_OF_LISTS:
                raise ValueError(f"order_of_lists is one of {', '.join(ORDERS_OF_LISTS)}")
            if name == "beyond_end" and value not in ("empty", "404", "400"):
                raise ValueError("beyond_end is empty, 404 or 400")
            if name == "unknown_filter" and value not in ("ignore", "400"):
                raise ValueError("unknown_filter is ignore or 400")
        for name, value in values.items():
            if name == "latency_ms":
                low, high = value if isinstance(value, list | tuple) else (value, value)
                value = (float(low), float(high))  # noqa: PLW2901 - JSON has no tuples
            setattr(self, name, value)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
