"""A key sees other sites than before: nothing is claimed of what was never read, nothing deleted
for what is no longer shown."""

from __future__ import annotations

import datetime as dt

import pytest

from sync.state import status, stores
from sync.work.access import access_of
from tests.integration.pipeline.conftest import Open
from tests.integration.pipeline.harness import Mirror, sandbox_then, small

ALL = ("credentials", "customers", "customer_history", "orders", "order_history", "offers")


def of_site(mirror: Mirror, *sites: str) -> set[int]:
    """Orders of some sites, by the CRM."""
    return {key for key, order in mirror.truth("orders").items() if order["site"] in sites}


def entries(mirror: Mirror) -> set[int]:
    """Entries of the orders' history that are mirrored."""
    return {row[0] for row in mirror.rows("SELECT id FROM crm.order_history WHERE store_id=:store")}


@pytest.fixture
def selective(open_mirror: Open) -> Mirror:
    """A mirror of the one site its key sees, at rest."""
    sandbox = sandbox_then()
    account = sandbox.account(
        "demo", orders=45, customers=20, products=6, awkward=0, only_sites=["main"]
    )
    mirror = open_mirror(sandbox=sandbox, account=account, resources=small(*ALL))
    mirror.settle()
    return mirror


def refresh_credentials(mirror: Mirror) -> None:
    """Have the credentials read, as the schedule does every hour."""
    mirror.queue("credentials", "refresh")
    mirror.work("credentials", "walk")


@pytest.mark.parametrize("sites", [None, ["main", "outlet"]])
def test_a_key_that_sees_more_sites_is_mirrored_anew(
    selective: Mirror, sites: list[str] | None
) -> None:
    """Nothing is complete until the new sites' rows are there, and their entries from the first
    one on, however old they are."""
    mirror = selective
    assert mirror.coverage("orders").complete_as_of is not None
    mirror.account.limit_sites(sites)
    refresh_credentials(mirror)
    for name in ("orders", "customers", "order_history", "offers"):
        assert mirror.coverage(name).complete_as_of is None, name
    mirror.settle(most=20)
    assert mirror.live("orders").keys() == of_site(mirror, *(sites or mirror.account.sites))
    if sites is None:
        assert entries(mirror) == {e.id for e in mirror.account.histories["orders"].entries}
        mirror.assert_equal_to_oracle()
    for name in ("orders", "customers", "order_history", "offers"):
        assert mirror.coverage(name).complete_as_of is not None, name


def test_what_was_proven_of_the_old_sites_is_not_written_after_the_change(
    selective: Mirror,
) -> None:
    """The total was asked for before the key saw more, and judged after that was noted."""
    mirror = selective
    mirror.queue("orders", "reconcile")

    def widen() -> None:
        mirror.account.limit_sites(None)
        refresh_credentials(mirror)

    with mirror.between("/api/v5/orders?limit=20&page=", widen):
        mirror.work("orders", "walk")
    assert mirror.coverage("orders").complete_as_of is None
    mirror.settle(most=20)
    mirror.assert_equal_to_oracle()


def said_of(mirror: Mirror, name: str) -> str:
    """What `status` tells of a resource."""
    with mirror.engine.begin() as connection:
        stores_found = status.chosen(connection, None)
        (store,) = status.statuses(connection, stores_found, order=list(mirror.resources))
    return next(line.error or "" for line in store.resources if line.resource == name)


def accept(mirror: Mirror) -> None:
    """What `store check` does with what the account answers."""
    _, told = mirror.sandbox.get("/api/credentials", key=mirror.account.key)
    with mirror.engine.begin() as connection:
        stores.set_access(
            connection,
            mirror.store_id,
            access_of(told),
            mirror.resources.values(),
            as_of=mirror.value("SELECT clock_timestamp()"),
        )
        stores.recovered(connection, mirror.store_id)


def test_a_narrower_key_that_was_accepted_deletes_nothing_and_claims_nothing(
    open_mirror: Open,
) -> None:
    """Rows of a site the key has lost stay; from then on nobody knows whether they are true."""
    mirror = open_mirror(resources=small(*ALL))
    mirror.settle()
    refresh_credentials(mirror)
    rows, offers = set(mirror.live("orders")), set(mirror.live("offers"))
    last_seen = mirror.value("SELECT clock_timestamp()")
    mirror.pass_time(30)
    hidden, late, *_ = sorted(of_site(mirror, "outlet"))
    mirror.account.update_order(late, managerComment="seen after the key was last looked at")
    mirror.come_to_rest()
    mirror.account.limit_sites(["main"])
    mirror.account.update_order(hidden, managerComment="unseen")
    accept(mirror)
    mirror.rows(
        "INSERT INTO sync.reread (store_id, resource, id, reason)"
        " SELECT :store, 'orders', unnest(cast(:ids AS bigint[])), 'combined'",
        ids=[hidden, late],
    )
    for name in ("orders", "customers"):
        mirror.queue(name, "reconcile", deep=True)
    mirror.queue("offers", "refresh")
    mirror.settle(most=20)
    mirror.come_to_rest()
    assert set(mirror.live("orders")) == rows
    assert set(mirror.live("offers")) == offers
    for name in ("orders", "order_history"):
        assert mirror.coverage(name).complete_as_of <= last_seen, name
        assert "the key has lost sites (others)" in said_of(mirror, name)
    assert "(some may be of sites the key has lost, others, and would go too)" in said_of(
        mirror, "offers"
    )
    mirror.account.limit_sites(None)
    refresh_credentials(mirror)
    mirror.settle(most=20)
    mirror.come_to_rest()
    mirror.assert_equal_to_oracle()
    assert mirror.coverage("orders").complete_as_of > last_seen + dt.timedelta(seconds=30)


def test_a_scope_more_does_not_stop_the_store(selective: Mirror) -> None:
    """An absence was to be verified while the key was given more: nothing is deleted on the old
    grounds, and the work goes on as soon as the credentials were read."""
    mirror = selective
    mirror.account.revoke_scope("file_read")
    refresh_credentials(mirror)
    offer = min(mirror.account.ids("offers"))
    mirror.account.delete("offers", offer)
    mirror.account.grant_scope("file_read")
    mirror.queue("offers", "refresh")
    mirror.work("offers", "walk")
    assert mirror.value("SELECT error FROM sync.store WHERE id = :store") is None
    assert ("credentials", "refresh", "plan") in mirror.open_crawls()
    mirror.settle()
    assert mirror.tombstones("offers") == {offer: "absent"}
