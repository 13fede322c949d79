"""The table from an HTTP answer to its result or error. No I/O.

| status | raised |
|---|---|
| 2xx with `success: true` | nothing: the decoded object is returned |
| 2xx with more values than may be held | TooLarge, before any of them is decoded |
| other 2xx | UnexpectedData; TryLater when the body is not complete JSON |
| 3xx | NoSuchAccount: an account's API never redirects |
| 503, 429, with any body | OverLimit with Retry-After |
| 408, 425, other 5xx, with any body | TryLater |
| HTML with any other status | HtmlAnswer |
| 401, 403 | Forbidden: wrong key or missing scope; the pipeline asks `credentials` which |
| 404 | NotFound with `combinedTo` |
| other 4xx | Refused |
"""

from __future__ import annotations

import email.utils
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sync.crawl import record_id_of
from sync.crm.body import MOST_VALUES, is_overfull
from sync.crm.decode import decode
from sync.errors import (
    Forbidden,
    HtmlAnswer,
    NoSuchAccount,
    NotFound,
    OverLimit,
    Refused,
    SyncError,
    TooLarge,
    TryLater,
    UnexpectedData,
)
from sync.telemetry import plain

_MESSAGE_CHARACTERS = 300
PARKED_BYTES = 64 * 1024
"""The most of an answer that is kept with its error where it is too large."""
LONGEST_PAUSE_SECONDS = 3_600.0
"""The longest Retry-After that is followed: one more try an hour later costs one request."""


def meaning_of(
    status: int, headers: Mapping[str, str], body: bytes, *, where: str, now: float
) -> dict[str, Any]:
    """Return the decoded object of an answer, or raise the error that the answer stands for.

    `where` is the host and method path, for messages. `now` is Unix time, used for a Retry-After
    date when the answer has no Date header.
    """
    if 200 <= status < 300:
        return _success(status, body, where)
    raise _failure(status, headers, body, where, now)


def _success(status: int, body: bytes, where: str) -> dict[str, Any]:
    if _is_html(body):
        raise HtmlAnswer(f"{where} answered {status} with an HTML page")
    if is_overfull(body):
        raise TooLarge(
            f"{where} answered {status} with more than {MOST_VALUES:,} values",
            body=body[:PARKED_BYTES],
        )
    try:
        data = decode(body)
    except ValueError:
        raise TryLater(f"{where} answered {status} with incomplete JSON of {len(body)} B") from None
    if not isinstance(data, dict):
        raise UnexpectedData(f"{where} answered {status} without a JSON object", body=body)
    if data.get("success") is not True:
        text = _text(data.get("errorMsg"))
        raise UnexpectedData(f"{where} answered {status} without success: {text}", body=body)
    return data


def _failure(
    status: int, headers: Mapping[str, str], body: bytes, where: str, now: float
) -> SyncError:
    if status in {429, 503}:
        return OverLimit(
            f"{where} answered {status}: over its request limit, or out of service",
            after=_retry_after(headers, now=now),
        )
    if 300 <= status < 400:
        return NoSuchAccount(
            f"{where} answered {status}, a redirect: no RetailCRM account is at this address; "
            "check the URL with `store set`"
        )
    if status >= 500 or status in {408, 425}:
        # Also with an HTML page: a proxy then reports that the account's server is down, which
        # does not mean that there is no account.
        return TryLater(f"{where} answered {status}", after=_retry_after(headers, now=now))
    if _is_html(body):
        return HtmlAnswer(f"{where} answered {status} with an HTML page")

    data = _object(body)
    message = _text(data.get("errorMsg"))
    errors = data.get("errors")
    if status in {401, 403}:
        return Forbidden(status, f"{where} answered {status}: {message}", body=body)
    if status == 404:
        combined = _id(data.get("combinedTo"))
        return NotFound(message, errors=errors, body=body, combined_to=combined)
    return Refused(status, message, errors=errors, body=body)


def _is_html(body: bytes) -> bool:
    return body.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")


def _object(body: bytes) -> dict[str, Any]:
    try:
        data = decode(body)
    except ValueError:
        data = None
    if isinstance(data, dict):
        return data
    # More than is shown: what is cut before the key is taken out of it may end in half of it.
    return {"errorMsg": body[: 10 * _MESSAGE_CHARACTERS].decode("utf-8", "replace")}


def _text(value: Any) -> str:
    told = "" if value is None else plain(value, most=_MESSAGE_CHARACTERS)
    return told or "no message"


def _id(value: Any) -> int | None:
    """Return the surviving customer's id from `combinedTo`, which holds the customer or the id."""
    found = value.get("id") if isinstance(value, dict) else value
    if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) < 20:
        found = int(found)
    return record_id_of(found)


def _retry_after(headers: Mapping[str, str], *, now: float) -> float | None:
    """Return Retry-After in seconds, at most an hour; None when it is missing or malformed.

    The header is a number of seconds, perhaps fractional, or an HTTP date.
    """
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    number = text.replace(".", "", 1)
    if number.isascii() and number.isdigit() and len(text) < 12:
        return min(float(Decimal(text)), LONGEST_PAUSE_SECONDS)
    until = _http_date(text)
    if until is None:
        return None
    # The difference to the server's own Date does not depend on this machine's clock.
    since = _http_date(headers.get("date", ""))
    seconds = until - (now if since is None else since)
    return min(max(0.0, seconds), LONGEST_PAUSE_SECONDS)


def _http_date(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, OverflowError, IndexError, OSError):  # also years 1 and 9999
        return None
