"""A payer's walk through the page, with three wallets, before checkouts in memory."""

from dataclasses import replace

import pytest

from domain.checkout import CheckoutStatus
from domain.decline import Decline, DeclineReason
from domain.errors import OverLimit, Unavailable, Unprocessable
from gateway.checkout.port import Begun, Payer, Start
from gateway.http.pages.requests import Action
from gateway.http.pages.tickets import SESSION_S
from tests.pages.browsers import AGENTS, DISABLED, FIXED, LIVE, PRINTED, PUBLIC_URL, Shop

WALLETS = [name for name in AGENTS if name != "desktop"]
MADE = {"press", "begin"}
"""The calls that make something."""


@pytest.fixture
def shop() -> Shop:
    return Shop()


def made(shop: Shop) -> list[str]:
    return [call for call in shop.pages.calls if call in MADE]


@pytest.mark.parametrize("wallet", WALLETS)
async def test_a_payer_types_an_amount_and_pays(shop: Shop, wallet: str) -> None:
    """Scan, log-in, amount, press, wallet, paid: each step as the payer sees it."""
    browser = shop.browser(wallet)
    form = await browser.log_in()
    assert (form.status, form.state) == (200, "ready")
    assert 'id="amount"' in form.text
    assert made(shop) == []

    page = await browser.press(form, amount="12.50", remark=" no  sugar ")
    assert (page.status, page.state) == (200, "paying")
    assert "12.50" in page.text
    assert "no sugar" in page.text
    bridge = "redirect" if wallet.startswith("unionpay") else wallet
    assert page.attribute("data-bridge") == bridge
    (order,) = shop.pages.orders
    assert (order.amount_fen, order.shop_name) == (1250, shop.codes[PRINTED][1].name)
    assert made(shop) == ["press", "begin"]

    shop.pages.pay(order.checkout_id)
    watched = await browser.look(page)
    assert watched.state == "paid"
    paid = await browser.follow(page)
    assert (paid.status, paid.state) == (200, "paid")
    assert "2023-11-15 06:14:20" in paid.text  # Beijing time
    assert made(shop) == ["press", "begin"]


async def test_a_fixed_amount_is_not_asked_for(shop: Shop) -> None:
    """What the code says is what is paid, whatever the form brings."""
    browser = shop.browser()
    form = await browser.log_in(FIXED)
    assert 'id="amount"' not in form.text
    assert "8.80" in form.text
    await browser.press(form, FIXED, amount="0.01")
    assert [order.amount_fen for order in shop.pages.orders] == [880]


async def test_the_live_code_outlives_its_scan(shop: Shop) -> None:
    """The token dies while the payer logs in; the order that it led to is the session's."""
    shop.live_order(amount_fen=4321, subject="Table 7")
    browser = shop.browser("alipay")
    sent = await browser.show(LIVE)
    assert sent.status == 302
    del shop.pages.tokens[LIVE]
    form = await browser.log_in(LIVE)
    assert "Table 7" in form.text
    assert "43.21" in form.text
    assert 'id="remark"' not in form.text
    page = await browser.press(form, LIVE)
    assert page.state == "paying"
    assert made(shop) == ["begin"]
    late = await shop.browser("wechat").show(LIVE)
    assert (late.status, late.state) == (410, "expired")


async def test_looking_makes_no_order(shop: Shop) -> None:
    """However often the page is opened: the press alone makes something."""
    shop.live_order()
    for code, code_id in (("good1", PRINTED), ("good2", LIVE)):
        browser = shop.browser()
        await browser.log_in(code_id, code)
        for _ in range(5):
            await browser.show(code_id)
    await shop.browser("desktop").show()
    assert made(shop) == []


async def test_a_double_press_is_one_order(shop: Shop) -> None:
    """The same button twice: one order, one page."""
    browser = shop.browser()
    form = await browser.log_in()
    first = await browser.press(form, amount="5")
    second = await browser.press(form, amount="5")
    assert first.state == second.state == "paying"
    assert len(shop.pages.orders) == 1


async def test_the_answer_that_was_lost_is_found_again(shop: Shop) -> None:
    """The press arrived and its answer did not, so the browser has the old cookie."""
    browser = shop.browser()
    form = await browser.log_in()
    before = dict(browser.cookies)
    await browser.press(form, amount="5")
    browser.cookies = before
    page = await browser.press(form, amount="5")
    assert page.state == "paying"
    assert len(shop.pages.orders) == 1


async def test_the_back_button_finds_the_order(shop: Shop) -> None:
    """Back at the code's page while it is being paid: no new form, the same order."""
    browser = shop.browser()
    await browser.press(await browser.log_in(), amount="5")
    back = await browser.show()
    assert back.status == 303
    page = await browser.follow(back)
    assert page.state == "paying"
    assert len(shop.pages.orders) == 1
    assert len({order.checkout_id for order in shop.pages.orders}) == 1


async def test_an_old_form_with_another_amount_finds_the_first_order(shop: Shop) -> None:
    """A form kept by the back button, another amount typed: the first press holds."""
    browser = shop.browser()
    form = await browser.log_in()
    await browser.press(form, amount="5")
    page = await browser.press(form, amount="6")
    assert page.state == "paying"
    assert "5.00" in page.text
    assert [order.amount_fen for order in shop.pages.orders] == [500]


async def test_after_it_is_paid_there_is_a_new_form(shop: Shop) -> None:
    """The next purchase of the same payer at the same code is another order."""
    browser = shop.browser()
    await browser.press(await browser.log_in(), amount="5")
    order_id = shop.pages.orders[0].checkout_id
    shop.pages.pay(order_id)
    form = await browser.show()
    assert form.state == "ready"
    await browser.press(form, amount="5")
    assert len(shop.pages.orders) == 2


async def test_two_wallets_scan_one_order(shop: Shop) -> None:
    """One pays, the other is told so, while it is being paid and after."""
    order_id = shop.live_order()
    first, second = shop.browser("wechat"), shop.browser("alipay")
    first_form, second_form = await first.log_in(LIVE), await second.log_in(LIVE, "good2")
    paying = await first.press(first_form, LIVE)
    told = await second.press(second_form, LIVE)
    assert (paying.state, told.state) == ("paying", "elsewhere")
    assert told.attribute("data-bridge") == ""
    shop.pages.pay(order_id)
    assert (await second.look(told, LIVE)).state == "taken"
    assert (await second.follow(told, LIVE)).state == "taken"
    assert (await first.follow(paying, LIVE)).state == "paid"


async def test_two_payers_of_the_same_wallet_are_two(shop: Shop) -> None:
    """Another WeChat payer is not told that he paid."""
    order_id = shop.live_order()
    first, second = shop.browser("wechat"), shop.browser("wechat")
    paying = await first.press(await first.log_in(LIVE, "good1"), LIVE)
    late = await second.log_in(LIVE, "good2")
    assert late.status == 303
    told = await second.follow(late, LIVE)
    assert (paying.state, told.state) == ("paying", "elsewhere")
    shop.pages.pay(order_id)
    assert (await second.follow(told, LIVE)).state == "taken"


async def test_a_payer_gives_up_and_another_wallet_pays(shop: Shop) -> None:
    """Left without paying: the order waits again, for whoever comes."""
    shop.live_order()
    first, second = shop.browser("wechat"), shop.browser("alipay")
    paying = await first.press(await first.log_in(LIVE), LIVE)
    gone = await first.ask(Action.RELEASE, LIVE, form={"o": paying.field("o")})
    assert (gone.status, gone.state) == (200, "failed")
    assert 'id="press"' in gone.text
    taken = await second.press(await second.log_in(LIVE, "good2"), LIVE)
    assert taken.state == "paying"
    again = await first.press(gone, LIVE)
    assert again.state == "elsewhere"


async def test_a_refusal_says_why_and_lets_try_again(shop: Shop) -> None:
    """The wallet's no: nothing charged, the reason, the button."""
    order_id = shop.live_order()
    browser = shop.browser()
    page = await browser.press(await browser.log_in(LIVE), LIVE)
    shop.pages.decline(order_id, Decline(DeclineReason.INSUFFICIENT_FUNDS))
    failed = await browser.follow(page, LIVE)
    assert failed.state == "failed"
    assert "not enough money" in failed.text
    assert (await browser.press(failed, LIVE)).state == "paying"


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (CheckoutStatus.CLOSING, "asking"),
        (CheckoutStatus.CLOSED, "closed"),
        (CheckoutStatus.FAILED, "failed"),
        (CheckoutStatus.REVERSED, "returned"),
    ],
)
async def test_what_became_of_it_is_shown(shop: Shop, status: CheckoutStatus, state: str) -> None:
    """Whatever the order came to, its page says so after a reload."""
    browser = shop.browser()
    page = await browser.press(await browser.log_in(), amount="5")
    order_id = shop.pages.orders[0].checkout_id
    shop.pages.move(order_id, status)
    assert (await browser.look(page)).state == state
    assert (await browser.follow(page)).state == state


async def test_what_is_not_known_is_still_asking(shop: Shop) -> None:
    """No trustworthy answer: neither paid nor failed, and the page asks on."""
    shop.pages.answers["wechat"] = Start.UNKNOWN
    browser = shop.browser()
    page = await browser.press(await browser.log_in(), amount="5")
    assert page.state == "asking"
    assert page.attribute("data-watch")
    shop.pages.answers.clear()
    assert (await browser.look(page)).body != b""
    assert page.attribute("data-mark") == ""  # so any answer loads the page anew
    assert (await browser.follow(page)).state == "paying"


async def test_the_wallet_is_away(shop: Shop) -> None:
    """Its channel does not answer: told so, nothing charged, begin again."""
    shop.pages.answers["wechat"] = Start.AWAY
    browser = shop.browser()
    page = await browser.press(await browser.log_in(), amount="5")
    assert page.state == "busy"
    assert "Nothing was charged" in page.text


async def test_time_ran_out(shop: Shop) -> None:
    """Closed because nobody paid in time is "expired"."""
    browser = shop.browser()
    page = await browser.press(await browser.log_in(), amount="5")
    order_id = shop.pages.orders[0].checkout_id
    late = Decline(DeclineReason.NOT_PAID_IN_TIME)
    shop.pages.move(order_id, CheckoutStatus.CLOSED, decline=late)
    assert (await browser.follow(page)).state == "expired"


async def test_where_an_order_has_ended_a_printed_code_alone_begins_another(shop: Shop) -> None:
    """A live code was for the one order: a link back to it would be dead."""
    live_id = shop.live_order()
    late = Decline(DeclineReason.NOT_PAID_IN_TIME)
    for code, code_id, begins in (("good1", PRINTED, True), ("good2", LIVE, False)):
        browser = shop.browser()
        typed = {"amount": "5"} if code_id == PRINTED else {}
        page = await browser.press(await browser.log_in(code_id, code), code_id, **typed)
        order_id = shop.pages.orders[-1].checkout_id if begins else live_id
        shop.pages.move(order_id, CheckoutStatus.CLOSED, decline=late)
        ended = await browser.follow(page, code_id)
        assert (ended.state, 'id="begin"' in ended.text) == ("expired", begins)


async def test_a_payer_who_cancelled_sees_one_button_to_pay(shop: Shop) -> None:
    """The order is his again; a second button beside it would only be a riddle."""
    browser = shop.browser()
    page = await browser.press(await browser.log_in(), amount="5")
    no = Decline(DeclineReason.CANCELLED)
    shop.pages.move(shop.pages.orders[0].checkout_id, CheckoutStatus.WAITING, decline=no)
    again = await browser.follow(page)
    assert again.state == "failed"
    assert 'id="press"' in again.text
    assert 'id="begin"' not in again.text


async def test_the_wallets_return_finds_the_page_again(shop: Shop) -> None:
    """A form from the wallet's site, without a cookie: it leads to the order's page."""
    browser = shop.browser("unionpay_qr")
    page = await browser.press(await browser.log_in(), amount="5")
    return_url = shop.pages.begun_by[0].return_url
    assert return_url.startswith(f"{PUBLIC_URL}/q/{PRINTED}/done?o=")
    assert page.attribute("data-parameters") == '{"url":"https://wallet.test/pay"}'
    came = await shop.browser("unionpay_qr").ask(
        Action.DONE, PRINTED, return_url.partition("?")[2], form={"respCode": "00"}
    )
    assert came.status == 303
    assert (await browser.follow(came)).state == "paying"


async def test_back_from_the_wallet_the_channel_is_asked(shop: Shop) -> None:
    """The watch says so once the bridge has called back; otherwise it only reads."""
    browser = shop.browser()
    page = await browser.press(await browser.log_in(), amount="5")
    await browser.look(page)
    assert "ask" not in shop.pages.calls
    asked = await browser.look(page, more="&ask=1")
    assert "ask" in shop.pages.calls
    assert asked.state == "paying"


@pytest.mark.parametrize(
    "typed", ["", "0", "0.00", "-1", "1.234", "1e3", "abc", "99999999999999", "１２"]
)
async def test_an_impossible_amount_comes_back_with_the_form(shop: Shop, typed: str) -> None:
    """Said beside the field, with what was typed; nothing is made."""
    browser = shop.browser()
    page = await browser.press(await browser.log_in(), amount=typed, remark="少糖")
    assert (page.status, page.state) == (422, "ready")
    assert 'aria-invalid="true"' in page.text
    assert "少糖" in page.text
    assert made(shop) == []
    assert (await browser.press(page, amount="3")).state == "paying"


async def test_a_disabled_code_says_so_at_once(shop: Shop) -> None:
    """Also to the payer who has its form open already; and the shop's other codes go on."""
    browser = shop.browser()
    form = await browser.log_in()
    shop.print_code(PRINTED, disabled=True)
    page = await browser.press(form, amount="5")
    assert (page.status, page.state) == (410, "disabled")
    assert (await shop.browser().show(DISABLED)).state == "disabled"
    assert made(shop) == []
    assert (await browser.log_in(FIXED, "good2")).state == "ready"


async def test_an_order_under_way_outlives_its_code(shop: Shop) -> None:
    """Disabled while a payer pays: his order's page still tells what became of it."""
    browser = shop.browser()
    page = await browser.press(await browser.log_in(), amount="5")
    shop.print_code(PRINTED, disabled=True)
    order_id = shop.pages.orders[0].checkout_id
    shop.pages.pay(order_id)
    assert (await browser.follow(page)).state == "paid"


async def test_any_other_browser_is_told_which_apps_work(shop: Shop) -> None:
    """With the code to scan, of this very address."""
    page = await shop.browser("desktop").show()
    assert (page.status, page.state) == (200, "apps")
    assert "<svg" in page.text
    for name in ("WeChat", "Alipay", "UnionPay"):
        assert name in page.text


async def test_a_wallet_that_is_not_open_names_those_that_are(shop: Shop) -> None:
    """The shop has no account there."""
    shop.pages.open_only("alipay")
    page = await shop.browser("wechat").show()
    assert (page.status, page.state) == (403, "notopen")
    assert "Alipay" in page.text
    assert "UnionPay" not in page.text


@pytest.mark.parametrize(("language", "word"), [("zh-CN", "付款"), ("en", "Pay")])
async def test_the_page_speaks_the_browsers_language(shop: Shop, language: str, word: str) -> None:
    """From the form to the order."""
    browser = shop.browser(language=language)
    form = await browser.log_in()
    assert f'lang="{language}"' in form.text
    assert word in form.text
    assert f'lang="{language}"' in (await browser.press(form, amount="1")).text


async def test_a_session_ends_and_begins_again(shop: Shop) -> None:
    """After two hours the wallet is asked anew; an old form is not taken."""
    browser = shop.browser()
    form = await browser.log_in()
    shop.clock.at_ms += SESSION_S * 1000
    assert (await browser.press(form, amount="5")).state == "stale"
    assert (await browser.show()).status == 302
    assert made(shop) == []


async def test_the_wallet_did_not_say_who_pays(shop: Shop) -> None:
    """A code that cannot be exchanged: told to begin again, never sent round in circles."""
    browser = shop.browser()
    sent = await browser.show()
    state = sent.location.rpartition("state=")[2]
    page = await browser.back(PRINTED, state, "bad")
    assert (page.status, page.state) == (503, "busy")
    assert page.location == ""


@pytest.mark.parametrize(
    ("fault", "status", "state"),
    [
        (Unavailable("the store is down"), 503, "busy"),
        (Unprocessable("limit_single", "too much"), 422, "refused"),
    ],
)
async def test_our_faults_are_plain_pages(
    shop: Shop, fault: Unavailable | Unprocessable, status: int, state: str
) -> None:
    """Nothing was charged, and the form is good for another press."""
    browser = shop.browser()
    form = await browser.log_in()
    shop.pages.fault = fault
    page = await browser.press(form, amount="5")
    assert (page.status, page.state) == (status, state)
    assert fault.message not in page.text
    shop.pages.fault = None
    assert (await browser.press(form, amount="5")).state == "paying"


async def test_a_page_that_cannot_look_says_nothing_of_the_money(shop: Shop) -> None:
    """He paid; the store is down, then his session is gone: never "nothing was charged"."""
    browser = shop.browser()
    page = await browser.press(await browser.log_in(), amount="5")
    shop.pages.pay(shop.pages.orders[0].checkout_id)
    shop.pages.fault = Unavailable("the store is down")
    busy = await browser.follow(page)
    shop.pages.fault = None
    handle = page.attribute("data-page").partition("o=")[2]
    stale = await shop.browser().show(PRINTED, f"o={handle}")
    assert (busy.state, stale.state) == ("busy", "stale")
    for shown in (busy, stale):
        assert "do not pay again" in shown.text
        assert "Nothing was charged" not in shown.text
    assert (await browser.follow(page)).state == "paid"


@pytest.mark.parametrize(("language", "words"), [("zh-CN", "超过单笔限额"), ("en", "Too much.")])
async def test_a_limit_says_which_in_the_payers_language(
    shop: Shop, language: str, words: str
) -> None:
    """The shop's own limit, and the way back to another amount."""
    browser = shop.browser(language=language)
    form = await browser.log_in()
    shop.pages.fault = OverLimit("limit_single", "Too much.", message_zh="超过单笔限额")
    page = await browser.press(form, amount="500000")
    assert (page.status, page.state) == (422, "refused")
    assert words in page.text
    assert f'href="/q/{PRINTED}"' in page.text


@pytest.mark.parametrize(
    ("wallet", "mark"),
    [
        ("unionpay_qr", "UnionPay/1.0 CloudPay"),
        ("unionpay_other", "UnionPay/1.0 JDJR"),
        ("wechat", ""),
        ("alipay", ""),
    ],
)
async def test_unionpay_is_told_which_app_its_payer_uses(
    shop: Shop, wallet: str, mark: str
) -> None:
    """Its own app or another that carries its page: the form is shown in both."""
    assert (await shop.browser(wallet).log_in()).state == "ready"
    assert shop.pages.marks == [mark]


@pytest.mark.parametrize("start", [Start.READY, Start.ELSEWHERE])
async def test_what_was_paid_while_it_began_is_shown_paid(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, start: Start
) -> None:
    """Not a page that waits for a change that has come already."""
    begin = shop.pages.begin

    async def overtaken(checkout_id: str, payer: Payer) -> Begun:
        begun = await begin(checkout_id, payer)
        shop.pages.pay(checkout_id)
        view = await shop.pages.view(checkout_id, payer)
        assert view is not None
        return replace(begun, start=start, view=view)

    monkeypatch.setattr(shop.pages, "begin", overtaken)
    browser = shop.browser("unionpay_qr")
    page = await browser.press(await browser.log_in(), amount="12.50")
    assert page.state == "paid"
    assert page.attribute("data-bridge") == ""
    assert page.attribute("data-watch") == ""
