"""What an error tells people to install can be installed: the package is on no index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "optional-dependencies"
]


def test_missing_extras_are_installed_from_the_checkout_at_the_pinned_versions() -> None:
    told: dict[str, str] = {}
    for path in (ROOT / "sync").rglob("*.py"):
        for line in path.read_text("utf-8").splitlines():
            for command in re.findall(r"pip install [^\"]*", line):
                told[command] = path.name
    assert told
    for command, where in told.items():
        found = re.match(r"pip install -c ops/constraints\.txt -e '\.\[(\w+)\]'", command)
        assert found, f"{where}: {command}"
        assert found[1] in EXTRAS
    assert (ROOT / "ops" / "constraints.txt").exists()
