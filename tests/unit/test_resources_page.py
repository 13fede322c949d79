"""ops/docs/resources.md is made from the declarations and kept with them."""

from __future__ import annotations

import pytest

from sync import docs
from sync.resources import RESOURCES


def test_the_page_is_what_the_declarations_say() -> None:
    """Stale? `python -m sync.docs write`."""
    same = docs.PAGE.read_text(encoding="utf-8") == docs.page()
    assert same, "run python -m sync.docs write (CONTRIBUTING, step 7)"


def test_every_table_and_column_is_on_it() -> None:
    text = docs.page()
    for resource in RESOURCES.values():
        assert f"\n## {resource.name}\n" in text
        assert f"`GET {resource.path}`" in text
        for path, reason in resource.raw_only:
            assert f"- `{path}`: {reason}" in text
        for child in resource.children:
            assert f"\n### {child.name}\n" in text
        for field in (*resource.fields, *(f for c in resource.children for f in c.fields)):
            assert f"`{field.name}`" in text


def test_a_stale_page_is_told(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make check` fails, and names what to do."""
    from pathlib import Path

    stale = Path(str(tmp_path)) / "ops" / "docs" / "resources.md"
    stale.parent.mkdir(parents=True)
    monkeypatch.setattr(docs, "PAGE", stale)
    assert docs.main(["check"]) == 1
    assert docs.main(["write"]) == 0
    assert docs.main(["check"]) == 0
    stale.write_text(stale.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert docs.main(["check"]) == 1
    assert docs.main([]) == 2
