"""List methods: pages, limits, order, filters, and what a key may see."""

from __future__ import annotations

import pytest

from sync.sandbox import Clock, Sandbox

NOW = 1_790_000_000.0


@pytest.fixture
def sandbox() -> Sandbox:
    made = Sandbox(seed=7, clock=Clock(NOW))
    made.account("demo", orders=250, customers=80)
    return made


def ids(sandbox: Sandbox, path: str, key: str | None = None) -> list[int]:
    status, body = sandbox.get(path, key=key)
    assert status == 200, body
    return [row["id"] for row in body[path.partition("?")[0].rpartition("/")[2]]]


def walk(sandbox: Sandbox, collection: str, query: str = "", key: str | None = None) -> list[int]:
    found: list[int] = []
    page = 1
    while rows := ids(sandbox, f"{collection}?limit=100&page={page}{query}", key):
        found += rows
        page += 1
    return found


@pytest.mark.parametrize("limit", [20, 50, 100])
def test_a_walk_finds_every_record_once(sandbox: Sandbox, limit: int) -> None:
    """Pages tile the list."""
    pages = [ids(sandbox, f"orders?limit={limit}&page={n}") for n in range(1, 251 // limit + 2)]
    found = [i for page in pages for i in page]
    assert sorted(found) == sorted(sandbox.accounts["demo"].collections["orders"].truth.live)


def test_the_newest_come_first(sandbox: Sandbox) -> None:
    """createdAt descending, then id descending."""
    _, body = sandbox.get("orders?limit=100")
    keys = [(o["createdAt"], o["id"]) for o in body["orders"]]
    assert keys == sorted(keys, reverse=True)


def test_the_block_counts_rows_and_pages(sandbox: Sandbox) -> None:
    """20 rows a page unless asked for; no page at all when there is nothing."""
    _, body = sandbox.get("orders")
    assert body["pagination"] == {
        "limit": 20, "totalCount": 250, "currentPage": 1, "totalPageCount": 13,
    }  # fmt: skip
    _, empty = sandbox.get("orders?filter[numbers][]=none")
    assert empty["orders"] == []
    assert empty["pagination"]["totalPageCount"] == 0


@pytest.mark.parametrize(
    "query", ["limit=10", "limit=250", "limit=x", "limit=0", "page=0", "page=-1", "page=x"]
)
def test_other_limits_and_pages_are_refused(sandbox: Sandbox, query: str) -> None:
    """Only 20, 50 and 100, from page 1."""
    status, body = sandbox.get(f"orders?{query}")
    assert (status, body["errorMsg"]) == (400, "Errors in the pagination parameters")


def test_250_is_a_page_only_where_the_api_documents_it(sandbox: Sandbox) -> None:
    """custom-fields, its dictionaries, and inventories."""
    for path in ("custom-fields", "custom-fields/dictionaries", "store/inventories"):
        assert sandbox.get(f"{path}?limit=250")[0] == 200
    assert sandbox.get("customers?limit=250")[0] == 400


def test_a_page_beyond_the_end_is_empty_or_refused(sandbox: Sandbox) -> None:
    """Not known of the API: all three are to be survived."""
    assert ids(sandbox, "orders?page=99") == []
    for answer in ("404", "400"):
        sandbox.knobs.turn(beyond_end=answer)
        assert sandbox.get("orders?page=99")[0] == int(answer)


def test_ids_pick_records_and_still_come_in_pages(sandbox: Sandbox) -> None:
    """30 ids with the default limit: ten of them are on page 2."""
    wanted = sorted(sandbox.accounts["demo"].collections["orders"].truth.live)[:30]
    query = "&".join(f"filter[ids][]={i}" for i in wanted)
    first, second = ids(sandbox, f"orders?{query}"), ids(sandbox, f"orders?{query}&page=2")
    assert (len(first), len(second)) == (20, 10)
    assert sorted(first + second) == wanted


def test_dates_include_both_days(sandbox: Sandbox) -> None:
    """From and To are days of the account, both ends included."""
    records = sandbox.accounts["demo"].collections["orders"].truth.live.values()
    days = sorted({r.created[:10] for r in records})
    low, high = days[3], days[40]
    found = walk(sandbox, "orders", f"&filter[createdAtFrom]={low}&filter[createdAtTo]={high}")
    assert sorted(found) == sorted(r.id for r in records if low <= r.created[:10] <= high)
    one = walk(sandbox, "orders", f"&filter[createdAtFrom]={low}&filter[createdAtTo]={low}")
    assert sorted(one) == sorted(r.id for r in records if r.created[:10] == low)


@pytest.mark.parametrize("value", ["2025-1-1", "2025-02-30", "2025-01-01 00:00:00", "x", ""])
def test_a_date_is_a_day_or_an_error_that_names_the_child(sandbox: Sandbox, value: str) -> None:
    """Only Y-m-d."""
    status, body = sandbox.get(f"orders?filter[createdAtFrom]={value}")
    assert status == 400
    assert list(body["errors"]) == ["children[createdAtFrom]"]


def test_an_unknown_filter_is_ignored_or_refused(sandbox: Sandbox) -> None:
    """Not known of the API: a typo may answer the whole list."""
    _, body = sandbox.get("orders?filter[createdFrom]=2025-01-01")
    assert body["pagination"]["totalCount"] == 250
    sandbox.knobs.turn(unknown_filter="400")
    assert sandbox.get("orders?filter[createdFrom]=2025-01-01")[0] == 400


def test_filters_narrow_by_fields_of_the_record(sandbox: Sandbox) -> None:
    """Sites, statuses, customers, sums, custom fields: what is sent fits what was asked."""
    orders = sandbox.accounts["demo"].entities("orders")
    complete = [o["id"] for o in orders if o["status"] == "complete"]
    assert sorted(walk(sandbox, "orders", "&filter[extendedStatus][]=complete")) == sorted(complete)
    dear = [o["id"] for o in orders if o["totalSumm"] >= 9000]
    assert sorted(walk(sandbox, "orders", "&filter[minPrice]=9000")) == sorted(dear)
    gifts = [o["id"] for o in orders if o["customFields"] and o["customFields"]["gift"]]
    assert sorted(walk(sandbox, "orders", "&filter[customFields][gift]=1")) == sorted(gifts)
    live = sandbox.accounts["demo"].collections["orders"].truth.live.values()
    buyer = next(r.customer for r in live if r.customer)
    mine = [r.id for r in live if r.customer == buyer]
    assert sorted(walk(sandbox, "orders", f"&filter[customerId]={buyer}")) == sorted(mine)


def test_date_filters_can_be_made_to_fail_silently(sandbox: Sandbox) -> None:
    """A server that ignores a filter answers everything."""
    sandbox.knobs.turn(ignore_date_filter=True)
    _, body = sandbox.get("orders?filter[createdAtFrom]=2026-01-01&filter[createdAtTo]=2026-01-01")
    assert body["pagination"]["totalCount"] == 250


def test_paging_can_be_made_to_lie(sandbox: Sandbox) -> None:
    """totalPageCount that never ends, and a server that sends page 1 again and again."""
    sandbox.knobs.turn(total_page_count_never_ends=True, same_page_again=True)
    _, body = sandbox.get("orders?page=40")
    assert body["pagination"]["totalPageCount"] == 41
    assert [o["id"] for o in body["orders"]] == ids(sandbox, "orders")


@pytest.mark.parametrize("order", ["oldest", "id_desc", "id_asc", "shuffled"])
def test_every_order_of_a_list_holds_the_same_records(sandbox: Sandbox, order: str) -> None:
    """The order of a list is nothing to rely on."""
    everything = sorted(walk(sandbox, "orders"))
    sandbox.knobs.turn(order_of_lists=order)
    found = ids(sandbox, "orders?limit=100")
    assert set(found) <= set(everything)
    if order != "shuffled":
        assert sorted(walk(sandbox, "orders")) == everything


def test_a_path_names_an_external_id_unless_by_says_id(sandbox: Sandbox) -> None:
    """by=externalId is the default, and needs `site` when the key sees several."""
    account = sandbox.accounts["demo"]
    record = next(r for r in account.collections["orders"].truth.live.values() if r.external)
    assert sandbox.get(f"orders/{record.id}?by=id")[1]["order"]["id"] == record.id
    assert sandbox.get(f"orders/{record.id}?site={record.site}")[0] == 404
    found = sandbox.get(f"orders/{record.external}?site={record.site}")[1]["order"]
    assert found["id"] == record.id
    assert sandbox.get(f"orders/{record.external}")[0] == 400


def test_a_selective_key_sees_its_sites_and_does_not_know_of_others(sandbox: Sandbox) -> None:
    """Lists, histories, single objects and the dictionary of sites: other sites do not exist."""
    account = sandbox.accounts["demo"]
    key = account.add_key("narrow", sites=["outlet"])
    live = account.collections["orders"].truth.live.values()
    assert sorted(walk(sandbox, "orders", key=key)) == sorted(
        r.id for r in live if r.site == "outlet"
    )
    hidden = next(r.id for r in live if r.site == "main")
    assert sandbox.get(f"orders/{hidden}?by=id", key=key)[0] == 404
    _, history = sandbox.get("orders/history?limit=100", key=key)
    assert {h["order"]["site"] for h in history["history"]} == {"outlet"}
    assert list(sandbox.get("reference/sites", key=key)[1]["sites"]) == ["outlet"]
    _, told = sandbox.get("/api/credentials", key=key)
    assert (told["siteAccess"], told["sitesAvailable"]) == ("access_selective", ["outlet"])
    assert "sitesAvailable" not in sandbox.get("/api/credentials")[1]


def test_a_missing_scope_and_a_wrong_key_are_403(sandbox: Sandbox) -> None:
    """The scope is the method's, the key the account's."""
    account = sandbox.accounts["demo"]
    account.revoke_scope("order_read")
    status, body = sandbox.get("orders")
    assert (status, body["errorMsg"]) == (403, "Access denied.")
    assert sandbox.get("customers")[0] == 200
    assert "order_read" not in sandbox.get("/api/credentials")[1]["scopes"]
    assert sandbox.get("customers", key="?")[1]["errorMsg"] == 'Wrong "apiKey" value.'
    key = account.key
    account.revoke_key()
    assert sandbox.get("customers", key=key)[0] == 403


def test_an_unknown_path_is_no_method(sandbox: Sandbox) -> None:
    """404, and so for a feature the account does not have."""
    assert sandbox.get("chats")[1] == {"success": False, "errorMsg": "Method not found"}
    sandbox.knobs.turn(missing=["loyalty/*"], forbidden=["costs"])
    assert sandbox.get("loyalty/accounts")[0] == 404
    assert sandbox.get("costs")[0] == 403


def test_an_account_may_answer_in_html(sandbox: Sandbox) -> None:
    """One account's host is broken, its neighbour's is not."""
    other = sandbox.account("other")
    sandbox.knobs.turn(html_always=["demo"])
    assert sandbox.get("orders")[1].startswith(b"<html>")
    assert sandbox.get("orders", key=other.key)[1]["orders"] == []


def test_the_bonus_cursor_goes_on_from_where_it_was(sandbox: Sandbox) -> None:
    """Operations have no id on the wire; the chain of cursors finds each of them once."""
    total = len(sandbox.accounts["demo"].collections["bonus-operations"].truth.live)
    found, cursor = 0, ""
    while True:
        _, body = sandbox.get(f"loyalty/bonus/operations?limit=20{cursor}")
        if not body["bonusOperations"]:
            break
        found += len(body["bonusOperations"])
        cursor = "&cursor=" + body["pagination"]["nextCursor"].replace("=", "%3D")
    assert found == total
    assert "id" not in sandbox.get("loyalty/bonus/operations")[1]["bonusOperations"][0]


def test_a_shuffled_list_is_shuffled_anew_at_every_request(sandbox: Sandbox) -> None:
    """Pages of it overlap and leave gaps: no walk of it is a proof."""
    sandbox.knobs.turn(order_of_lists="shuffled")
    assert ids(sandbox, "orders") != ids(sandbox, "orders")
    assert len(set(walk(sandbox, "orders"))) < 250


def test_external_ids_repeat_between_sites(sandbox: Sandbox) -> None:
    """externalId is unique in a site only."""
    live = sandbox.accounts["demo"].collections["orders"].truth.live.values()
    given = [(r.site, r.external) for r in live if r.external]
    assert len(set(given)) == len(given)
    assert len({external for _, external in given}) < len(given)
