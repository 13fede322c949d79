"""The body of a POST: a form, in which nested structures are JSON strings."""

from __future__ import annotations

from typing import Any

import orjson

from sync.sandbox.php import Json, Refusal, nested

FORM = "application/x-www-form-urlencoded"
INPUT = "Errors in the input parameters"
CONTENT = "_content"  # of a body that is not a form: its size and type, all that a file is kept as


def posted(query: Json, body: bytes, content_type: str) -> Json:
    """Return the parameters of a POST: those of its form, before those of its address.

    PHP reads forms only: of a JSON body nothing is read, and each parameter is missing.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind in ("", FORM):
        return query | nested(body.decode("utf-8", "replace"))
    return query | {CONTENT: {"size": len(body), "type": kind}}


def missing(name: str) -> Refusal:
    """Return the refusal of a call without a parameter.

    The text is that of the Go client's error_test.go; whether `errors` comes with it is not known.
    """
    return Refusal(
        400, f"Parameter '{name}' is missing", errors={name: "This value should not be blank."}
    )


def structure(params: Json, *names: str) -> Any:
    """Return the JSON in the first of these parameters that is there, or raise the refusal."""
    name = next((n for n in names if n in params), None)
    if name is None or params[name] == "":
        raise missing(names[0])
    given = params[name]
    try:
        found = orjson.loads(given) if isinstance(given, str) else None
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict | list):  # the text of this error is not known
        raise Refusal(400, INPUT, errors={name: "This value should be valid JSON."})
    return found
