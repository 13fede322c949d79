"""A sandbox that is started again has what programs wrote to it."""

from __future__ import annotations

from pathlib import Path

from sync.sandbox import Clock, Sandbox
from sync.sandbox.journal import Journal

NOW = 1_790_000_000.0


def started(path: Path) -> Sandbox:
    sandbox = Sandbox(seed=7, clock=Clock(NOW))
    journal = Journal(path)
    journal.begin(sandbox)
    account = sandbox.account("demo", orders=30, customers=20, products=3)
    account.add_key()
    journal.resume(sandbox)
    return sandbox


def test_writes_live_on_with_all_that_follows_from_them(tmp_path: Path) -> None:
    """Accepted and refused ones, by the key that made them; no key is in the journal."""
    path = tmp_path / "journal.jsonl"
    sandbox = started(path)
    account = sandbox.accounts["demo"]
    other = list(account.keyring.keys)[1]
    order = {"firstName": "Ana", "phone": "+1", "items": [{"productName": "Tea"}]}
    made = sandbox.post("orders/create", site="main", order=order, key=other)[1]["id"]
    assert sandbox.post("orders/create", site="main", order={"status": "none"})[0] == 400
    account.mutations["update_order"](order_id=made, managerComment="by hand")
    sandbox.post(f"orders/{made}/edit", by="id", order={"status": "complete"}, key=other)
    again = started(path)
    for name, collection in account.collections.items():
        want = {i: r.blob for i, r in collection.truth.live.items()}
        held = again.accounts["demo"].collections[name].truth.live
        assert {i: r.blob for i, r in held.items()} == want, name
    _, told = again.get(f"orders/history?filter[orderId]={made}&limit=100", key=other)
    assert [e.get("apiKey") for e in told["history"]] == [
        {"current": True}, None, {"current": True},
    ]  # fmt: skip
    assert not any(key in path.read_text("utf-8") for key in account.keyring.keys)
    assert again.post("orders/create", site="main", order={})[1]["id"] == made + 1
