"""The README's pictures, from what really was printed and shown.

python ops/pictures.py run             a run in a terminal, from ops/docs/demo.md
python ops/pictures.py page URL        the status page at URL, which SYNC_WEB_TOKEN opens
"""

from __future__ import annotations

import io
import os
import re
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent / "docs"
RUN, PAGE = DOCS / "pictures" / "run.svg", DOCS / "pictures" / "page.png"
WIDTH = 118
_BLOCK = re.MULTILINE | re.DOTALL
LOOKS = 3
"""Lines of a load that are shown: the first ones of as many equal parts, and the last."""
_LOOK = re.compile(r" +\d+ s  demo: ")
_TABLE = re.compile(r"  (demo|tienda)  +\S")
_ASIDE = ("The two differ", "Look around", "Everything is stopped")


def shown(lines: list[str]) -> list[str]:
    """Leave out most lines of the same kind, with a mark where they were."""
    looks = [line for line in lines if _LOOK.match(line)]
    kept = {*looks[:: max(len(looks) // LOOKS, 1)], *looks[-1:]}
    rows = [line for line in lines if _TABLE.match(line)]
    kept |= {line for line in rows if re.search(r" (orders|order_history|main) ", line)}
    found: list[str] = []
    for line in lines:
        is_left_out = line not in kept and (_LOOK.match(line) or _TABLE.match(line))
        told = "  …" if is_left_out else line
        if found[-1:] != [told] and not line.startswith(_ASIDE):
            found.append(told)
    return found


def run() -> str:
    """Return the run as an SVG that asks nobody for a font."""
    from rich.console import Console
    from rich.text import Text

    [printed] = re.findall(r"^```\n(.*?)^```$", (DOCS / "demo.md").read_text("utf-8"), _BLOCK)
    until = printed.index("\nFrom `new`")
    end = printed[printed.index("One change:") :]
    console = Console(record=True, width=WIDTH, file=io.StringIO(), color_system="truecolor")
    for line in shown([*printed[:until].splitlines(), "  …", "", *end.splitlines()]):
        style = "bold cyan" if line.startswith("$ ") else ""
        style = "bold green" if re.match(r"Complete in|One change|That took", line) else style
        console.print(Text(line, style=style), no_wrap=True, overflow="ellipsis")
    svg = console.export_svg(title="make run", unique_id="run")
    return re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)


def page(url: str) -> None:
    """Take a picture of the overview, as wide as in a README."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        tab = browser.new_page(base_url=url, viewport={"width": 1100, "height": 860})
        tab.goto("/login")
        tab.get_by_label("Token").fill(os.environ["SYNC_WEB_TOKEN"])  # noqa: TID251
        tab.get_by_role("button", name="Log in").click()
        tab.wait_for_url(f"{url}/")
        tab.screenshot(path=PAGE)
        browser.close()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["run"]:
            RUN.write_text(run(), "utf-8")
        case ["page", url]:
            page(url.rstrip("/"))
        case _:
            raise SystemExit(__doc__)
