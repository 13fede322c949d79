#!/usr/bin/env python3
"""A list of what is installed, as CycloneDX JSON, from what pip knows; offline.

    pip inspect --local | python3 ops/sbom.py > mirror.cdx.json
    docker run --rm --entrypoint pip IMAGE inspect --local | python3 ops/sbom.py > mirror.cdx.json

With --advisories it compares the list with security advisories in the form of OSV, a folder or a
zip file of JSON that you brought along, names what is affected, and ends with 1 if anything is:

    pip inspect --local | python3 ops/sbom.py --advisories PyPI.zip > mirror.cdx.json

The same environment gives the same file: it has no time in it. Python 3.11 and `packaging` are all
that is needed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from packaging.markers import Marker, UndefinedEnvironmentName
from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

US = "retailcrm-mirror"
Report = Mapping[str, Any]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--advisories", type=Path, metavar="FOLDER_OR_ZIP")
    chosen = parser.parse_args(arguments)
    report = json.load(sys.stdin)
    sys.stdout.write(json.dumps(bill_of(report), indent=1, ensure_ascii=False) + "\n")
    if chosen.advisories is None:
        sys.stderr.write("Not compared with advisories: none were given (--advisories).\n")
        return 0
    count, found = 0, []
    for advisory in advisories_in(chosen.advisories):
        count += 1
        found += affected(advisory, versions_of(report))
    if not count:
        sys.stderr.write(f"There are no advisories in {chosen.advisories}.\n")
        return 2
    sys.stderr.writelines(f"{line}\n" for line in sorted(found))
    sys.stderr.write(f"{len(found)} findings in {count:,} advisories.\n")
    return int(bool(found))


def normal(name: str) -> str:
    """Return the one spelling of a package's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def versions_of(report: Report) -> dict[str, str]:
    """Return the installed versions by name."""
    return {
        normal(each["metadata"]["name"]): each["metadata"]["version"]
        for each in report["installed"]
    }


def bill_of(report: Report) -> dict[str, Any]:
    """Return the bill of materials of an environment, from pip's report about it."""
    versions = versions_of(report)
    parts = {normal(each["metadata"]["name"]): each["metadata"] for each in report["installed"]}
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application", "bom-ref": US, "name": US,
                "version": versions.get(US, "unknown"),
            }
        },
        "components": [component(parts[name]) for name in sorted(parts) if name != US],
        "dependencies": [
            {"ref": _ref(name, versions), "dependsOn": _needed(parts[name], report, versions)}
            for name in sorted(parts)
        ],
    }  # fmt: skip
    number = uuid5(NAMESPACE_URL, json.dumps(bill, sort_keys=True))
    return {**bill, "serialNumber": f"urn:uuid:{number}"}


def component(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return a package's entry: name, version, address in scanners' form, licence as declared."""
    name, version = normal(metadata["name"]), metadata["version"]
    found = {
        "type": "library", "bom-ref": f"pkg:pypi/{name}@{version}", "name": name,
        "version": version, "purl": f"pkg:pypi/{name}@{version}",
    }  # fmt: skip
    if summary := metadata.get("summary"):
        found["description"] = summary
    classes = [
        each.rpartition(" :: ")[2]
        for each in metadata.get("classifier", [])
        if each.startswith("License :: ")
    ]
    if expression := metadata.get("license_expression"):
        found["licenses"] = [{"expression": expression}]
    elif classes:
        found["licenses"] = [{"license": {"name": each}} for each in classes]
    elif (text := metadata.get("license", "")) and "\n" not in text:
        found["licenses"] = [{"license": {"name": text}}]
    return found


def _ref(name: str, versions: Mapping[str, str]) -> str:
    return US if name == US else f"pkg:pypi/{name}@{versions[name]}"


def _needed(metadata: Mapping[str, Any], report: Report, versions: Mapping[str, str]) -> list[str]:
    """Return what a package asks for and is installed; an extra's packages, where they are."""
    found = set()
    for line in metadata.get("requires_dist", []):
        wanted = Requirement(line)
        name = normal(wanted.name)
        if name in versions and _is_meant(wanted.marker, report.get("environment", {})):
            found.add(_ref(name, versions))
    return sorted(found)


def _is_meant(marker: Marker | None, environment: Mapping[str, str]) -> bool:
    """Tell whether a requirement is for the environment; one of an extra is, if it is installed."""
    if marker is None or "extra" in str(marker):
        return True
    try:
        return marker.evaluate({**environment, "extra": ""})
    except UndefinedEnvironmentName:
        return True


def advisories_in(place: Path) -> Iterator[Report]:
    """Yield the advisories of a folder, or of a zip file."""
    if place.is_dir():
        for path in sorted(place.rglob("*.json")):
            yield json.loads(path.read_bytes())
        return
    with zipfile.ZipFile(place) as packed:
        for name in packed.namelist():
            if name.endswith(".json"):
                yield json.loads(packed.read(name))


def affected(advisory: Report, versions: Mapping[str, str]) -> list[str]:
    """Return a line for each installed package that an advisory is about."""
    if advisory.get("withdrawn"):
        return []
    found = []
    for part in advisory.get("affected", []):
        package = part.get("package", {})
        version = versions.get(normal(package.get("name", "")))
        if package.get("ecosystem") == "PyPI" and version and _is_in(part, version):
            told = advisory.get("summary") or advisory.get("details", "")
            about = ", ".join([advisory["id"], *advisory.get("aliases", [])])
            found.append(f"{normal(package['name'])} {version}: {about}: {told.strip()[:200]}")
    return found


def _is_in(part: Report, version: str) -> bool:
    if version in part.get("versions", []):
        return True
    ranges = [each["events"] for each in part.get("ranges", []) if each["type"] == "ECOSYSTEM"]
    return any(_holds(events, version) for events in ranges)


def _holds(events: Sequence[Mapping[str, str]], version: str) -> bool:
    """Tell whether a range, told as events in order, has a version; an unreadable one counts."""
    try:
        mine, is_inside = Version(version), False
        for event in events:
            if "introduced" in event:
                is_inside = is_inside or mine >= Version(event["introduced"])
            elif "fixed" in event:
                is_inside = is_inside and mine < Version(event["fixed"])
            elif "last_affected" in event:
                is_inside = is_inside and mine <= Version(event["last_affected"])
    except InvalidVersion:
        return True
    return is_inside


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
