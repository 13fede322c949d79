"""SYNC_REDIS_URL has one parser; what it cannot use is refused by name, and never quoted."""

from __future__ import annotations

import pytest

from sync.settings.redis_address import RedisAddress, parse

VERIFIED = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("redis://h", RedisAddress((("h", 6379),))),
        ("REDIS://h:1/", RedisAddress((("h", 1),))),
        ("redis://:p%40%2F@h:6379/1", RedisAddress((("h", 6379),), 1, None, "p@/")),
        ("redis://u:a@b@h/0", RedisAddress((("h", 6379),), 0, "u", "a@b")),
        ("redis://[::1]:7/2", RedisAddress((("::1", 7),), 2)),
        ("rediss://h", RedisAddress((("h", 6379),), tls=VERIFIED)),
        ("rediss://h?ssl_cert_reqs=CERT_REQUIRED", RedisAddress((("h", 6379),), tls=VERIFIED)),
        (
            "rediss://h?ssl_cert_reqs=none",
            RedisAddress(
                (("h", 6379),), tls={"ssl_cert_reqs": "none", "ssl_check_hostname": False}
            ),
        ),
        (
            "rediss://h?ssl_ca_certs=/ca.pem",
            RedisAddress((("h", 6379),), tls={**VERIFIED, "ssl_ca_certs": "/ca.pem"}),
        ),
        (
            "redis+sentinel://u:p@a,b:1/mymaster/3",
            RedisAddress((("a", 26379), ("b", 1)), 3, "u", "p", "mymaster"),
        ),
        (
            "rediss+sentinel://a/m?sentinel_username=s&sentinel_password=w",
            RedisAddress(
                (("a", 26379),),
                service="m",
                tls=VERIFIED,
                sentinel={"username": "s", "password": "w"},
            ),
        ),
    ],
)
def test_a_url_is_taken_apart(url: str, found: RedisAddress) -> None:
    """What both clients connect to is told once."""
    assert parse(url) == found


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://h", "does not begin with redis://"),
        ("h:6379", "does not begin with"),
        ("redis://", "names no host"),
        ("redis://:secret@", "names no host"),
        ("redis://h:port", "cannot be read"),
        ("redis://h:99999", "cannot be read"),
        ("redis://:se#cret@h", "%-codes"),
        ("redis://h/zero", "not a database number"),
        ("redis://h/0/1", "not a database number"),
        ("redis://a,b/0", "Redis Cluster cannot be used"),
        ("redis+sentinel://a,b", "does not name the master"),
        ("redis+sentinel://a,b/0", "does not name the master"),
        ("redis://h?ssl_cert_reqs=none", "needs rediss://"),
        ("rediss://h?ssl_cert_reqs=no", "neither required nor none"),
        ("rediss://h?ssl_check_hostname=maybe", "neither true nor false"),
        ("rediss://h?ssl_ca_certs=a&ssl_ca_certs=b", "twice"),
        ("redis://h?secret%20words=1", "option after the ? is unknown"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_in_words(url: str, words: str) -> None:
    """A wrong or unknown part is named; nothing of a password is."""
    with pytest.raises(ValueError, match=r"\w") as caught:
        parse(url)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_password_is_never_shown() -> None:
    """Neither `repr` nor what is shown of an address has a password."""
    found = parse("redis+sentinel://u:hidden@a,b/m?sentinel_password=hidden")
    assert "hidden" not in repr(found) + found.shown + found.__json__()
