"""A Postgres mirror of RetailCRM / Simla.com accounts.

`celery -A sync …` finds the application here; it is imported only when asked for, so that the
pure modules can be used without Celery.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Give Celery its application (`celery -A sync`) without importing it for anybody else."""
    if name in {"app", "celery"}:
        # By name, so that no module that reads our version seems to import the application.
        return import_module("sync.worker.celery").app
    raise AttributeError(f"module 'sync' has no attribute {name!r}")
