"""Switches of a sandbox that are turned while it runs: limits, faults, drift, quirks."""

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
SHAPES = ("text", "list")
_RANGES = ("latency_ms", "jitter_ms", "entry_delay_seconds", "entry_delay_long_seconds")
_BY_ID = ("huge", "unreadable_entries")
ORDERS_OF_LISTS = ("newest", "oldest", "id_desc", "id_asc", "shuffled")


@dataclass
class Knobs:
    """Switches of a sandbox, with their units. Lists of accounts or paths may hold `*` patterns.

    Limits
      rate                    requests in any sliding second from one client address; above it 503.
                              0 = no limit. Refused requests do not count against the window.
      telephony_rate          the same for /telephony, a window of its own; only when `rate` is on.
      retry_after             seconds sent as Retry-After with a 503; None = no such header.
      latency_ms              (low, high), or one number: milliseconds an answer of the API takes.
                              What it shows is the state of some moment within them.
    Network, on the way to the server: the rate counts, and the log stamps, what has arrived
      jitter_ms               (low, high), or one number: milliseconds a request is on its way.
      late_share              share of requests that is on its way `late_ms` milliseconds longer.
      stall_ms                so many milliseconds long nothing arrives, then all at once, every
      stall_every_seconds     so many seconds; 0 = never.
    Faults
      fault_share             kind -> share of API requests (0..1). Kinds: "500", "502" (HTML page),
                              "503", "html" (HTML with 200), "cut" (200, half a JSON),
                              "short" (the connection ends inside the body), "slow", "drip" (the
                              true answer, byte by byte), "reset".
      fault_accounts          accounts that fault_share strikes; [] = all.
      slow_seconds            how long "slow" waits before the true answer.
      drip_seconds            the pause of "drip" before each byte of the body.
      html_always             accounts whose host answers every request with an HTML page.
      missing                 paths below /api/v5/ that this server does not have (404).
      forbidden               paths below /api/v5/ that no key may read (403 "Access denied.").
      poison                  collection -> ids; every answer that would hold one of these records
                              (a page, filter[ids], GET by id) is a 500.
      huge                    collection -> {id: bytes}; such a record is sent with a field
                              `padding` of so many bytes.
    Drift
      list_lag_seconds        lists and filter[ids] show the state of so many seconds ago, while
                              the history shows a change at once and GET by id the newest state.
      history_publish_delay   seconds between an id being allotted and its save being committed:
      history_publish_share   this share of saves is such a long transaction. Until its commit
                              neither history nor lists nor GET show it, though larger ids do.
      entry_delay_seconds     (low, high), or one number: seconds after its save's commit until an
      entry_delay_share       entry is published; this share of entries is so late, each by itself,
                              while the record has changed everywhere else.
      entry_delay_long_seconds  the same for the few that are later still.
      entry_delay_long_share
      replica_lag_seconds     lags of the replicas that answer lists, filter[ids] and histories,
                              the requests of each method in turn; [0, 20]: every second answer
                              shows the state of 20 seconds ago. [] = one server. GET by id is
                              answered by the newest. A lag turned on is reached after so long.
      replica_histories       whether histories are answered by replicas too.
      clock_offset_seconds    how far the CRM's clock is ahead of ours: of all dates it writes,
                              createdAt and generatedAt among them, and so of what startDate and
                              endDate are compared with. Lags, the rate and the log use our clock.
      history_retention       seconds; older entries are gone from the history. None = kept.
      history_hidden_share    share of entries that totalCount counts and no page shows.
      merge_writes_order_history  a merge of customers writes `customer` entries for their orders.
      timeline                keep what was true when, for /oracle/{account}/{collection}/timeline:
                              from the next save or account on, a reference for each version of a
                              record; off, it is forgotten.
    Lists
      order_of_lists          "newest" (createdAt, id descending), "oldest", "id_desc", "id_asc",
                              or "shuffled": another order at every request.
      ignore_date_filter      date filters of lists are read and ignored.
      total_page_count_never_ends  totalPageCount is always one more than the page asked for.
      same_page_again         every page number answers page 1.
      beyond_end              a page after the last: "empty", "404" or "400".
      unknown_filter          "ignore" or "400".
      totals_off              collection -> number added to totalCount where nothing but creation
                              dates is asked for; or {"add": number, "day": "Y-m-d"}: only where the
                              dates asked for hold that day.
      ids_page_size           records in a page of filter[ids], whatever limit asks; None = limit.
      ignore_ids_filter       paths of lists that read filter[ids] and ignore it.
    Histories
      strict_since_id         refuse filter[sinceId] beside page=1 too, not only page>1.
      ignore_since_id         paths of histories that ignore filter[sinceId]: always the oldest.
      history_total_pages_lie  totalPageCount of a history is at most 1, however much follows.
      unreadable_entry_share  share of entries whose subject is in no readable shape: its id a text
                              ("id": "7"), or an empty list in its place ("order": []), by turns.
                              The oracle shows them as they should be.
      unreadable_entries      history -> {entry id: "text" or "list"}: these, beside the share.
    Life
      churn_per_second        saves per second of orders and customers while churn runs.
      churn_mix               mutation -> weight; see CHURN_MIX. "reassign_order" (to another
                              customer) and "merge_chain" (of three) are known too.
    """

    rate: float = 0
    telephony_rate: float = 40
    retry_after: float | None = None
    latency_ms: tuple[float, float] = (0, 0)

    jitter_ms: tuple[float, float] = (0, 0)
    late_share: float = 0
    late_ms: float = 200
    stall_ms: float = 400
    stall_every_seconds: float = 0

    fault_share: dict[str, float] = field(default_factory=dict)
    slow_seconds: float = 2.0
    drip_seconds: float = 5.0
    fault_accounts: list[str] = field(default_factory=list)
    html_always: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    forbidden: list[str] = field(default_factory=list)
    poison: dict[str, list[int]] = field(default_factory=dict)
    huge: dict[str, dict[int, int]] = field(default_factory=dict)

    list_lag_seconds: float = 0
    history_publish_delay: float = 0
    history_publish_share: float = 0.1
    entry_delay_seconds: tuple[float, float] = (0, 0)
    entry_delay_share: float = 0
    entry_delay_long_seconds: tuple[float, float] = (0, 0)
    entry_delay_long_share: float = 0
    replica_lag_seconds: list[float] = field(default_factory=list)
    replica_histories: bool = True
    clock_offset_seconds: float = 0
    history_retention: float | None = None
    history_hidden_share: float = 0
    merge_writes_order_history: bool = False
    timeline: bool = False

    order_of_lists: str = "newest"
    ignore_date_filter: bool = False
    total_page_count_never_ends: bool = False
    same_page_again: bool = False
    beyond_end: str = "empty"
    unknown_filter: str = "ignore"
    totals_off: dict[str, Any] = field(default_factory=dict)
    ids_page_size: int | None = None
    ignore_ids_filter: list[str] = field(default_factory=list)

    strict_since_id: bool = False
    ignore_since_id: list[str] = field(default_factory=list)
    history_total_pages_lie: bool = False
    unreadable_entry_share: float = 0
    unreadable_entries: dict[str, dict[int, str]] = field(default_factory=dict)

    churn_per_second: float = 0
    churn_mix: dict[str, float] = field(default_factory=lambda: dict(CHURN_MIX))

    def __post_init__(self) -> None:
        self.turn(**{f.name: getattr(self, f.name) for f in fields(self)})

    def turn(self, **values: Any) -> None:
        """Set knobs by name; an unknown name or a wrong value raises, and then nothing is set."""
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
            if name == "unreadable_entries" and {
                shape for ids in value.values() for shape in ids.values()
            } - set(SHAPES):
                raise ValueError(f"the shape of an entry is one of {', '.join(SHAPES)}")
        for name, value in values.items():
            setattr(self, name, _plain(name, value))

    @property
    def replica_lags(self) -> tuple[float, ...]:
        """Return the lags of the replicas that are behind."""
        return tuple(lag for lag in self.replica_lag_seconds if lag > 0)

    def as_json(self) -> dict[str, Any]:
        found = asdict(self)
        for name in _BY_ID:  # JSON has no numbers as keys
            found[name] = {c: {str(i): v for i, v in ids.items()} for c, ids in found[name].items()}
        return found


def _plain(name: str, value: Any) -> Any:
    """Convert a value from JSON, which has no tuples and no numbers as keys."""
    if name in _RANGES:
        low, high = value if isinstance(value, list | tuple) else (value, value)
        return float(low), float(high)
    if name in _BY_ID:
        return {c: {int(i): v for i, v in ids.items()} for c, ids in value.items()}
    return value
