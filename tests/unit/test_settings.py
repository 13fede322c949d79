"""Settings fail at start, all mistakes at once, in words; and no secret is ever shown."""

from __future__ import annotations

import re
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sync import settings as module
from sync.errors import NeedsOperator
from sync.settings import Settings, forget, settings, surroundings

KEY = "A" * 43 + "="


def mistakes(**environ: str) -> str:
    with pytest.raises(NeedsOperator) as caught:
        Settings.from_env({f"SYNC_{name}": value for name, value in environ.items()})
    return str(caught.value)


def test_nothing_set_is_the_embedded_default() -> None:
    found = Settings.from_env({})
    assert found.database_url is None
    assert found.redis_url is None
    assert found.secret_key is None
    assert found.data_dir == Path.cwd() / ".data"
    assert (found.rate_limit, found.telephony_rate_limit) == (10, 40)
    assert (found.egress, found.egress_address) == ("default", "")
    assert (found.feed_seconds, found.feed_max_seconds) == (15, 900)
    assert found.allow_hosts == ()
    assert found.log_format == "console"
    assert found.sentry_dsn is None
    assert found.otel_endpoint == ""
    assert (found.web_token, found.webhook_url, found.webhook_secret) == (None, None, None)
    assert found.notify_lag_seconds == 1800


def test_an_empty_variable_counts_as_absent() -> None:
    """Compose files pass `${SYNC_X:-}`."""
    assert Settings.from_env({module.variable(f): " " for f in module.FIELDS}) == (
        Settings.from_env({})
    )


def test_all_mistakes_are_reported_together_in_words() -> None:
    """One restart is enough to correct them all: each says what is wrong and what to write."""
    text = mistakes(
        DATABASE_URL="mysql://u:hidden@h/d",
        REDIS_URL="redis://h/zero",
        SECRET_KEY="hidden",
        RATE_LIMIT="ten",
        TELEPHONY_RATE_LIMIT="0",
        EGRESS="the office",
        EGRESS_ADDRESS="office.example.com",
        FEED_SECONDS="0.5",
        FEED_MAX_SECONDS="0",
        FIRST_BYTE_SECONDS="0",
        ANSWER_SECONDS="1000",
        ALLOW_HOSTS="https://crm.example.com/",
        LOG_FORMAT="xml",
        SENTRY_DSN="https://sentry.example.com",
        OTEL_ENDPOINT="collector:4318",
        WEB_TOKEN="hidden",
        WEB_READ_TOKEN="hidden",
        WEB_SCRAPE_TOKEN="hidden",
        WEB_PROXIES="proxy.example.com",
        WEBHOOK_URL="http://hooks.example.com/hidden",
        WEBHOOK_SECRET="hidden",
        NOTIFY_LAG_SECONDS="5",
    )
    lines = text.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [
        module.variable(field) for field in module.FIELDS if field not in {"data_dir", "health_dir"}
    ]
    for line in lines:
        assert re.search(r"; write .+, e\.g\. \S+", line), line
    assert 'SYNC_RATE_LIMIT is "ten"; write requests per second above 0' in text
    assert "hidden" not in text


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1e999", "10/s"])
def test_a_rate_is_a_number_above_zero(value: str) -> None:
    assert "SYNC_RATE_LIMIT" in mistakes(RATE_LIMIT=value)


def test_a_rate_may_be_a_fraction() -> None:
    assert Settings.from_env({"SYNC_RATE_LIMIT": "0.5"}).rate_limit == 0.5


def test_the_longest_feed_wait_is_not_below_the_shortest() -> None:
    assert "less than SYNC_FEED_SECONDS (60)" in mistakes(FEED_SECONDS="60", FEED_MAX_SECONDS="59")
    assert "SYNC_FEED_MAX_SECONDS" in mistakes(FEED_SECONDS="901"), "the default counts too"


def test_an_answer_may_not_have_to_end_before_it_begins() -> None:
    assert "less than SYNC_FIRST_BYTE_SECONDS (90)" in mistakes(
        FIRST_BYTE_SECONDS="90", ANSWER_SECONDS="60"
    )
    assert "SYNC_ANSWER_SECONDS" in mistakes(FIRST_BYTE_SECONDS="130"), "the default counts too"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "Postgres"])
def test_every_spelling_of_a_postgres_url_becomes_sqlalchemys(scheme: str) -> None:
    found = Settings.from_env(
        {"SYNC_DATABASE_URL": f"{scheme}://u:p%40@h:5433/d?sslmode=require", "SYNC_SECRET_KEY": KEY}
    )
    assert found.database_url is not None
    assert found.database_url.get_secret_value() == (
        "postgresql+psycopg://u:p%40@h:5433/d?sslmode=require"
    )


def test_a_socket_url_keeps_its_empty_host() -> None:
    environ = {"SYNC_DATABASE_URL": "postgresql:///d?host=/run", "SYNC_SECRET_KEY": KEY}
    found = Settings.from_env(environ).database_url
    assert found is not None
    assert found.get_secret_value() == "postgresql+psycopg:///d?host=/run"


def test_a_password_that_breaks_its_url_is_explained_and_not_shown() -> None:
    text = mistakes(DATABASE_URL="postgres://u:hid/den@h:5432/d", SECRET_KEY=KEY)
    assert "%-codes" in text
    assert "hid" not in text


def test_a_shared_database_needs_a_shared_key() -> None:
    """A key made up by each host could not read what the other host sealed."""
    text = mistakes(DATABASE_URL="postgres://u:p@h/d")
    assert "SYNC_SECRET_KEY cannot be used (it is missing, and SYNC_DATABASE_URL is set)" in text
    assert "python3 -c" in text


def test_a_folder_of_a_user_who_is_not_there_is_refused() -> None:
    assert "SYNC_DATA_DIR" in mistakes(DATA_DIR="~no-such-user/data")


def test_redis_alone_may_be_named() -> None:
    found = Settings.from_env({"SYNC_REDIS_URL": "redis://:p@h:6379/1"})
    assert found.database_url is None
    assert found.redis_url is not None


@pytest.mark.parametrize("key", ["short", "A" * 43, "A" * 40 + "====", "+" * 43 + "=", "é" * 44])
def test_a_secret_key_is_32_bytes_of_urlsafe_base64(key: str) -> None:
    assert "SYNC_SECRET_KEY" in mistakes(SECRET_KEY=key)


def test_the_advice_for_a_key_gives_a_good_key() -> None:
    advice = re.search(r"(python3 -c '.+')", mistakes(SECRET_KEY="x"))
    assert advice
    made = subprocess.run(advice[1], shell=True, check=True, capture_output=True, text=True)  # noqa: S602
    Settings.from_env({"SYNC_SECRET_KEY": made.stdout})


@pytest.mark.parametrize("field", module.FROM_FILE)
def test_a_secret_may_come_from_a_file(field: str, tmp_path: Path) -> None:
    good = {
        "database_url": "postgresql+psycopg://u:p@h/d",
        "redis_url": "redis://h/0",
        "secret_key": KEY,
        "sentry_dsn": "https://key@sentry.example.com/1",
        "web_token": "twenty characters at least",
        "web_read_token": "twenty characters at least",
        "web_scrape_token": "twenty characters at least",
        "webhook_url": "https://hooks.example.com/services/x",
        "webhook_secret": "twenty characters at least",
    }
    file = tmp_path / "secret"
    file.write_text(good[field] + "\n")
    environ = {"SYNC_SECRET_KEY": KEY, "SYNC_WEBHOOK_SECRET": "x" * 20}
    environ.pop(module.variable(field), None)
    found = Settings.from_env({**environ, f"{module.variable(field)}_FILE": str(file)})
    assert getattr(found, field).get_secret_value() == good[field]


def test_mistakes_about_files_are_in_words(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    text = mistakes(
        DATABASE_URL_FILE="/nowhere",
        REDIS_URL="redis://h/0",
        REDIS_URL_FILE="/nowhere",
        SECRET_KEY_FILE=str(empty),
    )
    assert 'SYNC_DATABASE_URL_FILE is "/nowhere", which cannot be read (No such file' in text
    assert "SYNC_REDIS_URL and SYNC_REDIS_URL_FILE are both set; keep one" in text
    assert "which is empty" in text


def test_a_secret_where_its_path_is_due_is_not_shown() -> None:
    """`SYNC_SECRET_KEY_FILE=<the key itself>` is an easy mistake; logs keep what is printed."""
    text = mistakes(
        SECRET_KEY_FILE=KEY,
        WEB_TOKEN_FILE="hidden from everybody here",
        DATABASE_URL_FILE="postgres://u:hidden@h/d",
        REDIS_URL_FILE="./secrets/redis_url",
    )
    assert KEY not in text
    assert "hidden" not in text
    assert "SYNC_SECRET_KEY_FILE does not look like a path" in text
    assert 'SYNC_REDIS_URL_FILE is "./secrets/redis_url", which cannot be read' in text


@pytest.mark.parametrize(
    "endpoint",
    ["otlp://u:hidden@collector:4318", "https//u:hidden@collector", "http://u:hidden@collector:x"],
)
def test_the_password_of_a_malformed_address_is_not_shown(endpoint: str) -> None:
    text = mistakes(OTEL_ENDPOINT=endpoint, ALLOW_HOSTS="https://u:hidden@crm.example.com")
    assert "SYNC_OTEL_ENDPOINT cannot be used (" in text
    assert "SYNC_ALLOW_HOSTS cannot be used (one of them is not a bare host name)" in text
    assert "hidden" not in text


def test_proxies_are_addresses_and_networks() -> None:
    """Names are none: who is believed must not depend on a resolver. Nor is everybody."""
    assert Settings.from_env({}).web_proxies == ("127.0.0.1", "::1")
    found = Settings.from_env({"SYNC_WEB_PROXIES": " 192.0.2.7, 10.0.0.0/8,gateway,2001:db8::/32,"})
    assert found.web_proxies == ("192.0.2.7", "10.0.0.0/8", "gateway", "2001:db8::/32")
    for wrong in ("*", "proxy", "0.0.0.0/0", "::/0", "10.0.0.1/8", "192.0.2.7:80"):
        assert "SYNC_WEB_PROXIES" in mistakes(WEB_PROXIES=wrong)


def test_a_webhook_is_signed_and_leaves_the_machine_only_encrypted() -> None:
    url = "https://hooks.example.com/services/x"
    assert "SYNC_WEBHOOK_SECRET cannot be used (it is missing" in mistakes(WEBHOOK_URL=url)
    secret = "x" * 20
    plain = mistakes(WEBHOOK_URL="http://hooks.example.com/x", WEBHOOK_SECRET=secret)
    assert "plain http goes only to this machine" in plain
    local = {"SYNC_WEBHOOK_URL": "http://127.0.0.1:9/x", "SYNC_WEBHOOK_SECRET": secret}
    assert Settings.from_env(local).webhook_url is not None


def test_a_token_opens_one_thing() -> None:
    """Who was given the token to look, or to scrape, cannot push a button with it."""
    told = "it is also SYNC_WEB_TOKEN"
    one = "twenty characters at least"
    assert told in mistakes(WEB_TOKEN=one, WEB_READ_TOKEN=one)
    assert told in mistakes(WEB_TOKEN=one, WEB_SCRAPE_TOKEN=one)
    assert "it is also SYNC_WEB_READ_TOKEN" in mistakes(WEB_READ_TOKEN=one, WEB_SCRAPE_TOKEN=one)
    assert one not in mistakes(WEB_TOKEN=one, WEB_READ_TOKEN=one)


def test_hosts_are_a_comma_list_without_schemes() -> None:
    found = Settings.from_env({"SYNC_ALLOW_HOSTS": " CRM.example.com, 127.0.0.1 ,localhost,"})
    assert found.allow_hosts == ("crm.example.com", "127.0.0.1", "localhost")
    for wrong in ("https://a.b", "a.b:443", "a b", "*.a.b", "a.b/c"):
        assert "SYNC_ALLOW_HOSTS" in mistakes(ALLOW_HOSTS=wrong)


def test_a_misspelt_setting_is_named() -> None:
    """Set and without effect is worse than missing."""
    told = mistakes(RATELIMIT="5", XYZZY="1", REDIS_URLFILE="/x")
    assert "SYNC_RATELIMIT is not a setting; did you mean SYNC_RATE_LIMIT?" in told
    assert "SYNC_XYZZY is not a setting; remove it." in told
    assert "did you mean SYNC_REDIS_URL_FILE?" in told
    Settings.from_env({"SYNC_OLD": "", "SYNC_TEST_FAULT": "x", "PATH": "/bin"})


@pytest.mark.parametrize("name", ["RATE_LIMIT", "TELEPHONY_RATE_LIMIT"])
def test_a_limit_that_the_limiter_cannot_keep_is_refused_where_it_is_set(name: str) -> None:
    """Taken at the start and refused at the first request, it would look like a bug."""
    assert "at most 1000" in mistakes(**{name: "100000"})
    assert Settings.from_env({f"SYNC_{name}": "1000"})


def test_no_secret_is_shown() -> None:
    found = Settings.from_env(
        {
            "SYNC_DATABASE_URL": "postgres://u:hidden@h/d",
            "SYNC_REDIS_URL": "redis://:hidden@h/0",
            "SYNC_SECRET_KEY": KEY,
            "SYNC_SENTRY_DSN": "https://hidden@sentry.example.com/1",
            "SYNC_WEB_TOKEN": "hidden from everybody here",
            "SYNC_WEB_READ_TOKEN": "hidden from everybody there",
            "SYNC_WEB_SCRAPE_TOKEN": "hidden from everybody else",
            "SYNC_WEBHOOK_URL": "https://hooks.example.com/hidden",
            "SYNC_WEBHOOK_SECRET": "hidden from everybody here",
        }
    )
    endpoint = Settings.from_env({"SYNC_OTEL_ENDPOINT": "https://u:hidden@collector:4318"})
    for shown in (repr(found), str(found), str(found.model_dump()), repr(endpoint), str(endpoint)):
        assert "hidden" not in shown
        assert KEY not in shown


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Settings.from_env({}).rate_limit = 1


def test_the_environment_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNC_RATE_LIMIT", "3")
    forget()
    assert settings().rate_limit == 3
    monkeypatch.setenv("SYNC_RATE_LIMIT", "4")
    assert settings().rate_limit == 3
    forget()
    assert settings().rate_limit == 4


@given(st.dictionaries(st.sampled_from(module.FIELDS), st.text(max_size=40)))
def test_any_text_is_either_read_or_refused_in_words(values: dict[str, str]) -> None:
    """No value gets through as another kind of error."""
    with suppress(NeedsOperator):
        Settings.from_env({module.variable(name): text for name, text in values.items()})


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_secret_file_may_come_from_any_editor(mark: bytes, end: bytes, tmp_path: Path) -> None:
    """A byte order mark and a line's end are of the file, not of the secret."""
    file = tmp_path / "secret"
    file.write_bytes(mark + "redis://:pässword@h/0".encode() + end)
    found = Settings.from_env({"SYNC_REDIS_URL_FILE": str(file)}).redis_url
    assert found is not None
    assert found.get_secret_value() == "redis://:pässword@h/0"


def test_a_secret_file_in_another_encoding_is_refused_in_words(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes("redis://:hidden@h/0".encode("utf-16"))
    text = mistakes(REDIS_URL_FILE=str(file))
    assert "which cannot be read (it is not UTF-8 text)" in text
    assert "hidden" not in text


def test_certificates_that_are_not_there_are_named_at_start(tmp_path: Path) -> None:
    """The first request to an account would else fail, and be taken for an outage of it."""
    (tmp_path / "empty.pem").touch()
    for variable, value, told in (
        ("SSL_CERT_FILE", "/nope.pem", "No such file or directory"),
        ("SSL_CERT_FILE", str(tmp_path), "Is a directory"),
        ("SSL_CERT_FILE", str(tmp_path / "empty.pem"), "no certificate in PEM form"),
        ("SSL_CERT_DIR", "/nope", "is not a folder"),
    ):
        with pytest.raises(NeedsOperator) as caught:
            Settings.from_env({variable: value, "SYNC_RATE_LIMIT": "ten"})
        assert f'{variable} is "{value}"' in str(caught.value)
        assert told in str(caught.value)
        assert 'SYNC_RATE_LIMIT is "ten"' in str(caught.value), "all mistakes together"
    Settings.from_env({"SSL_CERT_FILE": "", "SSL_CERT_DIR": str(tmp_path)})


@pytest.mark.parametrize(
    ("proxy", "told"),
    [
        ("socks5://127.0.0.1:1080", "it does not begin with http://"),
        ("http://u:hid/den@h:1", "its host or port cannot be read"),
        ("http://h:1/path", "it is not the address of a proxy alone"),
        ("http://hidden:пароль@h:1", "its user or password is not ASCII"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_at_start(proxy: str, told: str) -> None:
    with pytest.raises(NeedsOperator) as caught:
        Settings.from_env({"HTTPS_PROXY": proxy})
    assert f"HTTPS_PROXY cannot be used ({told}" in str(caught.value)
    assert "hid" not in str(caught.value)


def test_a_proxy_is_read_as_other_programs_read_it() -> None:
    """Lower case goes first, a scheme may be left out, and * in NO_PROXY turns it off."""
    found = surroundings.proxy({"https_proxy": "u:p%40@h:3128", "HTTPS_PROXY": "other:1"})
    assert found == surroundings.Proxy("http://h:3128", ("u", "p@"))
    assert "p@" not in repr(found)
    assert surroundings.proxy({"HTTPS_PROXY": "h:1", "no_proxy": "*"}) is None
    assert surroundings.proxy({"HTTPS_PROXY": ""}) is None
    named = surroundings.proxy({"HTTPS_PROXY": "h:1", "NO_PROXY": "a.b, .c.d ,10.0.0.0/8,::1"})
    assert named is not None
    assert named.direct == ("a.b", ".c.d", "::1")
    assert {"all://*a.b", "all://*c.d", "all://[::1]"} <= named.mounts(1).keys()


def test_an_empty_file_beside_a_variable_counts_as_unset(tmp_path: Path) -> None:
    """Units and manifests name a file for each secret; a variable set before an upgrade holds."""
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "full").write_text("https://b@example.com/2")
    dsn = {"SYNC_SENTRY_DSN": "https://a@example.com/1"}
    found = Settings.from_env({**dsn, "SYNC_SENTRY_DSN_FILE": str(tmp_path / "empty")})
    assert found.sentry_dsn is not None
    assert found.sentry_dsn.get_secret_value() == dsn["SYNC_SENTRY_DSN"]
    with pytest.raises(NeedsOperator, match="are both set; keep one"):
        Settings.from_env({**dsn, "SYNC_SENTRY_DSN_FILE": str(tmp_path / "full")})
