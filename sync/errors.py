"""Errors, named by the caller's next action.

SyncError
├── TryLater            the API, Redis or Postgres could not serve us now; retry later
│   ├── OverLimit       503 or 429: the request limit, or an outage; reported to the limiter
│   ├── HtmlAnswer      an HTML page in place of JSON: a proxy, or no such account
│   ├── Ended           the slice was over before an answer had come whole
│   ├── TooSlow         no answer within the time allowed: a smaller page may come in time
│   ├── OutOfService    nor does the account answer anything else: a smaller page would not either
│   ├── Overtaken       another worker's write came first; the transaction is repeated
│   └── LeaseLost       another worker holds the lease now and does this work
├── NeedsOperator       a retry cannot help: a person has to change something
│   ├── WrongKey        401 or 403 for the key itself
│   ├── MissingScope    403 for one method: the key lacks its scope
│   ├── Forbidden       401 or 403 in the client, before it is known which of the two above it is
│   ├── Unavailable     404 for one method: the account lacks the feature
│   ├── AccessChanged   the key's scopes or sites have changed
│   ├── NoSuchAccount   the host answers, but not as a RetailCRM account
│   └── BadRequest      a person's input is wrong (a name, a date, a URL)
├── Refused             400, 404, 405, 413: the meaning depends on the request; pipeline decides
│   └── NotFound        404
└── UnexpectedData      a 200 that contradicts the declaration; kept with its body
    ├── TooManyRecords  more records than were asked for: the limit is ignored
    └── TooLarge        more bytes or values than may be held: a smaller page may be small enough
"""

from __future__ import annotations

import datetime as dt
from typing import Any


class SyncError(Exception):
    """The base of all errors that this service raises on purpose.

    `sent_at` is the send moment of the request that failed; None where none was sent.
    """

    sent_at: dt.datetime | None = None


class TryLater(SyncError):
    """A server asked us to wait, or could not be reached. The checkpoint is unchanged.

    `after` is the wait in seconds that the server asked for, None when it named none.
    """

    def __init__(self, message: str, *, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class OverLimit(TryLater):
    """503 or 429, reported to the limiter; `after` is `Retry-After` in seconds."""


class HtmlAnswer(TryLater):
    """An HTML page instead of JSON. It is neither data nor an empty answer."""


class Ended(TryLater):
    """An answer was cut, because its slice is over or the process ends. Nothing more is asked."""


class TooSlow(TryLater):
    """The answer did not begin, or did not end, within the time allowed (two settings)."""


class OutOfService(TryLater):
    """A request failed, and the account does not answer `credentials` either."""


class Overtaken(TryLater):
    """Another worker's write came in between; nothing was written, and the transaction is repeated.

    `attempts` (sync/database/engine.py) repeats it at once.
    """


class LeaseLost(TryLater):
    """The lease was taken over or has expired; nothing was written, and no write is allowed."""


class NeedsOperator(SyncError):
    """A retry cannot help. The message says what to do."""


class WrongKey(NeedsOperator):
    """The account refuses this API key altogether."""


class MissingScope(NeedsOperator):
    """The key is good, but this method needs a scope it lacks."""


class Forbidden(NeedsOperator):
    """401 or 403: a wrong key or a missing scope; only the method `credentials` can tell which.

    The message is localised, for people; `status` and `body` are the answer as received.
    """

    def __init__(self, status: int, message: str, *, body: bytes = b"") -> None:
        super().__init__(message)
        self.status = status
        self.body = body


class Unavailable(NeedsOperator):
    """The account does not have this method; its other resources are not affected."""


class AccessChanged(NeedsOperator):
    """The key's access differs from the last check of the store: no row may be deleted."""


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
    """A success that contradicts the declaration: no `success`, no answer key, another shape.

    The `body` is kept, so that nothing is lost; the answer is never treated as empty.
    """

    def __init__(self, message: str, *, body: bytes = b"") -> None:
        super().__init__(message)
        self.body = body


class TooLarge(UnexpectedData):
    """A success with more bytes or values than one answer may have in memory."""


class TooManyRecords(UnexpectedData):
    """A page of more records than were asked for: no smaller page would be smaller."""
