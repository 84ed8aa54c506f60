"""Payers who want something else: the rows of the OWASP API Security Top 10 (2023) that apply.

Whatever is invented or altered (id, token, state, amount, notify, user agent) changes nothing
and shows a plain page. Row 7 (SSRF) is about addresses that we call: no address comes from a
payer; row 9 (inventory) needs the whole server: ``tests/http/test_inventory.py``.
"""

import re
from dataclasses import replace
from urllib.parse import urlencode

import pytest

from domain.checkout import CheckoutStatus
from gateway.http.pages.requests import Action
from tests.pages.browsers import (
    AGENTS,
    FIXED,
    HOSTILE_NAME,
    LIVE,
    PRINTED,
    PUBLIC_URL,
    WIDE,
    Shop,
)

MADE = {"press", "begin", "release"}


@pytest.fixture
def shop() -> Shop:
    return Shop()


def made(shop: Shop) -> list[str]:
    return [call for call in shop.pages.calls if call in MADE]


async def test_api1_another_browsers_order_cannot_be_seen_or_touched(shop: Shop) -> None:
    """Broken object level authorisation: a handle is good in its own session alone."""
    payer, thief = shop.browser("wechat"), shop.browser("wechat")
    page = await payer.press(await payer.log_in(), amount="5")
    await thief.log_in(PRINTED, "good2")
    handle = page.field("o")
    before = made(shop)
    assert (await thief.show(PRINTED, f"o={handle}")).state == "stale"
    assert (await thief.ask(Action.RELEASE, PRINTED, form={"o": handle})).state == "stale"
    watched = (await thief.ask(Action.STATE, PRINTED, f"o={handle}")).answer
    assert (watched.status, watched.body) == (404, b'{"state":"unknown"}')
    assert made(shop) == before


async def test_api1_invented_ids_find_nothing(shop: Shop) -> None:
    """No code, no order; an id of no form asks nobody."""
    browser = shop.browser()
    for code_id in ("", "x", "a" * 26 + "!", "z" * 26, "../etc", "L" + "y" * 40, "%00"):
        page = await browser.show(code_id)
        assert page.status in (404, 410)
        assert page.state in ("unknown", "expired")
    assert made(shop) == []


async def test_api2_nobody_presses_without_the_wallets_word(shop: Shop) -> None:
    """Broken authentication: no session, another's session, a session without a payer."""
    named = shop.browser()
    form = await named.log_in()
    nobody = shop.browser()
    assert (await nobody.press(form, amount="5")).state == "stale"
    asked = shop.browser()
    await asked.show()  # the wallet was asked and has not answered
    assert (await asked.press(form, amount="5")).state == "stale"
    assert made(shop) == []


async def test_api2_a_state_is_bound_to_its_session(shop: Shop) -> None:
    """Another browser's, an invented, an old or no state: the code beside it is not exchanged."""
    victim, attacker = shop.browser(), shop.browser()
    theirs = (await attacker.show()).location.rpartition("state=")[2]
    ours = (await victim.show()).location.rpartition("state=")[2]
    for state in (theirs, "", "0" * 32, ours[:-1], f"{ours}0", "é"):
        page = await victim.back(PRINTED, state)
        assert (page.status, page.state) == (403, "stale")
    assert "payer_of" not in shop.pages.calls
    assert (await victim.back(PRINTED, ours)).status == 303
    assert (await victim.back(PRINTED, ours, "good3")).state == "stale"  # good once
    assert (await shop.browser().back(PRINTED, ours, "good4")).state == "stale"  # without a cookie


async def test_api2_a_session_of_one_code_is_none_at_another(shop: Shop) -> None:
    """A cookie carried over to another code opens nothing there."""
    browser = shop.browser()
    form = await browser.log_in(PRINTED)
    browser.cookies[FIXED] = browser.cookies[PRINTED]
    assert (await browser.show(FIXED)).status == 302
    browser.cookies[FIXED] = browser.cookies[PRINTED]
    assert (await browser.press(form, FIXED)).state == "stale"
    assert made(shop) == []


async def test_api3_no_field_of_the_form_reaches_what_is_not_the_payers(shop: Shop) -> None:
    """Mass assignment: shop, store, subject, payer, wallet and number are not taken from a form."""
    browser = shop.browser()
    form = await browser.log_in()
    sent = {
        "form": form.field("form"),
        "amount": "5",
        "merchant_no": "M9999",
        "shop": "Other",
        "shop_name": "Other",
        "store_id": "S9",
        "terminal_id": "T9",
        "subject": "Other",
        "wallet": "alipay",
        "payer_id": "someone",
        "checkout_id": "pay_OTHER",
        "notify_url": "https://evil.example/",
    }
    page = await browser.ask(Action.PAY, PRINTED, form=sent)
    assert page.state == "paying"
    (press,) = shop.pages.presses
    assert press.notify_url == "https://shop.example/paid"
    assert (press.merchant_no, press.store_id, press.terminal_id) == ("M0001", "S1", "")
    assert press.shop_name == press.subject == HOSTILE_NAME
    (payer,) = shop.pages.begun_by
    assert (payer.wallet, payer.payer_id) == ("wechat", "payer-1")


async def test_api3_the_amount_of_a_live_order_is_the_orders(shop: Shop) -> None:
    """An amount in the form of a live order is not read."""
    shop.live_order(amount_fen=4321)
    browser = shop.browser()
    page = await browser.press(await browser.log_in(LIVE), LIVE, amount="0.01")
    assert "43.21" in page.text
    assert shop.pages.orders[0].amount_fen == 4321


async def test_api4_one_address_and_one_code_are_bounded(shop: Shop) -> None:
    """Unrestricted consumption: 429 and a plain page; the others are served."""
    narrow = replace(WIDE, address_per_s=1, address_burst=3, code_per_s=1, code_burst=5)
    shop = Shop(rates=narrow)
    first, second, third = (shop.browser("desktop") for _ in range(3))
    second.address, third.address = "198.51.100.8", "198.51.100.9"
    assert [(await first.show()).status for _ in range(4)] == [200, 200, 200, 429]
    assert [(await second.show()).status for _ in range(3)] == [200, 200, 429]  # the code's five
    assert (await third.show(FIXED)).status == 200
    shop.clock.at_ms += 1000
    assert (await first.show()).status == 200
    assert shop.door.remembered() <= 2 * 3 + 2


async def test_api4_presses_are_bounded_before_anything_is_made(shop: Shop) -> None:
    """Looking stays free while pressing is not."""
    shop = Shop(rates=replace(WIDE, address_presses_per_s=1, address_presses_burst=2))
    browser = shop.browser()
    form = await browser.log_in()
    answers = [(await browser.press(form, amount="5")).status for _ in range(4)]
    assert answers == [200, 200, 429, 429]
    assert made(shop) == ["press", "begin"] * 2
    assert (await browser.show()).status == 303


async def test_api4_one_too_many_in_flight_is_told_to_come_back() -> None:
    """The bound of the door itself."""
    shop = Shop(max_in_flight=0)
    page = await shop.browser().show()
    assert (page.status, page.state) == (503, "busy")
    watched = await shop.browser().ask(Action.STATE, PRINTED, "o=x")
    assert watched.answer.body == b'{"state":"busy"}'


async def test_api5_a_payer_cannot_give_up_for_another(shop: Shop) -> None:
    """Broken function level authorisation: what ends an order is its own payer's alone."""
    shop.live_order()
    payer, other = shop.browser("wechat"), shop.browser("alipay")
    paying = await payer.press(await payer.log_in(LIVE), LIVE)
    told = await other.follow(await other.log_in(LIVE, "good2"), LIVE)
    handle = told.attribute("data-page").partition("o=")[2]
    page = await other.ask(Action.RELEASE, LIVE, form={"o": handle})
    assert page.state == "elsewhere"
    assert shop.pages.orders[0].status is CheckoutStatus.PAYING
    assert (await payer.follow(paying, LIVE)).state == "paying"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_api6_another_site_cannot_press_for_a_payer(shop: Shop, site: str) -> None:
    """A form on another site, with the payer's cookie and even his form: not taken."""
    browser = shop.browser()
    form = await browser.log_in()
    fields = {"form": form.field("form"), "amount": "5"}
    page = await browser.ask(Action.PAY, PRINTED, form=fields, fetch_site=site)
    assert page.state == "stale"
    paying = await browser.press(form, amount="5")
    gone = await browser.ask(
        Action.RELEASE, PRINTED, form={"o": paying.field("o")}, fetch_site=site
    )
    assert gone.state == "stale"
    assert made(shop) == ["press", "begin"]


async def test_api6_an_altered_form_is_not_taken(shop: Shop) -> None:
    """One-time tokens: invented, altered, of another session or missing."""
    browser, other = shop.browser(), shop.browser()
    form = (await browser.log_in()).field("form")
    theirs = (await other.log_in(PRINTED, "good2")).field("form")
    for token in ("", "x", form[:-2], form[1:], theirs, form.swapcase()):
        page = await browser.ask(Action.PAY, PRINTED, form={"form": token, "amount": "5"})
        assert (page.status, page.state) == (403, "stale")
    twice = urlencode([("form", form), ("form", form), ("amount", "5")])
    page = await browser.ask(Action.PAY, PRINTED, body=twice.encode())  # type: ignore[arg-type]
    assert page.state == "stale"
    assert made(shop) == []


async def test_api7_no_address_of_a_payers_leads_anywhere(shop: Shop) -> None:
    """Redirects go to our own page or the wallet's log-in, with an address that is configured."""
    browser = shop.browser()
    sent = await browser.show(PRINTED, "redirect_uri=https://evil.example&next=//evil.example")
    assert sent.location.startswith("https://wallet.test/wechat?")
    assert f"return_url={PUBLIC_URL}/q/{PRINTED}/back&" in sent.location
    assert "evil" not in sent.location
    for handle in ("//evil.example", "x&y=1", "a\r\nSet-Cookie: b=c", "é", "%0d%0a"):
        came = await browser.ask(Action.DONE, PRINTED, {"o": handle})
        assert came.location == f"/q/{PRINTED}"


async def test_api8_nothing_of_a_request_is_quoted(shop: Shop) -> None:
    """Security misconfiguration: a plain page says nothing of what was sent, nor of our insides."""
    browser = shop.browser()
    for code_id, query in ((PRINTED, "o=<script>x"), ("<script>", "")):
        page = await browser.show(code_id, query)
        assert "<script>" not in page.text
        assert "Traceback" not in page.text


async def test_api8_the_log_names_no_ticket_code_or_payer(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """What is worth something to a thief is in no line."""
    shop = Shop()
    shop.live_order()
    browser = shop.browser()
    page = await browser.press(await browser.log_in(LIVE), LIVE)
    await browser.look(page, LIVE)
    lines = capfd.readouterr().err
    assert lines.count("page request") == 4  # the watch writes none
    assert "pay_" in lines
    cookie = browser.cookies[LIVE].partition("=")[2]
    for secret in (LIVE, cookie, page.field("o"), "good1", "payer-1"):
        assert secret
        assert secret not in lines


async def test_api10_what_the_wallet_sends_back_is_not_believed(shop: Shop) -> None:
    """Unsafe consumption: the bridge's and the return's word change nothing; the store's does."""
    browser = shop.browser("unionpay_qr")
    page = await browser.press(await browser.log_in(), amount="5")
    said = f"o={page.field('o')}&respCode=00&result=ok&resultCode=9000&paid=1"
    came = await browser.ask(Action.DONE, PRINTED, said, form={"respCode": "00"})
    assert (await browser.follow(came)).state == "paying"
    assert (await browser.look(page, more="&paid=1&state=paid")).state == "paying"


async def test_an_invented_user_agent_authorises_nothing(shop: Shop) -> None:
    """Another wallet's name sends the browser to that one's log-in, and the payer is forgotten."""
    browser = shop.browser("wechat")
    form = await browser.log_in()
    browser.wallet = "alipay"
    assert "//wallet.test/alipay?" in (await browser.show()).location
    page = await browser.press(form, amount="5")
    assert page.state == "stale"
    assert made(shop) == []


async def test_a_cookie_is_for_its_page_alone(shop: Shop) -> None:
    """HttpOnly, Secure, SameSite, of one path, for a time; none is set again without a change."""
    browser = shop.browser()
    sent = await browser.show()
    cookie = sent.answer.cookie
    assert re.fullmatch(
        rf"posgate=[A-Za-z0-9_-]+; Path=/q/{PRINTED}; Max-Age=7200; "
        r"HttpOnly; Secure; SameSite=Lax",
        cookie,
    )
    form = await browser.log_in()
    assert form.answer.cookie == ""
    assert AGENTS["wechat"] not in cookie
