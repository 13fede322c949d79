"""The page's colours: every text stands out from what it stands on, by day and by night."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CSS = (Path(__file__).parents[2] / "sync/web/static/page.css").read_text("utf-8")
SCHEMES = dict(zip(("light", "dark"), re.findall(r":root \{([^}]*)\}", CSS), strict=True))
ENOUGH = 4.5
"""The least contrast of small text (WCAG 2.1, 1.4.3)."""
PAIRS = [
    ("ink", "paper"), ("ink", "card"), ("ink", "soft"), ("dim", "paper"), ("dim", "card"),
    ("dim", "soft"), ("link", "paper"), ("link", "card"), ("accent-ink", "accent"),
    ("good", "good-soft"), ("busy", "busy-soft"), ("bad", "bad-soft"), ("warn", "warn-soft"),
    ("off", "off-soft"), ("bad", "paper"), ("bad", "card"), ("warn", "card"),
]  # fmt: skip


def luminance(colour: str) -> float:
    def linear(part: str) -> float:
        value = int(part, 16) / 255
        return value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(colour[place : place + 2]) for place in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("text", "ground"), PAIRS)
def test_text_can_be_read(scheme: str, text: str, ground: str) -> None:
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", SCHEMES[scheme]))
    lighter, darker = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= ENOUGH
