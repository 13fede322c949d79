"""A key is sent wherever a URL points, so only known hosts pass."""

from __future__ import annotations

import pytest

from sync.crm import check_url
from sync.errors import BadRequest


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("https://demo.retailcrm.ru", "https://demo.retailcrm.ru"),
        ("https://demo.retailcrm.ru/", "https://demo.retailcrm.ru"),
        ("  https://demo.retailcrm.pro//\n", "https://demo.retailcrm.pro"),
        ("https://my-shop.retailcrm.es", "https://my-shop.retailcrm.es"),
        ("https://demo.simla.com:443/", "https://demo.simla.com"),
        ("https://demo.retailcrm.io", "https://demo.retailcrm.io"),
        ("https://demo.simla.io", "https://demo.simla.io"),
        ("https://demo.simlachat.com", "https://demo.simlachat.com"),
        ("https://demo.simlachat.ru", "https://demo.simlachat.ru"),
        ("https://demo.ecomlogic.com", "https://demo.ecomlogic.com"),
        ("HTTPS://Demo.RetailCRM.RU", "https://demo.retailcrm.ru"),
        ("https://a.b.simla.com", "https://a.b.simla.com"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://localhost:80", "http://localhost"),
        ("http://[::1]:8080/shop/", "http://[::1]:8080/shop"),
        ("https://localhost:8443", "https://localhost:8443"),
    ],
)
def test_an_accounts_url_takes_its_canonical_form(url: str, canonical: str) -> None:
    assert check_url(url) == canonical
    assert check_url(canonical) == canonical


@pytest.mark.parametrize(
    "url",
    [
        "",
        "demo.retailcrm.ru",
        "ftp://demo.retailcrm.ru",
        "https://",
        "https:///x",
        "http://demo.retailcrm.ru",
        "https://retailcrm.ru",
        "https://evil-retailcrm.ru",
        "https://demo.evil-retailcrm.ru",
        "https://demo.retailcrm.ru.evil.com",
        "https://demo.retailcrm.ru.",
        "https://demo..retailcrm.ru",
        "https://.retailcrm.ru",
        "https://-a.retailcrm.ru",
        "https://evil.com/demo.retailcrm.ru",
        "https://evil.com#demo.retailcrm.ru",
        "https://evil.com?demo.retailcrm.ru",
        "https://evil.com\\.retailcrm.ru",
        "https://demo.retailcrm.ru@evil.com",
        "https://demo.retailcrm.ru:key@evil.com",
        "https://user@demo.retailcrm.ru",
        "https://user:pass@demo.retailcrm.ru",
        "https://@demo.retailcrm.ru",
        "https://demo.retailcrm.ru?apiKey=x",
        "https://demo.retailcrm.ru?",
        "https://demo.retailcrm.ru#",
        "https://demo.retailcrm.ru/api/v5",
        "https://demo.retailcrm.ru:0",
        "https://demo.retailcrm.ru:99999",
        "https://demo.retailcrm.ru:x",
        "https://dеmo.retailcrm.ru",  # a Cyrillic е
        "https://demo.rеtailcrm.ru",
        "https://demo.retailcrm。ru",
        "https://xn--dmo-qla.retailcrm.ru",
        "https://demo.xn--retalcrm-x2a.ru",
        "https://demo.retail\tcrm.ru",
        "https://demo.retailcrm.ru\n.evil.com",
        "https://demo.retailcrm.ru%2eevil.com",
        "https://10.0.0.1",
        "https://[::ffff:127.0.0.1]",
        "https://[::1%25eth0]",
        "http://127.1",
        "http://2130706433",
        "http://0x7f.0.0.1",
        "http://127.0.0.1.evil.com",
        "http://localhost.evil.com",
        "http://169.254.169.254",
        "http://0.0.0.0",
        "http://localhost/../x",
        "http://localhost/a//b",
    ],
)
def test_every_other_url_is_refused_in_one_line(url: str) -> None:
    with pytest.raises(BadRequest) as caught:
        check_url(url)
    assert "\n" not in str(caught.value)
    assert "key@" not in str(caught.value)


def test_an_operator_may_name_other_hosts_exactly() -> None:
    assert check_url("https://crm.shop.com/retail/", allow_hosts=["crm.shop.com"]) == (
        "https://crm.shop.com/retail"
    )
    for url in ("https://a.crm.shop.com", "https://shop.com", "http://crm.shop.com"):
        with pytest.raises(BadRequest):
            check_url(url, allow_hosts=["crm.shop.com"])
