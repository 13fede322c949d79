"""What the pages say is so: links lead somewhere, commands and settings exist."""

from __future__ import annotations

import re
import runpy
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from sync import declare
from sync.commands import mirror
from sync.declare import Resource
from sync.settings import FIELDS, FROM_FILE, variable

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *(ROOT / "ops").rglob("*.md"))
    if "target" not in path.parts
)
EACH = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
# Who names pages from outside of them.
SOURCES = sorted(
    [
        *(ROOT / "sync").rglob("*.py"),
        *(ROOT / "ops/prometheus").glob("*.yml"),
        ROOT / "docker-compose.yml",
        ROOT / "Makefile",
    ]
)

FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
COMMAND = re.compile(r"celery -A sync mirror((?: +[^`#|\n]*)?)")
COMPOSE = re.compile(r"docker compose run (?:-\S+ (?:\"[^\"]*\" )?|\\\n +)*commands ([^`#|\n<]*)")


def prose(text: str) -> str:
    """A page without its code blocks."""
    return FENCE.sub("", text)


def anchors(page: Path) -> set[str]:
    """What headings are linked by: lower case, without signs, hyphens for spaces."""
    found: Counter[str] = Counter()
    made = set()
    for title in HEADING.findall(prose(page.read_text("utf-8"))):
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        made.add(f"{slug}-{found[slug]}" if found[slug] else slug)
        found[slug] += 1
    return made


@EACH
def test_every_link_leads_somewhere(page: Path) -> None:
    """Relative links name files that are there, and headings that are on them."""
    broken = []
    for target in LINK.findall(prose(page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


@EACH
def test_files_named_on_the_pages_exist(page: Path) -> None:
    """Code moves, and takes its readers along."""
    named = re.findall(
        r"`((?:sync|tests|ops|migrations)/[\w./-]+\.\w+)", prose(page.read_text("utf-8"))
    )
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_pages_named_in_the_code_exist() -> None:
    """Docstrings, messages, comments and alerts point at pages and their sections."""
    broken = []
    for source in SOURCES:
        for path, anchor in re.findall(
            r"\b(ops/[\w./-]+\.md|README\.md|CONTRIBUTING\.md)(?:#([\w-]+))?",
            source.read_text("utf-8"),
        ):
            file = ROOT / path
            if not file.exists() or (anchor and anchor not in anchors(file)):
                broken.append((str(source.relative_to(ROOT)), path, anchor))
    assert broken == []


def documented() -> Iterator[tuple[str, str]]:
    """Every command line of ours on the pages: its page, and what follows `mirror`."""
    for page in PAGES:
        text = page.read_text("utf-8")
        for line in (*COMMAND.findall(text), *COMPOSE.findall(text)):
            yield str(page.relative_to(ROOT)), line.strip()


def unknown_in(line: str) -> str | None:
    """What a command line names that does not exist; None when all of it does."""
    words = [word for word in shlex.split(line.replace("'", "")) if word not in {"…", "\\"}]
    command: click.Command = mirror
    while words and isinstance(command, click.Group) and not words[0].startswith("-"):
        name = words.pop(0).rstrip(",.;:)")
        context = click.Context(command)
        found = command.get_command(context, name)
        if found is None:
            return name
        command = found
    known = {"--help"} | {option for each in command.params for option in each.opts}
    options = {word.rstrip(",.;:)") for word in words if word.startswith("--")}
    return next(iter(options - known), None)


def test_every_command_on_the_pages_exists() -> None:
    """Its options, too: a page is what people copy from."""
    lines = list(documented())
    assert len(lines) > 40
    assert [(page, line) for page, line in lines if unknown_in(line)] == []


def test_a_wrong_command_would_be_noticed() -> None:
    assert unknown_in("stor add shop") == "stor"
    assert unknown_in("store add shop URL --no-load") is None
    assert unknown_in("store add shop URL --without-load") == "--without-load"


def test_the_readme_names_every_setting() -> None:
    """In its table; those that may come from a file are marked."""
    text = (ROOT / "README.md").read_text("utf-8")
    rows = [row for row in text.splitlines() if row.startswith("| `SYNC_")]
    named = dict(re.findall(r"`(SYNC_\w+)`( ¹)?", "\n".join(row.split("|")[1] for row in rows)))
    assert set(named) == {variable(field) for field in FIELDS}
    assert {name for name, mark in named.items() if mark} == {variable(f) for f in FROM_FILE}


def test_the_readme_names_every_command_group_an_operator_needs() -> None:
    """What a person could want and not know the name of is in the README or the runbook."""
    text = (ROOT / "README.md").read_text("utf-8") + (ROOT / "ops/docs/runbook.md").read_text(
        "utf-8"
    )
    hidden = {"demo", "health"}  # `make run`; containers ask for health
    names = set(mirror.list_commands(click.Context(mirror))) - hidden
    assert [
        name for name in sorted(names) if not re.search(rf"(mirror |commands |`){name}\b", text)
    ] == []


def test_the_picture_of_a_run_tells_what_the_page_tells() -> None:
    """It is made from the page: `python ops/pictures.py run`."""
    made = runpy.run_path(str(ROOT / "ops/pictures.py"))
    words = re.compile(r">([^<]+)</text>")
    assert words.findall(made["run"]()) == words.findall(made["RUN"].read_text("utf-8"))


def test_the_recipe_declares_a_resource() -> None:
    """CONTRIBUTING's example is one: it is what a newcomer begins with."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    [block] = [code for _, language, code in FENCE.findall(text) if language == "python"]
    names = {name: getattr(declare, name) for name in declare.__all__}
    exec("\n".join(line[3:] for line in block.splitlines()), names)  # noqa: S102  our own page
    assert isinstance(names["COLORS"], Resource)
    for word in re.findall(r"`(\w+)`", text.partition("does without:")[2].partition("\n3.")[0]):
        assert word in Resource.__dataclass_fields__


def test_nothing_of_the_first_minutes_waits_in_silence() -> None:
    """A key typed without a prompt, and a pip without a word, look hung."""
    readme = (ROOT / "README.md").read_text("utf-8")
    typed = [line for line in readme.splitlines() if "read -rs" in line]
    assert typed
    assert all(re.match(r"printf '.*: '; read -rs", line) for line in typed)
    recipe = (ROOT / "Makefile").read_text("utf-8").partition("\n.venv/.ready:")[2]
    assert "pip install" in recipe
    assert "--quiet" not in recipe


def test_what_is_pasted_first_works_in_every_shell() -> None:
    """zsh, the shell of macOS, takes `# …` that is typed for arguments, not for a comment."""
    readme = (ROOT / "README.md").read_text("utf-8")
    first = readme.partition("## Try it")[2].partition("**To keep it**")[0]
    blocks = [found[2] for found in FENCE.findall(first)]
    assert len(blocks) == 2
    assert [block for block in blocks if "#" in block] == []
