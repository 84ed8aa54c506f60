"""What an app's in-app browser changes of a merchant's page, and what it keeps to itself."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.wallet_apps import APPS
from sandbox.wallet_browser import (
    MAX_COOKIES,
    MAX_PHONES,
    Phone,
    Phones,
    authorise_query,
    coming_back,
    inside,
    outgoing,
    rewritten,
    site_of,
)
from sandbox.wallet_pages import cashier_page, choose_page, fault_page, scan_page, texts_for

SITE = "https://127.0.0.1:8443"
WECHAT, ALIPAY = APPS["wechat"], APPS["alipay"]


@pytest.mark.parametrize(
    ("url", "site"),
    [
        ("https://127.0.0.1:8443/q/abc", SITE),
        ("http://localhost/q/abc?x=1", "http://localhost"),
        ("https://[::1]:8443/q/abc", "https://[::1]:8443"),
        ("https://pay.example.com/q/abc", "https://pay.example.com"),
        ("https://elsewhere.example.com/q/abc", ""),
        ("https://user@127.0.0.1:8443/q/abc", ""),
        ("https://127.0.0.1.example.com/q", ""),
        ("https://127.0.0.1:bad/q", ""),
        ("weixin://wxpay/bizpayurl?pr=x", ""),
        ("https://qr.alipay.com/bax1", ""),
        ("file:///etc/passwd", ""),
        ("", ""),
    ],
)
def test_only_this_machine_and_the_configured_sites_are_opened(url: str, site: str) -> None:
    """The rest is a code for the app itself."""
    assert site_of(url, ("https://pay.example.com",)) == site


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/q/abc?x=1", "/q/abc?x=1"),
        (f"{SITE}/q/abc", "/q/abc"),
        (SITE, "/"),
        (f"{SITE}?x=1", "/?x=1"),
        ("//evil.example/q", None),
        ("https://127.0.0.1:84431/q", None),
        ("https://elsewhere.example/q", None),
    ],
)
def test_an_address_is_inside_or_elsewhere(url: str, path: str | None) -> None:
    assert inside(url, SITE) == path


def test_cookies_go_back_where_they_came_from() -> None:
    """By path, as a browser does; ``Max-Age=0`` ends one; another page's are not shown."""
    phone = Phone("payer")
    phone.keep(["s=1; Path=/q/a; HttpOnly; Secure; SameSite=Lax", "w=2; Path=/"])
    assert phone.cookies_for("/q/a") == phone.cookies_for("/q/a/back") == "s=1; w=2"
    assert phone.cookies_for("/q/ab") == "w=2"
    phone.keep(["s=; Path=/q/a; Max-Age=0"])
    assert phone.cookies_for("/q/a") == "w=2"
    phone.keep(f"c{number}={number}; Path=/" for number in range(3 * MAX_COOKIES))
    assert phone.cookies_for("/").count("=") == MAX_COOKIES


def test_phones_are_bounded_and_the_oldest_goes_first() -> None:
    phones = Phones()
    for number in range(MAX_PHONES):
        phones.add(f"{number:032}")
    kept = phones.find(f"{0:032}")
    phones.add("new")
    assert phones.find(f"{0:032}") is kept is not None
    assert phones.find(f"{1:032}") is None


def test_what_the_app_sends_is_its_own() -> None:
    """Its user agent and cookies; the desktop browser's do not leave."""
    phone = Phone("payer", SITE)
    phone.keep(["s=1; Path=/q/a"])
    own = "http://wechat.localhost:9"
    sent = outgoing(
        {
            "user-agent": "Desktop",
            "cookie": "posgate_phone=secret",
            "accept-language": "zh-CN",
            "origin": own,
            "referer": f"{own}/q/a",
        },
        phone,
        WECHAT,
        "/q/a/pay",
        own,
    )
    assert sent == {
        "user-agent": WECHAT.user_agent,
        "accept-encoding": "identity",
        "accept-language": "zh-CN",
        "origin": SITE,
        "referer": f"{SITE}/q/a",
        "cookie": "s=1",
    }


def test_the_policy_lets_the_apps_script_in_and_nothing_else() -> None:
    given_back = coming_back(
        {
            "content-security-policy": "default-src 'none'; script-src 'sha256-x'; style-src 'self'",
            "set-cookie": "s=1",
            "content-type": "text/html",
        }
    )
    assert given_back == {
        "content-security-policy": "default-src 'none'; script-src 'sha256-x' 'self'; "
        "style-src 'self'; connect-src 'self'",
        "content-type": "text/html",
    }


def test_a_page_is_served_inside_the_app() -> None:
    """Absolute addresses, OAuth in links and in scripts, and the bridge before any script."""
    page = (
        f'<!doctype html><html><head><script src="{SITE}/q/_/page.js"></script></head><body>'
        f'<a href="https://127.0.0.1:7/connect/oauth2/authorize?appid=w&amp;state=s">go</a>'
        f'<p data-x="{{&quot;u&quot;:1}}">see /connect/oauth2/authorize?no host</p></body></html>'
    )
    shown = rewritten(page.encode(), "text/html", Phone("p", SITE), WECHAT).decode()
    assert '<head><script src="/.wallet/wechat/bridge.js"></script><script src="/q/_/' in shown
    assert '<a href="/.wallet/wechat/authorise?appid=w&amp;state=s">' in shown
    assert "see /connect/oauth2/authorize?no host" in shown
    said = b'{"url":"https:\\/\\/127.0.0.1:8443\\/q\\/a","other":"https://127.0.0.1:8443/q/b"}'
    assert rewritten(said, "application/json", Phone("p", SITE), WECHAT) == (
        b'{"url":"\\/q\\/a","other":"/q/b"}'
    )


@given(body=st.binary(max_size=200))
@settings(max_examples=50)
def test_whatever_a_page_is_it_is_passed_on(body: bytes) -> None:
    """Without an address of its own an answer is as it was, byte for byte."""
    assert rewritten(body, "application/json", Phone("p", SITE), ALIPAY) == body


def test_only_its_own_oauth_is_walked() -> None:
    url = "https://127.0.0.1:7/connect/oauth2/authorize?appid=w&redirect_uri=https%3A%2F%2Fx%2F&state="
    assert authorise_query(url, WECHAT) == {
        "appid": "w",
        "redirect_uri": "https://x/",
        "state": "",
    }
    assert authorise_query(url, ALIPAY) is None


def test_what_was_scanned_is_escaped_on_every_screen() -> None:
    """A code is a stranger's text."""
    code = '"><script>alert(1)</script>'
    for texts in (texts_for("en-GB,en;q=0.9"), texts_for("zh-CN")):
        for page in (
            choose_page(code, 1, texts),
            cashier_page(WECHAT, texts, code=code),
            cashier_page(APPS["unionpay"], texts, order=code, back=code, front=True),
        ):
            assert "<script>alert" not in page
            assert "alert(1)" in page or "alert%281%29" in page
        assert scan_page(WECHAT, texts) != fault_page(WECHAT, texts, "away")


@pytest.mark.parametrize(
    ("preferred", "language"),
    [("en-GB,zh;q=0.5", "en"), ("zh-CN,en;q=0.5", "zh-CN"), ("fr", "zh-CN"), ("", "zh-CN")],
)
def test_the_screens_speak_two_languages(preferred: str, language: str) -> None:
    assert f'<html lang="{language}">' in scan_page(ALIPAY, texts_for(preferred))


def test_the_apps_are_told_apart_by_their_user_agents() -> None:
    """Each has its own mark and no other's (reference D)."""
    marks = {"wechat": "MicroMessenger", "alipay": "AlipayClient", "unionpay": "UnionPay/1.0 "}
    for key, app in APPS.items():
        assert [name for name, mark in marks.items() if mark in app.user_agent] == [key]
        assert app.payer_id("one") != app.payer_id("two")
