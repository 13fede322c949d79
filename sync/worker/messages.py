"""The check of a message before it reaches Celery, which ends on most that is none of its own.

A queue is a list in Redis, and whoever has its password can put anything into it. What is not one
of our tasks, called as it is declared, is set aside: the newest texts stay in Redis for a look.
"""

from __future__ import annotations

import base64
import binascii
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

Tasks = Mapping[str, Callable[..., Any]]


def fault_of(text: bytes | str, tasks: Tasks) -> str | None:
    """Return what is wrong with a message as Redis had it, None when it calls one of `tasks`."""
    try:
        payload = json.loads(text)
    except (ValueError, RecursionError):
        return "it is not JSON"
    if (fault := fault_of_envelope(payload)) is not None:
        return fault
    headers = payload["headers"]
    if not _is_text(headers.get("id")) or not _is_text(headers.get("task")):
        return "it names no task, or has no id"
    if (task := tasks.get(headers["task"])) is None:
        return "it calls no task of this release"
    if headers.get("eta") is not None or headers.get("compression") is not None:
        return "it has an ETA or is compressed, which none of ours is"
    if headers.get("timelimit") not in (None, [None, None]):
        return "it has a time limit, which none of ours has"
    return _fault_of_call(payload, task)


def fault_of_envelope(payload: Any) -> str | None:
    """Return what keeps kombu from reading a decoded message, None when it can."""
    if not isinstance(payload, dict):
        return "it is not an object"
    headers, properties = payload.get("headers"), payload.get("properties")
    if not isinstance(headers, dict) or not isinstance(properties, dict):
        return "it has no headers or no properties"
    info = properties.get("delivery_info")
    if not _is_text(properties.get("delivery_tag")) or not isinstance(info, dict):
        return "it has no delivery tag or no delivery info"
    if not all(isinstance(info.get(name), str) for name in ("exchange", "routing_key")):
        return "its delivery info names no exchange and routing key"
    if properties.get("body_encoding") not in (None, "base64"):
        return "its body is encoded in an unknown way"
    return None


def _fault_of_call(payload: dict[str, Any], task: Callable[..., Any]) -> str | None:
    if payload.get("content-type") != "application/json":
        return "its body is not JSON"
    try:
        body = payload.get("body")
        if payload["properties"].get("body_encoding") == "base64":
            body = base64.b64decode(body or "", validate=True).decode("utf-8")
        args, kwargs, embed = json.loads(body or "")
        bound = inspect.signature(task).bind(*args, **kwargs)
    except (ValueError, TypeError, binascii.Error, RecursionError):
        return "its arguments are not those of the task"
    if embed and any(embed.values()):
        return "it has callbacks, which none of ours has"
    hints = get_type_hints(task)
    if not all(type(value) is hints.get(name, object) for name, value in bound.arguments.items()):
        return "its arguments are not of the task's types"
    return None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""
