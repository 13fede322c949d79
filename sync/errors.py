"""Errors, named by what the caller does next.

SyncError
├── TryLater            the API, Redis or Postgres could not serve us now; come back later
│   ├── OverLimit       503 or 429: the request limit, or an outage; the limiter is told
│   ├── HtmlAnswer      an HTML page where JSON was due: a proxy, or no such account
│   └── LeaseLost       somebody else holds the lease now; this work is theirs
├── NeedsOperator       trying again cannot help: a person has to change something
│   ├── WrongKey        401 or 403 for the key itself
│   ├── MissingScope    403 for one method: the key lacks its scope
│   ├── Forbidden       401 or 403 as the client sees it: one of the two above, not yet known which
│   ├── Unavailable     404 for one method: the account lacks the feature
│   ├── AccessChanged   the key's scopes or sites are not what they were
│   ├── NoSuchAccount   the host answers, but not as a RetailCRM account
│   └── BadRequest      the person's own input is wrong (a name, a date, a URL)
├── Refused             400, 404, 405, 413: its meaning depends on the request; pipeline decides
│   └── NotFound        404
└── UnexpectedData      a 200 that is not what the declaration says; kept with its body
"""

from __future__ import annotations

from typing import Any


class SyncError(Exception):
    """Anything this service raises on purpose."""


class TryLater(SyncError):
    """The other side asked us to wait, or was out of reach. The checkpoint is untouched.

    `after` is the wait in seconds the other side asked for, None when it named none.
    """

    def __init__(self, message: str, *, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class OverLimit(TryLater):
    """503 or 429. The limiter has been told; `after` is `Retry-After` in seconds."""


class HtmlAnswer(TryLater):
    """An HTML page instead of JSON: never data, never "no data"."""


class LeaseLost(TryLater):
    """The lease was taken over or has expired; nothing was written and nothing may be."""


class NeedsOperator(SyncError):
    """Retrying cannot help. The message says what to do."""


class WrongKey(NeedsOperator):
    """The account refuses this API key altogether."""


class MissingScope(NeedsOperator):
    """The key is good, but this method needs a scope it lacks."""


class Forbidden(NeedsOperator):
    """401 or 403: wrong key or missing scope, which only `credentials` can tell.

    The message is localised and for people; `status` and `body` are the answer as received.
    """

    def __init__(self, status: int, message: str, *, body: bytes = b"") -> None:
        super().__init__(message)
        self.status = status
        self.body = body


class Unavailable(NeedsOperator):
    """The account does not have this method; the other resources go on."""


class AccessChanged(NeedsOperator):
    """The key sees less, or more, than when the store was last checked: nothing is deleted."""


class NoSuchAccount(NeedsOperator):
    """The host does not answer as a RetailCRM account."""


class BadRequest(NeedsOperator):
    """A person's input is wrong; the message is one line that says what to do."""


class Refused(SyncError):
    """The API refused this request: `status` 400, 404, 405 or 413.

    `message` is the API's `errorMsg` (localised: for people, never for decisions), `errors` its
    `errors`, `body` the answer as received.
    """

    def __init__(self, status: int, message: str, *, errors: Any = None, body: bytes = b"") -> None:
        super().__init__(f"HTTP {status}: {message}")
        self.status = status
        self.message = message
        self.errors = errors
        self.body = body


class NotFound(Refused):
    """404. `combined_to` is the surviving record's id when the API names one."""

    def __init__(
        self, message: str, *, errors: Any = None, body: bytes = b"", combined_to: int | None = None
    ) -> None:
        super().__init__(404, message, errors=errors, body=body)
        self.combined_to = combined_to


class UnexpectedData(SyncError):
    """A success that is not what was declared: no `success`, no answer key, another shape.

    Parked with its `body`, so that nothing is lost; never treated as empty.
    """

    def __init__(self, message: str, *, body: bytes = b"") -> None:
        super().__init__(message)
        self.body = body
