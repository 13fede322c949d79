"""A RetailCRM that lives on this machine: for tests, for the demo, for measuring.

    from sync.sandbox import Sandbox, running

    sandbox = Sandbox(seed=7, rate=10)
    demo = sandbox.account("demo", zone="Europe/Moscow", orders=250, customers=80)
    with running(sandbox) as url:
        httpx.get(f"{url}/api/v5/orders", headers={"X-API-KEY": demo.key})
        demo.update_order(17, status="complete")

It knows nothing of the rest of `sync`, so that a mistake there cannot agree with itself here.
"""

from sync.sandbox.account import Account
from sync.sandbox.clock import Clock
from sync.sandbox.knobs import Knobs
from sync.sandbox.sandbox import Sandbox, demo_key
from sync.sandbox.serve import Spawned, running, spawn

__all__ = ["Account", "Clock", "Knobs", "Sandbox", "Spawned", "demo_key", "running", "spawn"]
