"""dlt, run beside ours on the same servers and the same sandbox."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.bench.stage import HERE, ROOT, Stage

DLT = ROOT / ".data" / "bench-dlt"


def dlt_python() -> Path | None:
    """dlt in a venv of its own, made once; None where it cannot be had."""
    python = DLT / "bin" / "python"
    if not python.exists():
        made = subprocess.run([sys.executable, "-m", "venv", str(DLT)], check=False)
        if made.returncode == 0:
            subprocess.run(
                [str(python), "-m", "pip", "install", "-q", "dlt[postgres]==1.31.0"],
                check=False,
                capture_output=True,
            )
    tried = subprocess.run([str(python), "-c", "import dlt"], check=False, capture_output=True)
    return python if tried.returncode == 0 else None


def run_dlt(url: str, key: str, stage: Stage) -> dict[str, Any] | None:
    """One dlt load of the orders, or None."""
    python = dlt_python()
    if python is None:
        return None
    database = stage.url.replace("postgresql+psycopg://", "postgresql://")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {
        "DLT_DATA_DIR": tempfile.mkdtemp(), "RUNTIME__DLTHUB_TELEMETRY": "false",
        "EXTRACT__WORKERS": "10", "NORMALIZE__WORKERS": "2", "LOAD__WORKERS": "4",
    }  # fmt: skip
    done = subprocess.run(
        [str(python), str(HERE / "with_dlt.py"), url, key, database],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
        return None
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
