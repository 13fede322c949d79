"""What a webhook's receiver gets: readable in Slack, signed, and no command to anything."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json

from sync.notify import Item, Message, body_of, signature_of, text_of

SINCE = dt.datetime(2024, 1, 31, 10, 20, tzinfo=dt.UTC)


def message(event: str = "trouble", **changes: str) -> Message:
    about = {"kind": "operator", "resource": "orders", "text": "parked"} | changes
    return Message(event, "shop", [Item(7, since=SINCE, attempts=1, **about)])


def test_a_receiver_can_check_the_signature_with_a_few_lines() -> None:
    body = body_of(message())
    header = signature_of(body, secret="twenty characters at least", timestamp=1700000000)
    stamp, _, given = header.partition(",v1=")
    wanted = hmac.new(
        b"twenty characters at least", stamp.removeprefix("t=").encode() + b"." + body,
        hashlib.sha256,
    ).hexdigest()  # fmt: skip
    assert hmac.compare_digest(given, wanted)
    assert signature_of(body, secret="twenty characters at least", timestamp=1700000001) != header


def test_the_body_has_text_for_people_and_items_for_machines() -> None:
    found = json.loads(body_of(message()))
    assert found["text"] == "shop needs an operator\n• orders: parked"
    assert (found["event"], found["store"]) == ("trouble", "shop")
    [item] = found["items"]
    assert item == {
        "id": 7,
        "kind": "operator",
        "resource": "orders",
        "text": "parked",
        "since": "2024-01-31T10:20:00+00:00",
    }


def test_an_accounts_text_is_no_command_in_slack() -> None:
    """`<!channel>` would wake everybody."""
    text = text_of(message(text="<!channel> & <https://evil.example.com|click>"))
    assert "<" not in text
    assert "&lt;!channel&gt; &amp;" in text


def test_lag_and_recovery_have_words_of_their_own() -> None:
    lag = message(kind="lag", resource="", text="order_history lags by 31 min")
    assert text_of(lag) == "shop lags\n• order_history lags by 31 min"
    assert text_of(message("recovered")) == "shop is well again\n• over: orders"
    assert text_of(message("recovered", kind="lag", resource="")).endswith("• over: lag")
