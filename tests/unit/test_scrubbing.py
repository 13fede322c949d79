"""Ten thousand secrets in every spelling that programs give them, in nothing that is shown."""

from __future__ import annotations

import base64
import html
import io
import json
import logging
import random
import re
import string
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
import sentry_sdk
import structlog

from sync import settings, telemetry
from sync.commands.shell import Failure, in_words, say, say_json
from sync.crm.answers import meaning_of
from sync.errors import SyncError, TryLater
from sync.telemetry import secrets, sentry
from sync.telemetry.secrets import SHOWN, keep_secret, scrubbed
from sync.web.formatting import shortened
from tests.unit.test_telemetry import Kept

ROOT = Path(__file__).parents[2]
MANY = 10_000
KEYS = "".join(chr(code) for code in range(0x21, 0x7F))  # what an API key may have
PASSWORDS = KEYS + " äßжЩñ€😀"


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No secret of another test, and none of these for other tests."""
    monkeypatch.setattr(secrets, "_known", set())
    monkeypatch.setattr(secrets, "_forms", {})
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    yield
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)
    structlog.reset_defaults()
    sentry_sdk.get_global_scope().set_client(None)


def made(rng: random.Random) -> str:
    """A secret: of letters and digits, of all that a key may have, or of what people type."""
    letters = rng.choice([string.ascii_letters + string.digits, KEYS, PASSWORDS])
    return "".join(rng.choices(letters, k=rng.randint(16, 40)))


def unicode_escaped(secret: str) -> str:
    """Every character as JSON may write it, in small or large letters."""
    units = secret.encode("utf-16-be")
    codes = [units[at : at + 2].hex() for at in range(0, len(units), 2)]
    return "".join(f"\\u{code if at % 3 else code.upper()}" for at, code in enumerate(codes))


def percent_escaped(secret: str) -> str:
    """Every byte as a percent code."""
    return "".join(f"%{byte:02x}" if byte % 2 else f"%{byte:02X}" for byte in secret.encode())


def in_json(secret: str) -> str:
    return json.dumps(secret)[1:-1]


def in_repr(secret: str) -> str:
    return repr(secret)[1:-1]


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": in_json,
    "JSON that leaves letters as they are": lambda s: json.dumps(s, ensure_ascii=False)[1:-1],
    "JSON of PHP": lambda s: in_json(s).replace("/", "\\/"),
    "JSON, every character escaped": unicode_escaped,
    "JSON in JSON": lambda s: in_json(in_json(s)),
    "repr": in_repr,
    "repr of bytes": lambda s: repr(s.encode())[2:-1],
    "repr of JSON": lambda s: in_repr(in_json(s)),
    "a URL's password": lambda s: quote(s, safe=""),
    "a URL's query": quote_plus,
    "a URL in a URL": lambda s: quote(quote(s, safe=""), safe=""),
    "percent codes": percent_escaped,
    "a URL in JSON in repr": lambda s: in_repr(in_json(quote(s, safe=""))),
    "JSON in a URL": lambda s: quote(in_json(s), safe=""),
    "a web page": html.escape,
    "hex": lambda s: s.encode().hex(),
    "hex in capitals": lambda s: s.encode().hex().upper(),
}
SWALLOWED = string.hexdigits + "xuU"
AROUND = ('{"m":"', "?k=", "x-api-key: ", "'", "\\", "%", "\\u00", "%4", " ", "/", "Щ", "&#", "")


def test_no_spelling_of_ten_thousand_secrets_is_left_and_nothing_else_is_cut() -> None:
    """Three spellings of each, so that each spelling is tried on 1,600, whatever stands around."""
    rng = random.Random(14)
    spelled = list(SPELLINGS.items())
    for number in range(MANY):
        secret = made(rng)
        keep_secret(secret)
        for turn in range(3):
            name, spell = spelled[(number * 3 + turn) % len(spelled)]
            told, after = spell(secret), rng.choice(AROUND)
            # What makes an escape of its beginning makes another text of it.
            before = "=" if told[0] in SWALLOWED else rng.choice(AROUND)
            left = scrubbed(f"{before}{told}{after}")
            assert left.count(SHOWN) == 1, (name, secret, left)
            head, tail = left.split(SHOWN)
            assert before.startswith(head), (name, secret, left)
            # A backslash at its end and what follows are taken for one escape.
            is_near = after.endswith(tail) or tail.endswith(after)
            assert tail == after or (secret.endswith("\\") and is_near), (name, secret, left)


def test_base64_of_a_secret_is_found_wherever_it_begins() -> None:
    """As in `Authorization: Basic`, with a user's name before it and anything behind."""
    rng = random.Random(15)
    for _ in range(MANY // 5):
        secret = made(rng)
        keep_secret(secret)
        user, rest = rng.randbytes(rng.randint(0, 9)), rng.randbytes(rng.randint(0, 9))
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(user + secret.encode() + rest).decode()
            left = scrubbed(f"Basic {text}").removeprefix("Basic ")
            assert SHOWN in left
            for part in left.split(SHOWN):
                assert len(part) <= 16, "what is left is of the user and the rest"


def test_bytes_tuples_sets_and_dicts_are_searched_too() -> None:
    """An answer's body is bytes; an event of Sentry is anything."""
    rng = random.Random(16)
    for spell in SPELLINGS.values():
        secret = made(rng)
        keep_secret(secret)
        told = spell(secret)
        found = scrubbed({told: [told.encode(), (told, {told}), frozenset({told})], "n": 5})
        assert found == {
            SHOWN: [SHOWN.encode(), (SHOWN, {SHOWN}), frozenset({SHOWN})], "n": 5,
        }  # fmt: skip


class Odd:
    """An object that a line quotes, with words of its own."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"<{self.text}>"


def fail(text: str) -> None:
    raise ValueError(text)


def told_by(text: str) -> str:
    """The traceback of an error that quotes a text."""
    with pytest.raises(ValueError, match="connect") as caught:
        fail(text)
    return "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_log_line_nor_traceback_has_one(
    log_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the event, in a field, in an object that a field holds, in an exception; ours and those of
    the standard library."""
    rng, out = random.Random(17), io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    telemetry.configure(log_format, level=logging.DEBUG)
    telemetry.standard_library()
    count = 0
    for spell in SPELLINGS.values():
        for _ in range(5):
            secret = made(rng)
            keep_secret(secret)
            text = spell(secret)
            telemetry.log(reason=text, odd=Odd(text)).info(text, nested={"a": [text]})
            try:
                fail(text)
            except ValueError:
                telemetry.log().exception("bug")
                logging.getLogger("httpx").exception("sent %r", {text: text})
            shown = out.getvalue()
            out.seek(0)
            out.truncate()
            assert secret not in shown
            assert text not in shown
            assert json.dumps(text)[1:-1] not in shown
            assert repr(text)[1:-1] not in shown
            count += shown.count(SHOWN)
    assert count >= 8 * 5 * len(SPELLINGS)


def test_no_report_to_sentry_has_one() -> None:
    """Message, breadcrumbs, extras, tags, the names of dicts."""
    rng, kept = random.Random(18), Kept()
    sentry.report_to("https://public@sentry.example.com/1", transport=kept)
    for spell in SPELLINGS.values():
        secret = made(rng)
        keep_secret(secret)
        text = spell(secret)
        sentry_sdk.add_breadcrumb(message=text, data={text: [text]})
        sentry_sdk.set_extra("said", {"a": text, "odd": Odd(text)})
        sentry_sdk.set_tag("t", text[:150])
        try:
            fail(text)
        except ValueError:
            sentry_sdk.capture_exception()
        report = json.dumps(kept.sent.pop(), default=repr, ensure_ascii=False)
        assert secret not in report
        assert json.dumps(text, ensure_ascii=False)[1:-1] not in report
        assert SHOWN in report


def test_no_command_shows_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever error ends it, also with --traceback; not even the half that a cut would leave."""
    rng = random.Random(19)
    for spell in SPELLINGS.values():
        secret = made(rng)
        keep_secret(secret)
        text = spell(secret)
        for error in (TryLater(text), ValueError(f"{'x' * 280}{text}"), SyncError(text)):
            with pytest.raises(Failure) as caught, in_words(show_traceback=True):
                raise error
            shown = caught.value.message + "".join(capsys.readouterr())
            assert secret not in shown
            assert text not in shown
            assert text[: len(text) // 2] not in shown
            assert text[len(text) // 2 :] not in shown


def test_no_command_prints_past_the_door_that_takes_them_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Lines and JSON alike; a command that printed by itself would show what an account says."""
    rng = random.Random(22)
    for spell in SPELLINGS.values():
        secret = made(rng)
        keep_secret(secret)
        say(spell(secret))
        say_json({"error": spell(secret), secret: [secret]})
        shown = "".join(capsys.readouterr())
        assert secret not in shown
        assert json.dumps(spell(secret), ensure_ascii=False)[1:-1] not in shown
    printers = re.compile(r"\bclick\.s?echo\(|(?<![.\w])print\(|sys\.std(?:out|err)\.write")
    modules = (ROOT / "sync/commands").glob("*.py")
    assert {m.name for m in modules if printers.search(m.read_text("utf-8"))} == {"shell.py"}


def test_no_refusal_of_an_account_repeats_one() -> None:
    """The message of an error that is no JSON is cut only after the key is out of it."""
    rng = random.Random(20)
    for spell in SPELLINGS.values():
        secret = made(rng)
        keep_secret(secret)
        text = spell(secret)
        for body in (f"{'x' * 280}{text}", json.dumps({"success": False, "errorMsg": text})):
            for status in (200, 400, 403, 404):
                with pytest.raises(SyncError) as caught:
                    meaning_of(status, {}, body.encode(), where="shop", now=0)
                assert text[: len(text) // 2] not in str(caught.value)
                assert secret not in str(caught.value)


SERVERS = (
    "postgresql://mirror:{}@db.example.com/mirror",
    "postgresql://mirror:{}@one:5432,two:5433/mirror?sslmode=require",
    "postgresql://mirror@/mirror?host=/run/postgresql&password={}",
)


@pytest.mark.parametrize("url", SERVERS)
def test_a_password_of_the_settings_is_kept_out_of_everything(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole, quoted, or as the half after an @ that a library takes for a host's name; a setting
    that cannot be read quotes none of it."""
    rng = random.Random(21)
    for number in range(30):
        first, last = (made(rng).replace(" ", "_").replace("@", "_") for _ in range(2))
        password = f"{first}@{last}"
        quoted = quote(password, safe="")
        monkeypatch.setenv("SYNC_DATABASE_URL", url.format(quoted))
        monkeypatch.setenv("SYNC_SECRET_KEY", base64.urlsafe_b64encode(rng.randbytes(32)).decode())
        monkeypatch.setenv("SYNC_REDIS_URL", f"redis://:{quoted}@redis:6379/0")
        settings.forget()
        found = settings.settings()
        assert found.database_url is not None
        for text in (password, quoted, found.database_url.get_secret_value()):
            assert password not in scrubbed(told_by(f"cannot connect to {text}"))
            assert quoted not in scrubbed(told_by(f"cannot connect to {text}"))
        monkeypatch.setenv("SYNC_DATABASE_URL", url.format(f"{quoted}#{number}/") + "?bad=1")
        monkeypatch.setenv("SYNC_REDIS_URL", f"redis://:{password}#@redis:x/0")
        settings.forget()
        with pytest.raises(SyncError) as caught:
            settings.settings()
        for half in (first, last):
            assert half not in str(caught.value)
    settings.forget()


def test_words_are_no_secrets() -> None:
    """A database whose password is `postgres` does not lose the word from every message."""
    for text in ("postgres", "password", "short"):
        keep_secret(text)
    assert scrubbed("postgres: password short") == "postgres: password short"


def test_a_shortened_text_has_no_half_of_a_secret() -> None:
    secret = "h4lf0fThisIsNoSecretAtAll012345"
    keep_secret(secret)
    text = shortened(f"refused: {secret} is wrong", 25)
    assert text == f"refused: {SHOWN} is wrong"
    assert shortened("a" * 30, 25) == "a" * 24 + "…"
