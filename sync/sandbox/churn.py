"""Churn: people at work in the accounts, so that lists shift and histories grow while one reads."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING

from sync.sandbox.php import Refusal

if TYPE_CHECKING:
    from sync.sandbox.account import Account
    from sync.sandbox.box import Sandbox

_NEXT = ("availability-confirmed", "client-confirmed", "assembling", "delivering", "complete")


class Churn:
    """Random saves of orders and customers, `churn_per_second` of them over all accounts."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._rng = Random(f"{sandbox.seed}/churn")
        self._task: asyncio.Task[None] | None = None
        self.counts: dict[str, int] = {}
        self.accounts: list[str] | None = None

    @property
    def runs(self) -> bool:
        return self._task is not None

    def start(self, accounts: list[str] | None = None) -> None:
        """Begin on the running event loop; `accounts` None: all of them."""
        self.accounts = accounts
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._live())

    async def stop(self) -> dict[str, int]:
        """Stop; when this returns, no save is under way. The counts start again at zero."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        counts, self.counts = self.counts, {}
        return counts

    async def _live(self) -> None:
        """Save at the pace of the knob, in small steps that keep up with the wall clock."""
        loop = asyncio.get_running_loop()
        before, owed = loop.time(), 0.0
        while True:
            await asyncio.sleep(0.02)
            now = loop.time()
            owed += (now - before) * self._sandbox.knobs.churn_per_second
            before = now
            for _ in range(min(int(owed), 50)):
                self.once()
            owed = min(owed - int(owed), 1.0) if owed < 50 else owed - 50

    def once(self) -> str | None:
        """One save of a kind drawn from the mix; its name, or None if there was nothing to do."""
        with self._sandbox.lock:
            known = self._sandbox.accounts
            names = [n for n in self.accounts or known if n in known]
            if not names:
                return None
            account = known[self._rng.choice(names)]
            mix = self._sandbox.knobs.churn_mix
            kind = self._rng.choices(list(mix), list(mix.values()))[0]
            try:
                self._save(account, kind)
            except (Refusal, IndexError):
                return None
            self.counts[kind] = self.counts.get(kind, 0) + 1
            return kind

    def many(self, saves: int) -> dict[str, int]:
        """So many saves at once, by hand: churn for tests that own the clock."""
        counts: dict[str, int] = {}
        for _ in range(saves):
            kind = self.once()
            if kind is not None:
                counts[kind] = counts.get(kind, 0) + 1
        return counts

    def _pick(self, account: Account, collection: str) -> int:
        """An id, more often a recent one."""
        order = account.collections[collection].truth.order
        if not order:
            raise IndexError(collection)
        return order[-1 - int(len(order) * self._rng.random() ** 3)][1]

    def _gone(self, account: Account, collection: str) -> int:
        gone = [i for i, g in account.collections[collection].gone.items() if g.reason == "history"]
        return self._rng.choice(gone)

    def _save(self, account: Account, kind: str) -> None:  # noqa: PLR0912 - one branch per mutation
        rng = self._rng
        match kind:
            case "create_order":
                account.create_order()
            case "update_order":
                self._work_on(account, self._pick(account, "orders"))
            case "delete_order":
                account.delete_order(self._pick(account, "orders"))
            case "redate_order":
                account.redate_order(self._pick(account, "orders"))
            case "move_order":
                account.move_order(self._pick(account, "orders"))
            case "reassign_order":
                account.reassign_order(self._pick(account, "orders"))
            case "undelete_order":
                account.undelete_order(self._gone(account, "orders"))
            case "create_customer":
                account.create_customer()
            case "update_customer":
                customer = self._pick(account, "customers")
                account.update_customer(
                    customer, email=f"c{customer}.{rng.randint(1, 99)}@example.com",
                    vip=rng.random() < 0.5
                )  # fmt: skip
            case "delete_customer":
                account.delete_customer(self._pick(account, "customers"))
            case "merge_customers":
                into, source = self._pick(account, "customers"), self._pick(account, "customers")
                if into == source:
                    raise IndexError("one customer cannot be merged with itself")
                account.merge_customers(into, [source])
            case "merge_chain":
                account.merge_chain()
            case "touch_silently":
                customer = self._pick(account, "customers")
                account.update_customer(
                    customer, silent=True, cumulativeDiscount=rng.randint(0, 15)
                )
            case _:
                raise ValueError(f"there is no mutation {kind!r} for churn")

    def _work_on(self, account: Account, order_id: int) -> None:
        rng = self._rng
        orders = account.collections["orders"]
        order = orders.load(account.must("orders", order_id))
        match rng.randint(0, 5):
            case 0 | 1 | 2:
                here = _NEXT.index(order["status"]) if order["status"] in _NEXT else -1
                account.update_order(order_id, status=_NEXT[(here + 1) % len(_NEXT)])
            case 3:
                lines = order["items"]
                lines[0]["quantity"] = quantity = rng.randint(1, 6)
                for tranche in lines[0]["prices"]:
                    tranche["quantity"] = quantity
                account.update_order(order_id, items=lines)
            case 4:
                account.update_order(
                    order_id, managerComment=f"note {rng.randint(1, 999)}",
                    managerId=rng.choice(account.user_ids), source="api",
                )  # fmt: skip
            case _:
                payments = order["payments"] or {}
                for payment in payments.values():
                    payment["status"] = "paid" if payment["status"] != "paid" else "not-paid"
                account.update_order(
                    order_id, payments=payments, customFields={"score": rng.randint(0, 9)}
                )
