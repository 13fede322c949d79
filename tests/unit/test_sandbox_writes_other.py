"""Writes of all that is no order and no customer: made, changed, deleted, and read again."""

from __future__ import annotations

import pathlib
import re

import pytest

from sync.sandbox import Account, Clock, Sandbox, conformance, registry
from tests.unit.test_sandbox_writes import entries, newest, state

NOW = 1_790_000_000.0
API = pathlib.Path(__file__).resolve().parents[3] / "shared/api"


@pytest.fixture
def sandbox() -> Sandbox:
    made = Sandbox(seed=7, clock=Clock(NOW))
    made.account("demo", orders=60, customers=100, products=6, awkward=0)
    return made


@pytest.fixture
def account(sandbox: Sandbox) -> Account:
    return sandbox.accounts["demo"]


def test_every_method_is_tried_and_the_page_says_what_answered() -> None:
    """Served ones answer 200 or 201; ops/docs/sandbox.md holds the table of this run."""
    rows = conformance.tried()
    wrong = [r for r in rows if (r.status in (200, 201)) is not (r.sort == "served")]
    assert wrong == []
    text = conformance.PAGE.read_text("utf-8")
    assert conformance.page(text, rows) == text, "run python -m sync.sandbox.conformance write"


@pytest.mark.skipif(not API.exists(), reason="the catalogue of methods is not here")
@pytest.mark.parametrize("name", ["endpoints", "writes"])
def test_no_method_of_the_catalogue_is_missing(name: str) -> None:
    """Each is served, refused, or named as unknown."""
    said = re.findall(r"^- path: (\S+)", (API / f"{name}.yaml").read_text("utf-8"), re.MULTILINE)
    verb = "POST" if name == "writes" else "GET"
    known = {_plain(path) for v, path, _ in conformance.methods() if v == verb}
    assert {_plain(path) for path in said} - known == set()
    assert len(said) > 80


def _plain(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", path.removeprefix("/api/v5/"))


def test_no_path_is_read_and_written_by_one_name() -> None:
    """Reading another's path is 404 or 405, never the other's answer."""
    assert not registry.METHODS.keys() & registry.WRITES.keys()


def test_a_corporate_customer_is_made_with_its_parts(sandbox: Sandbox, account: Account) -> None:
    """Its history tells of each; a new main address takes the place of the other."""
    before = newest(account, "customers-corporate")
    person = account.ids("customers")[0]
    status, told = sandbox.post("customers-corporate/create", site="main", customerCorporate={
        "nickName": "ACME", "externalId": "acme", "addresses": [{"city": "Lugo"}],
        "companies": [{"name": "ACME SL", "contragent": {"INN": "77"}}],
        "customerContacts": [{"customer": {"id": person}}],
    })  # fmt: skip
    assert status == 201
    path = "customers-corporate/acme"
    added = sandbox.post(f"{path}/addresses/create", site="main", address={
        "name": "New", "isMain": True, "externalId": "a2",
    })  # fmt: skip
    assert added[0] == 201
    edited = sandbox.post(f"{path}/addresses/a2/edit", site="main", address={"city": "Vigo"})
    assert edited[0] == 200
    firm = account.read("customers-corporate", told["id"])
    assert firm["mainAddress"] == {"id": added[1]["id"], "name": "New"}
    rows = sandbox.get(f"{path}/addresses?site=main")[1]["addresses"]
    assert [(r["city"], r["isMain"]) for r in rows] == [("Lugo", False), ("Vigo", True)]
    contacts = sandbox.get(f"{path}/contacts?site=main")[1]["contacts"]
    assert contacts[0]["customer"]["id"] == person
    fields = [e["field"] for e in entries(sandbox, "customers-corporate", before)]
    assert fields == [
        "id", "address", "main_address", "company", "main_company", "contact", "main_contact",
        "address", "main_address", "address.city",
    ]  # fmt: skip
    # The name that the Python client gives the parameter.
    assert sandbox.post(f"{path}/edit", site="main", customersCorporate={"vip": True})[0] == 200
    assert account.read("customers-corporate", told["id"])["vip"] is True


def test_an_order_of_a_corporate_customer_counts_for_it(sandbox: Sandbox, account: Account) -> None:
    """By id; the contact is a person, and the firm's sums follow."""
    firm, person = account.ids("customers-corporate")[0], account.ids("customers")[0]
    before = account.read("customers-corporate", firm)["ordersCount"]
    site = account.read("customers-corporate", firm)["site"]
    status, told = sandbox.post("orders/create", site=site, order={
        "customer": {"id": firm, "type": "customer_corporate"}, "contact": {"id": person},
        "items": [{"productName": "Tea", "initialPrice": 3}],
    })  # fmt: skip
    assert status == 201
    order = told["order"]
    assert (order["customer"]["type"], order["contact"]["id"]) == ("customer_corporate", person)
    assert account.read("customers-corporate", firm)["ordersCount"] == before + 1


def test_tasks_are_made_and_done(sandbox: Sandbox, account: Account) -> None:
    """Text and performer are needed; the history has an entry a field."""
    status, told = sandbox.post("tasks/create", task={"text": "Call", "performerId": 2})
    assert status == 201
    before = newest(account, "tasks")
    path = f"tasks/{told['id']}"
    assert sandbox.post(f"{path}/edit", task={"complete": True, "commentary": "ok"})[0] == 200
    task = sandbox.get(path)[1]["task"]
    assert (task["complete"], task["performer"], task["completedAt"]) == (
        True, 2, account.local(NOW),
    )  # fmt: skip
    fields = {e["field"] for e in entries(sandbox, "tasks", before)}
    assert fields == {"complete", "commentary", "completed_at"}
    status, refused = sandbox.post("tasks/create", task={"text": "Call"})
    assert (status, refused["errors"]) == (400, {"performerId": "This value should not be blank."})


def test_costs_are_made_changed_deleted_and_uploaded(sandbox: Sandbox, account: Account) -> None:
    """One by one, or many; `costs/delete` names what it did not find."""
    cost = {"dateFrom": "2026-01-01", "dateTo": "2026-01-31", "summ": 5, "costItem": "ads"}
    made = sandbox.post("costs/create", cost=cost | {"order": {"id": 1}})[1]["id"]
    assert account.read("costs", made)["order"]["id"] == 1
    assert sandbox.post(f"costs/{made}/edit", cost={"summ": 7})[0] == 200
    assert account.read("costs", made)["summ"] == 7
    status, told = sandbox.post("costs/upload", costs=[cost, {"summ": 1}, cost])
    assert (status, len(told["uploadedCosts"]), list(told["errors"])) == (460, 2, ["1"])
    told = sandbox.post("costs/delete", ids=[made, 10**6])[1]
    assert told == {"success": True, "count": 1, "notRemovedIds": [10**6]}
    assert sandbox.post(f"costs/{made}/delete")[0] == 404


def test_packs_are_made_of_an_item_of_an_order(sandbox: Sandbox, account: Account) -> None:
    """Their history tells; one that there is not is 400 to delete, 404 to edit."""
    item = account.read("orders", 5)["items"][0]["id"]
    before = newest(account, "packs")
    pack = {"itemId": item, "store": "main-store", "quantity": 1}
    made = sandbox.post("orders/packs/create", pack=pack)[1]["id"]
    assert account.read("packs", made)["item"]["order"] == {"id": 5}
    assert sandbox.post(f"orders/packs/{made}/edit", pack={"quantity": 2})[0] == 200
    assert sandbox.post(f"orders/packs/{made}/delete") == (200, {"success": True})
    said = [(e["field"], e.get("deleted")) for e in entries(sandbox, "orders/packs", before)]
    assert said == [("store", None), ("quantity", None), ("store", True)]
    assert sandbox.post(f"orders/packs/{made}/delete")[1]["errorMsg"] == "Pack not found"
    assert sandbox.post(f"orders/packs/{made}/edit", pack={})[0] == 404


def test_notes_and_files_belong_to_somebody(sandbox: Sandbox, account: Account) -> None:
    """And are gone when they are deleted."""
    person = account.ids("customers")[0]
    note = {"text": "hola", "customer": {"id": person}}
    made = sandbox.post("customers/notes/create", note=note)[1]["id"]
    assert account.read("customer-notes", made)["customer"]["id"] == person
    assert sandbox.post(f"customers/notes/{made}/delete") == (200, {"success": True})
    assert sandbox.post(f"customers/notes/{made}/delete")[0] == 404
    told = sandbox.post("customers/notes/create", note={"text": "x", "customer": {}})[1]
    assert told["errors"] == {"customer": "Set one of the following fields: id, externalId"}
    made = sandbox.post("files/upload", file="a text")[1]["file"]["id"]
    file = {"filename": "bill.txt", "attachment": [{"order": {"id": 1}}]}
    assert sandbox.post(f"files/{made}/edit", file=file)[0] == 200
    found = sandbox.get(f"files/{made}")[1]["file"]
    assert (found["filename"], found["attachment"][0]["order"]["id"]) == ("bill.txt", 1)
    assert sandbox.post(f"files/{made}/delete") == (200, {"success": True})
    assert sandbox.get(f"files/{made}")[0] == 404


def test_custom_fields_and_dictionaries_are_made(sandbox: Sandbox, account: Account) -> None:
    """And orders take values of the new field, by its type."""
    elements = [{"name": "S", "code": "s"}, {"name": "L", "code": "l"}]
    sizes = {"code": "sizes", "name": "Sizes", "elements": elements}
    made = sandbox.post("custom-fields/dictionaries/create", customDictionary=sizes)
    assert made == (201, {"success": True, "code": "sizes"})
    field = {"code": "size", "name": "Size", "type": "dictionary", "dictionary": "sizes"}
    assert sandbox.post("custom-fields/order/create", customField=field)[0] == 201
    assert sandbox.post("custom-fields/order/create", customField=field)[0] == 400
    edited = sandbox.post("custom-fields/order/size/edit", customField={"name": "Größe"})
    assert edited == (200, {"success": True, "code": "size"})
    assert sandbox.get("custom-fields/order/size")[1]["customField"]["name"] == "Größe"
    order = {"customFields": {"size": "l", "score": "x"}}
    status, told = sandbox.post("orders/1/edit", by="id", order=order)
    assert (status, list(told["errors"])) == (400, ["customFields.score"])
    sandbox.post("orders/1/edit", by="id", order={"customFields": {"size": "l"}})
    assert account.read("orders", 1)["customFields"]["size"] == "l"


def test_a_dictionary_is_changed_by_code_and_takes_new_codes(
    sandbox: Sandbox, account: Account
) -> None:
    """201 for a new one, which orders may have at once; one of the group cancel counts for none."""
    status = {"name": "Lost", "group": "cancel"}
    path = "reference/statuses/lost/edit"
    assert sandbox.post(path, status={"name": "Lost"})[0] == 400
    assert sandbox.post(path, status=status) == (201, {"success": True})
    assert sandbox.post(path, status={"name": "Gone"}) == (200, {"success": True})
    assert sandbox.get("reference/statuses")[1]["statuses"]["lost"]["name"] == "Gone"
    groups = sandbox.get("reference/status-groups")[1]["statusGroups"]
    assert "lost" in groups["cancel"]["statuses"]
    order = sandbox.post("orders/create", site="main", order={
        "customer": {"id": account.create_customer(site="main")},
        "items": [{"productName": "Tea", "initialPrice": 4}],
    })[1]["order"]  # fmt: skip
    assert order["customer"]["totalSumm"] == 4
    told = sandbox.post(f"orders/{order['id']}/edit", by="id", order={"status": "lost"})[1]
    assert told["order"]["customer"]["totalSumm"] == 0
    courier = sandbox.post("reference/couriers/create", courier={"firstName": "Ana"})
    assert courier == (201, {"success": True, "id": 3})
    assert sandbox.post("reference/couriers/3/edit", courier={"active": False})[0] == 200
    assert sandbox.get("reference/couriers")[1]["couriers"][-1]["active"] is False
    assert sandbox.post("reference/sites/new/edit", site={"name": "New"})[0] == 405


def test_stock_and_prices_are_uploaded(sandbox: Sandbox, account: Account) -> None:
    """By externalId and site; what there is not comes back."""
    offers = [
        {"externalId": "1#0", "stores": [{"code": "main-store", "available": 12}]},
        {"externalId": "none", "stores": []},
    ]  # fmt: skip
    status, told = sandbox.post("store/inventories/upload", site="main", offers=offers)
    assert (status, told["processedOffersCount"]) == (200, 1)
    assert told["notFoundOffers"] == [{"externalId": "none"}]
    price = {"externalId": "1#0", "site": "main", "prices": [{"code": "base", "price": 99}]}
    assert sandbox.post("store/prices/upload", prices=[price])[1]["processedOffersCount"] == 1
    offer = next(o for o in account.entities("offers") if o["externalId"] == "1#0")
    assert (offer["quantity"], offer["price"]) == (12, 99)
    product = account.read("products", offer["product"]["id"])
    copied = next(o for o in product["offers"] if o["id"] == offer["id"])
    assert (copied["price"], copied["quantity"], product["updatedAt"]) == (
        99, 12, account.local(NOW),
    )  # fmt: skip
    order = {"items": [{"offer": {"externalId": "1#0"}}]}
    assert sandbox.post("orders/create", site="main", order=order)[1]["order"]["summ"] == 99


def test_products_and_groups_are_made(sandbox: Sandbox, account: Account) -> None:
    """In the catalogue of a site; a product names its groups."""
    group = sandbox.post("store/product-groups/create", site="main", productGroup={
        "name": "Tea", "externalId": "tea",
    })  # fmt: skip
    assert group[0] == 201
    rows = [{"name": "Green", "catalogId": 1, "groups": [{"externalId": "tea"}]}]
    status, told = sandbox.post("store/products/batch/create", products=rows)
    assert (status, told["processedProductsCount"]) == (200, 1)
    made = told["addedProducts"][0]
    assert account.read("products", made)["groups"] == [{"id": group[1]["id"], "externalId": "tea"}]
    rows = [{"id": made, "name": "Black"}, {"id": 10**6, "name": "x"}]
    told = sandbox.post("store/products/batch/edit", products=rows)[1]
    assert told["notFoundProducts"] == [{"id": 10**6}]
    assert account.read("products", made)["name"] == "Black"


def test_a_loyalty_account_is_opened_activated_credited_and_charged(
    sandbox: Sandbox, account: Account
) -> None:
    """Not more than there is; amounts are parameters without JSON."""
    person = account.create_customer(site="main")
    status, told = sandbox.post(
        "loyalty/account/create", site="main", loyaltyAccount={"customer": {"id": person}}
    )
    assert (status, told["loyaltyAccount"]["status"]) == (200, "not_confirmed")
    path = f"loyalty/account/{told['loyaltyAccount']['id']}"
    assert sandbox.post(f"{path}/bonus/credit", amount="10")[0] == 400
    assert sandbox.post(f"{path}/activate")[1]["loyaltyAccount"]["active"] is True
    told = sandbox.post(f"{path}/bonus/credit", amount="10.5", activationDate="2026-10-01")[1]
    assert told["loyaltyBonus"] == {"amount": 10.5, "activationDate": "2026-10-01"}
    assert sandbox.post(f"{path}/bonus/charge", amount="11")[0] == 400
    assert sandbox.post(f"{path}/bonus/charge", amount="10")[0] == 200
    assert sandbox.get(path)[1]["loyaltyAccount"]["amount"] == 0.5
    operations = sandbox.get(f"{path}/bonus/operations")[1]["bonusOperations"]
    assert [o["amount"] for o in operations] == [-10, 10.5]


def test_a_user_says_what_it_is_doing(sandbox: Sandbox) -> None:
    """A parameter without JSON, one of four words."""
    assert sandbox.post("users/2/status", status="dinner") == (200, {"success": True})
    assert sandbox.get("users/2")[1]["user"]["status"] == "dinner"
    before = state(sandbox)
    assert sandbox.post("users/2/status", status="asleep")[0] == 400
    assert sandbox.post("users/999/status", status="free")[0] == 404
    assert state(sandbox) == before
