"""Every declared resource is served by the sandbox: its methods, their scope, first records.

`tests/integration/resources/test_everything.py` mirrors them all from there; this says in a second
which step of CONTRIBUTING was left out.
"""

from __future__ import annotations

import pytest

from sync.declare import Resource
from sync.resources import RESOURCES
from sync.sandbox import conformance
from sync.sandbox.keys import SCOPES
from sync.sandbox.registry import READ_PATHS
from tests.integration.faults.truth import FOLLOWED, HISTORIES

EACH = pytest.mark.parametrize("resource", RESOURCES.values(), ids=lambda resource: resource.name)
ALONE = [each for each in RESOURCES.values() if each.parent is None and each.answer_key]


@EACH
def test_the_sandbox_has_its_methods_with_its_scope(resource: Resource) -> None:
    """Otherwise it would be refused, as by an account without the feature."""
    for path in filter(None, (resource.path, resource.single)):
        found = READ_PATHS.find(path)
        assert found is not None, f"the sandbox does not serve {path} (CONTRIBUTING, step 6)"
        if resource.scope:
            assert resource.scope == found[0].scope, f"{path}: the kind's scope is another"
    assert resource.scope is None or resource.scope in SCOPES, "a scope no key of the sandbox has"


def test_the_sandbox_has_first_records_of_each() -> None:
    """An empty list proves nothing of its columns. A path that is not served may be another's:
    `orders/packs` would be the order `packs`."""
    sandbox, _ = conformance.account_to_try()
    refused, empty = {}, []
    for resource in ALONE:
        query = "&".join(f"{name}={value}" for name, value in resource.params)
        status, body = sandbox.get(f"{resource.path}?{query}")
        if status != 200 or resource.answer_key not in body:
            refused[resource.name] = status
        elif not body[resource.answer_key]:
            empty.append(resource.name)
    assert refused == {}, "the sandbox does not serve them (CONTRIBUTING, step 6)"
    assert empty == [], (
        "their kinds make no first records: `seed` or `left_by`, for a history `created`, for a"
        " dictionary an entry in sync/sandbox/reference.py (CONTRIBUTING, step 6)"
    )


def test_the_fault_suite_compares_whatever_has_a_history() -> None:
    """Its verdict is of what it lists: the rest could be lost in every fault and nobody see it."""
    where = "name them in {} of tests/integration/faults/truth.py (CONTRIBUTING, Add a resource)"
    followed = {each.name for each in RESOURCES.values() if each.is_followed}
    histories = {each.name for each in RESOURCES.values() if each.is_history}
    assert followed - FOLLOWED.keys() == set(), where.format("FOLLOWED")
    assert histories - HISTORIES.keys() == set(), where.format("HISTORIES")
