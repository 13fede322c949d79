"""The application, where `celery -A sync` looks for it."""

from sync.worker.celery import app

__all__ = ["app"]
