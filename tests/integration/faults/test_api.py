"""What the API answers when it is unwell, and accounts that do not answer at all."""

from __future__ import annotations

import pytest

from tests.integration.faults.conftest import Ends
from tests.integration.faults.rig import FEW, Rig

TENTH = {"500": 0.02, "502": 0.015, "html": 0.015, "cut": 0.02, "slow": 0.01, "reset": 0.02}


@pytest.mark.in_ci
def test_one_answer_in_ten_is_a_fault(rig: Rig, ends_exact: Ends) -> None:
    rig.add_store()
    rig.turn(fault_share=TENTH, slow_seconds=1)
    rig.churn(5)
    rig.beat()
    rig.worker()
    rig.struck()
    ends_exact(rig, "500, 502, HTML, cut, slow, reset: 10 % of answers", _faults(rig))


def _faults(rig: Rig) -> int:
    """Faults of the server so far, and later ones in the row as they come."""
    rig.wait(lambda: sum(_count(rig).values()) >= 20, "twenty answers went wrong")
    return sum(_count(rig).values())


def _count(rig: Rig) -> dict[str, int]:
    found: dict[str, int] = rig.stage.oracle("requests?path=nothing")["faults"]
    return found


@pytest.mark.parametrize(("kind", "times"), [("500", 60), ("502", 60), ("503", 8), ("reset", 60)])
def test_an_outage_of_seconds_is_waited_for(
    rig: Rig, ends_exact: Ends, kind: str, times: int
) -> None:
    """Every request fails the same way for a while, `credentials` too; then all is well again.

    After a 503 the store pauses, twice as long each time, so that a few of them last a minute.
    """
    rig.add_store()
    rig.beat()
    rig.worker()
    rig.wait_pages(1)
    rig.stage.control("faults", kind=kind, account=rig.account, times=times)
    rig.struck()
    ends_exact(rig, f"{kind} for {times} requests in a row", times, seconds=240)
    assert rig.value("SELECT error FROM sync.store WHERE id = %s", rig.store_id) is None


def test_a_page_of_maintenance_stops_no_store_for_a_day(rig: Rig, ends_exact: Ends) -> None:
    """The host answers 200 with HTML to everything: it is asked again in a quarter of an hour."""
    rig.add_store(only=FEW)
    rig.beat()
    rig.worker()
    rig.wait_pages(1)
    rig.turn(html_always=[rig.account])
    said = "SELECT error FROM sync.store WHERE id = %s"
    rig.wait(lambda: "HTML page" in (rig.value(said, rig.store_id) or ""), "the page is named")
    rig.turn(html_always=[])
    rig.struck()
    ends_exact(rig, "HTML with 200 to everything, 15 min as 90 s", 1, seconds=200)
    assert rig.value(said, rig.store_id) is None


def test_bursts_of_503_are_waited_for(rig: Rig, ends_exact: Ends) -> None:
    rig.add_store()
    for start in (10, 40, 70):
        rig.stage.control("faults", kind="503", account=rig.account, nth=start, times=3)
    rig.churn(5)
    rig.beat()
    rig.worker()
    rig.struck()
    rig.wait(lambda: _count(rig).get("503", 0) >= 9, "three bursts are over", seconds=150)
    ends_exact(rig, "503 in three bursts", 9)


@pytest.mark.in_every_run
def test_a_wrong_key_and_an_html_page_do_not_disturb_a_good_store(
    rig: Rig, ends_exact: Ends
) -> None:
    good = rig.add_store(only=FEW)
    revoked = rig.add_store(rig.open_account(orders=5, customers=5), api_key="0" * 32)
    page_shop = rig.open_account(orders=5, customers=5)
    page = rig.add_store(page_shop)
    rig.turn(html_always=[page_shop])
    rig.beat()
    rig.worker()
    rig.struck()

    def errors(store: int) -> set[str]:
        return {
            text
            for (text,) in rig.ask(
                "SELECT error FROM sync.store WHERE id = %s AND error IS NOT NULL"
                " UNION SELECT error FROM sync.lane WHERE store_id = %s AND error IS NOT NULL",
                store,
                store,
            )
        }

    rig.wait(lambda: any("API key" in text for text in errors(revoked)), "the key is named")
    rig.wait(lambda: any("HTML page" in text for text in errors(page)), "the page is named")
    assert errors(good) == set()
    for store in (revoked, page):
        assert rig.ask("SELECT id FROM crm.orders WHERE store_id = %s", store) == []
        assert (
            rig.ask(
                "SELECT resource FROM crm.coverage WHERE store_id = %s"
                " AND complete_as_of IS NOT NULL",
                store,
            )
            == []
        )
    ends_exact(rig, "a wrong key and an HTML host beside a good store", 2)
