"""The verdict: what is wrong first, one line for all that has one cause, never two opinions."""

from __future__ import annotations

import pytest

from sync.forecast import Way
from sync.verdict import (
    QUIET_SECONDS,
    Cause,
    Facts,
    Need,
    StoreFacts,
    Trouble,
    judge,
)

ALIVE = {"feeds": 2.0, "crawls": 3.0}
REFUSED = Trouble("", "the account refuses the API key", Need.STOPPED)


def store(name: str = "shop", *troubles: Trouble, **about: object) -> StoreFacts:
    return StoreFacts(name, troubles=troubles, resources=54, **about)  # type: ignore[arg-type]


def facts(*stores: StoreFacts, **about: object) -> Facts:
    given = {"consumed": ALIVE, "beat": 2.0, "workers": 1, "stores": stores} | about
    return Facts(**given)  # type: ignore[arg-type]


def failing(resource: str, why: str = "HTTP 500") -> Trouble:
    return Trouble(resource, f"{why}; failing for 20 min", Need.FAILING, why)


def parked(resource: str, why: str = "the list is no list") -> Trouble:
    retry = f"celery -A sync mirror retry shop {resource}"
    return Trouble(resource, f"{why}; then: {retry}", Need.PARKED, why)


def test_all_well_is_said_with_what_it_is_about() -> None:
    told = judge(facts(store(rows=1_200_000, lag_seconds=12.0), store("tienda", rows=34)))
    assert (told.level, told.causes) == ("well", ())
    assert told.text == "All is well: 2 stores, 1,200,034 rows, 12 s behind at most."
    assert not told.is_trouble


def test_no_store_is_no_trouble() -> None:
    told = judge(Facts(consumed={"feeds": None, "crawls": None}))
    assert (told.level, told.is_trouble) == ("empty", False)


@pytest.mark.parametrize(
    ("about", "beginning", "need"),
    [
        ({"postgres": "connection refused"}, "Postgres does not answer: conn", Need.POSTGRES),
        ({"redis": "connection refused"}, "Redis does not answer", Need.REDIS),
        ({"secret_key": "SYNC_SECRET_KEY is not the"}, "SYNC_SECRET_KEY is", Need.SECRET_KEY),
        (
            {"consumed": {"feeds": 78.0, "crawls": 70.0}, "beat": 78.0, "workers": 0, "waiting": 9},
            "No worker has taken work for 78 s: celery -A sync worker",
            Need.WORKER,
        ),
        (
            {"consumed": {"feeds": 1.0, "crawls": 78.0}},
            "No worker has taken work from the queue crawls for 78 s",
            Need.WORKER,
        ),
        (
            {"consumed": {"feeds": 40.0, "crawls": 40.0}, "beat": 41.0, "workers": 1},
            "Beat has sent nothing for 41 s",
            Need.BEAT,
        ),
        ({"beat": 60.0}, "Beat has sent nothing for 60 s", Need.BEAT),
        (
            {"consumed": {"feeds": 1.0, "crawls": 78.0}, "beat": 78.0},
            "Beat has sent nothing for 78 s",
            Need.BEAT,
        ),
        (
            {"consumed": {"feeds": 1.0, "crawls": 78.0}, "beat": 78.0, "waiting": 3},
            "No worker has taken work from the queue crawls for 78 s",
            Need.WORKER,
        ),
    ],
    ids=[
        "postgres",
        "redis",
        "key",
        "worker",
        "one queue",
        "beat",
        "beat, while crawls go on",
        "beat, while nudges are dispatched",
        "beat and the worker of one queue",
    ],
)
def test_what_is_down_is_the_first_line_whatever_else_is_wrong(
    about: dict[str, object], beginning: str, need: Need
) -> None:
    """And within 30 seconds: QUIET_SECONDS and the five between two messages."""
    told = judge(facts(store("shop", REFUSED), **about))
    assert told.text.startswith(beginning)
    assert (told.level, told.causes[0].need) == ("down", need)
    assert told.is_trouble
    assert QUIET_SECONDS + 5 <= 30


def test_what_follows_from_a_lost_server_is_no_line_of_its_own() -> None:
    """Lists that fail because Redis is away say nothing new; a refused key is still told."""
    told = judge(facts(store("shop", failing("orders")), store("b", REFUSED), redis="refused"))
    assert [cause.need for cause in told.causes] == [Need.REDIS, Need.STOPPED]


def test_without_redis_nobody_is_said_to_be_idle() -> None:
    told = judge(facts(store(), redis="refused", consumed={"feeds": 90.0, "crawls": 90.0}))
    assert [cause.need for cause in told.causes] == [Need.REDIS]


def test_a_worker_that_has_never_run_is_asked_for_and_is_no_failure() -> None:
    told = judge(facts(store(), consumed={"feeds": None, "crawls": None}, beat=None))
    assert (told.level, told.is_trouble) == ("new", False)
    assert "celery -A sync beat" in told.text


def test_one_refused_key_is_one_line_with_what_depends_on_it() -> None:
    told = judge(facts(store("shop", REFUSED), store("tienda")))
    [cause] = told.causes
    assert cause.line == "shop: the account refuses the API key (54 resources wait for it)"
    assert told.text == f"1 of 2 stores needs a person: {cause.line}"


def test_resources_that_say_the_same_are_one_line_with_one_command() -> None:
    told = judge(facts(store("shop", *map(parked, ("orders", "customers", "costs", "tasks")))))
    [cause] = told.causes
    assert cause.where == "shop orders, customers, costs and 1 more"
    assert cause.command == "celery -A sync mirror retry shop"
    assert cause.text == "the list is no list; then: celery -A sync mirror retry shop"


def test_several_stores_that_say_the_same_are_one_line() -> None:
    """A proxy that is gone is one trouble, not one for each of thirty stores."""
    told = judge(facts(*(store(f"s{n}", failing("orders", "no route")) for n in range(30))))
    [cause] = told.causes
    assert cause.where == "30 stores (s0, s1, s2, …)"
    assert len(cause.stores) == 30


def test_what_mends_itself_is_not_said_to_need_a_person() -> None:
    told = judge(facts(store("shop", failing("orders"))))
    assert told.level == "waiting"
    assert "tried again by itself" in told.text
    assert "person" not in told.text


def test_causes_come_by_need() -> None:
    told = judge(
        facts(
            store("a", failing("orders")),
            store("b", parked("orders")),
            store("c", REFUSED),
            store("d", Trouble("statuses", "44 of 60 rows are gone", Need.APPROVAL)),
            dangers=["Redis's maxmemory-policy is allkeys-lru"],
        )
    )
    assert [cause.need for cause in told.causes] == [
        Need.STOPPED, Need.APPROVAL, Need.PARKED, Need.FAILING, Need.DANGER,
    ]  # fmt: skip
    assert told.text.startswith("3 of 4 stores need a person: c: the account refuses")


def test_a_danger_alone_leaves_all_well() -> None:
    told = judge(facts(store(), dangers=["a clock differs"]))
    assert (told.level, [c.need for c in told.causes]) == ("well", [Need.DANGER])


def test_well_and_in_need_of_a_person_are_never_said_together() -> None:
    """A danger around the service should be changed; what the key does not see has to be."""
    around = judge(facts(store(), dangers=["a clock differs"]))
    hidden = Trouble("orders", "the key does not see the shop B", Need.HIDDEN)
    placed = judge(facts(store("shop", hidden)))
    for told in (around, placed):
        assert told.is_trouble == any(cause.need.is_for_a_person for cause in told.causes)
    assert (around.level, placed.level) == ("well", "attention")
    assert not any(need.is_for_a_person and need.is_passing for need in Need)


def test_refusals_are_told_without_alarm() -> None:
    told = judge(facts(store(), frozen={"default": 12.0}))
    assert told.level == "well"
    assert "nobody sends for 12 s more" in told.text
    assert told.causes[0] == Cause(Need.LIMIT, told.causes[0].text)


def test_a_pace_that_refusals_slowed_is_told() -> None:
    told = judge(facts(store(), slowed={"default": (4.2, 10.0)}))
    assert "slowed requests from the address default to 4.2 of 10 a second" in told.text


def test_a_load_is_told_with_its_end() -> None:
    told = judge(facts(store("shop", load=Way(620, 1000, per_second=0.1545))))
    assert told.text == "Loading shop (62 %, 41 min left). Nothing needs a person."


def test_disabled_stores_are_no_trouble() -> None:
    told = judge(facts(StoreFacts("shop", enabled=False, troubles=[REFUSED]), consumed={}))
    assert (told.level, told.causes) == ("well", ())
