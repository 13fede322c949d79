"""First loads: bookmark, walk, proof."""

from __future__ import annotations

from tests.integration.pipeline.harness import Mirror


def test_a_first_load_ends_equal_to_the_account(mirror: Mirror) -> None:
    """After load, proof and a quiet minute the mirror is the CRM: rows, columns, children."""
    mirror.assert_equal_to_oracle()
    assert mirror.coverage("orders").state == "following"
    assert mirror.coverage("orders").complete_as_of is not None
