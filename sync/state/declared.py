"""The declarations as a relation, so that statements can compare stored rows with them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from sync.declare import FullRefresh, Resource

DECLARED = """
    jsonb_to_recordset(cast(:declared AS jsonb)) AS d(resource text, feed text, told_by text[],
        every_seconds float8, selected bool, version text, lanes text[], head_start float8,
        is_dated bool)
"""


def declared(resources: Sequence[Resource]) -> str:
    """Return the declarations as JSON, for the bind `declared` of DECLARED."""
    return json.dumps(
        [
            {
                "resource": resource.name,
                "feed": resource.name if resource.is_history else resource.history or None,
                "told_by": _told_by(resource, resources),
                "every_seconds": resource.changes.every_seconds
                if isinstance(resource.changes, FullRefresh)
                else 0,
                "selected": not resource.optional,
                "version": resource.version,
                "lanes": ["walk", "feed"] if resource.is_history else ["walk"],
                # Long resources begin first: the dictionaries fit between their pages.
                "head_start": 1 if resource.is_followed or resource.is_history else 0,
                "is_dated": bool(resource.created_field),
            }
            for resource in resources
        ]
    )


def _told_by(resource: Resource, known: Iterable[Resource]) -> list[str]:
    """Return the other histories that tell of a followed resource: of merges, of related
    changes."""
    if not resource.is_followed:
        return []
    return sorted(
        {
            other.history
            for other in known
            if other.history not in ("", resource.history)
            and resource.name
            in {*(name for name, _ in other.combined), *(also.resource for also in other.rereads)}
        }
    )
