"""ops/sbom.py tells what is installed, and which of it an advisory is about."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "ops/sbom.py"


def package(name: str, version: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "version": version, **more}}


REPORT = {
    "version": "1",
    "environment": {"sys_platform": "linux", "python_version": "3.13"},
    "installed": [
        package("retailcrm-mirror", "0.1.0", requires_dist=["Some_Lib>=1", "gone; extra == 'x'"]),
        package(
            "Some.Lib", "1.4.2", summary="does things", license_expression="MIT",
            requires_dist=["other", "colorama; sys_platform == 'win32'", "typing-x; extra == 'y'"],
        ),
        package("other", "2.0", classifier=["License :: OSI Approved :: BSD License"]),
        package("colorama", "0.4", license="a\nwhole text"),
        package("typing-x", "1"),
    ],
}  # fmt: skip


def run(*arguments: str | Path, report: Any = REPORT) -> tuple[int, dict[str, Any], str]:
    done = subprocess.run(
        [sys.executable, SCRIPT, *arguments],
        input=json.dumps(report), capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout), done.stderr


def test_the_bill_names_each_package_and_what_it_needs() -> None:
    """A scanner finds it by its address; nothing of this machine or moment is in it."""
    status, bill, told = run()
    assert status == 0
    assert "Not compared with advisories" in told
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["version"] == "0.1.0"
    assert [each["purl"] for each in bill["components"]] == [
        "pkg:pypi/colorama@0.4", "pkg:pypi/other@2.0", "pkg:pypi/some-lib@1.4.2",
        "pkg:pypi/typing-x@1",
    ]  # fmt: skip
    needs = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    assert needs["retailcrm-mirror"] == ["pkg:pypi/some-lib@1.4.2"]
    assert needs["pkg:pypi/some-lib@1.4.2"] == ["pkg:pypi/other@2.0", "pkg:pypi/typing-x@1"]
    licences = {each["name"]: each.get("licenses") for each in bill["components"]}
    assert licences["some-lib"] == [{"expression": "MIT"}]
    assert licences["other"] == [{"license": {"name": "BSD License"}}]
    assert licences["colorama"] is None
    assert run()[1] == bill


def advisory(**part: Any) -> dict[str, Any]:
    about = {"package": {"ecosystem": "PyPI", "name": "some_lib"}, **part}
    return {"id": "PYSEC-1", "aliases": ["CVE-1"], "summary": "reads too far", "affected": [about]}


def between(*events: dict[str, str]) -> dict[str, Any]:
    return {"ranges": [{"type": "ECOSYSTEM", "events": list(events)}]}


@pytest.mark.parametrize(
    ("part", "is_found"),
    [
        ({"versions": ["1.4.1", "1.4.2"]}, True),
        ({"versions": ["1.4.1"]}, False),
        (between({"introduced": "0"}, {"fixed": "1.4.3"}), True),
        (between({"introduced": "0"}, {"fixed": "1.4.2"}), False),
        (between({"introduced": "1.5"}), False),
        (between({"introduced": "1.4"}, {"last_affected": "1.4.2"}), True),
        (
            between({"introduced": "0"}, {"fixed": "1.0"}, {"introduced": "1.4"}, {"fixed": "2"}),
            True,
        ),
        (between({"introduced": "0"}, {"fixed": "not a version"}), True),
        ({**between({"introduced": "0"}), "package": {"ecosystem": "npm", "name": "x"}}, False),
    ],
)
def test_what_an_advisory_is_about_is_named(
    tmp_path: Path, part: dict[str, Any], *, is_found: bool
) -> None:
    """By its versions, or by ranges as OSV tells them; the exit status says so, too."""
    (tmp_path / "one.json").write_text(json.dumps(advisory(**part)))
    status, _, told = run("--advisories", tmp_path)
    assert status == int(is_found)
    line = "some-lib 1.4.2: PYSEC-1, CVE-1: reads too far"
    assert (line in told) is is_found
    assert "in 1 advisories" in told


def test_advisories_come_from_a_zip_file_and_withdrawn_ones_do_not_count(tmp_path: Path) -> None:
    """An empty one is told apart from one without a finding."""
    withdrawn = {**advisory(versions=["1.4.2"]), "withdrawn": "2026-01-01T00:00:00Z"}
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as packed:
        packed.writestr("PYSEC-1.json", json.dumps(withdrawn))
    assert run("--advisories", tmp_path / "all.zip")[::2] == (0, "0 findings in 1 advisories.\n")
    (tmp_path / "empty").mkdir()
    status, _, told = run("--advisories", tmp_path / "empty")
    assert (status, told) == (2, f"There are no advisories in {tmp_path / 'empty'}.\n")


def test_the_bill_of_this_environment_has_all_that_the_service_asks_for() -> None:
    """In the very versions that the image gets by hash, and as what the service needs."""
    told = subprocess.run(
        [sys.executable, "-m", "pip", "inspect", "--local"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    _, bill, _ = run(report=json.loads(told.stdout))
    needs = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    text = (ROOT / "ops/requirements/service.txt").read_text("utf-8")
    pins = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE))
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    for line in asked:
        name = re.split(r"[\[=><]", line)[0]
        assert f"pkg:pypi/{name}@{pins[name]}" in needs["retailcrm-mirror"]
