"""The payer's journeys through our own page, in a real Chromium dressed as each wallet's browser.

Rules: each test looks at three things: what the payer sees, what the till is told, and what
the channel has charged; the page is never believed alone. Every phone must end without a
script's fault, without a refused policy, and without an address outside the gateway and the
channel's own pages. Every journey is walked in Chinese and in English: the apps take turns.
"""

import re
from typing import Any
from urllib.parse import quote

import pytest

from sandbox.wallet_apps import APPS
from tests.browser.counter import Counter
from tests.browser.phones import Phone, PhoneShop, outside
from tests.support.gateway import Running

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]

every_app = pytest.mark.parametrize("key", list(APPS))
LANGUAGES = {"wechat": "zh-CN", "alipay": "en-GB", "unionpay": "zh-CN"}
MOST_BYTES = 60 * 1024


def check_clean(phone: Phone, running: Running) -> None:
    """No fault of a script or a policy, nothing from outside, and not too much in all."""
    ports, own = running.place.ports, running.api.base_url
    wallets = [
        f"https://127.0.0.1:{ports.wechat}/",
        f"http://127.0.0.1:{ports.alipay}/",
        f"http://127.0.0.1:{ports.unionpay_qr}/",
        f"http://unionpay.localhost:{ports.wallets}/",
    ]
    assert phone.faults == []
    assert outside(phone, [own, *wallets]) == []


async def scan(phone: Phone, url: str) -> str:
    """Open what was scanned; the state of the page."""
    await phone.page.goto(url)
    return str(await phone.page.get_attribute("body", "data-state"))


async def types(phone: Phone, amount: str) -> None:
    """One thumb on the page's own keypad."""
    for key in amount:
        await phone.page.click(f'#pad button[data-key="{key}"]')


async def scan_and_press(phone: Phone, url: str) -> None:
    """Open an order, and press the one button."""
    assert await scan(phone, url) == "ready"
    await phone.page.click("#press")


async def paid_once(counter: Counter, payment: dict[str, Any], key: str) -> None:
    """The till hears of one success, and the channel has charged it once."""
    found = await counter.ends(payment["id"])
    assert (found["status"], found["channel"]) == ("succeeded", APPS[key].channel)
    assert (found["amount"], found["merchant_order_no"]) == (
        payment["amount"],
        payment["merchant_order_no"],
    )
    assert await counter.running.place.charge(found) == (payment["amount"], 0)


@every_app
@pytest.mark.parametrize("language", ["zh-CN", "en-GB"])
async def test_a_printed_code_is_paid(
    running: Running, phones: PhoneShop, counter: Counter, key: str, language: str
) -> None:
    """Amount by thumb, a remark, one press, the password: page, books and channel say paid."""
    before, rows = await counter.charged(), counter.rows()
    _, url = await counter.printed()
    phone = await phones.phone(APPS[key], language=language)
    assert await scan(phone, url) == "ready"
    assert str(await phone.page.get_attribute("html", "lang")).startswith(language[:2])
    assert "街角奶茶" in await phone.page.inner_text("main")
    await types(phone, "18.80")
    assert await phone.page.input_value("#amount") == "18.80"
    await phone.page.fill("#remark", "三号桌 <b>&")
    await phone.picture(f"ready-{key}-{language}")
    assert counter.rows() == rows
    await phone.page.click("#press")
    assert await phone.amount_asked() == "¥18.80"
    await phone.picture(f"box-{key}-{language}")
    await phone.pays()
    await phone.state("paid")
    head = {"zh-CN": "付款成功", "en-GB": "Paid"}[language]
    assert head in await phone.page.inner_text("#head")
    await phone.picture(f"paid-{key}-{language}")
    assert await counter.charged() == before + 1880
    made = {row: door for row, door in counter.rows().items() if row not in rows}
    assert sorted(made.values()) == ["checkout", "page"]
    base = next(row for row, door in made.items() if door == "page")
    assert (await counter.ends(base))["status"] == "succeeded"
    check_clean(phone, running)
    ours = [size for at, size in phone.fetched.items() if at.startswith(running.api.base_url)]
    assert sum(ours) <= MOST_BYTES


@every_app
async def test_a_payer_cancels_and_changes_his_mind(
    running: Running, phones: PhoneShop, counter: Counter, key: str
) -> None:
    """Nothing is charged, the page offers the order again, and it is paid once."""
    payment = await counter.live()
    phone = await phones.phone(APPS[key], language=LANGUAGES[key])
    await scan_and_press(phone, payment["method"]["code"])
    await phone.cancels()
    if key == "unionpay":  # it has no bridge to say so: the payer is back, and says it himself
        await phone.state("paying", "asking")
        await phone.picture(f"paying-{key}")
        await phone.page.click("#give-up")
    await phone.state("failed", "ready")
    await phone.picture(f"cancelled-{key}")
    assert (await counter.payment(payment["id"]))["status"] == "pending"
    await phone.page.click("#press, #begin")
    await phone.pays()
    await phone.state("paid")
    await paid_once(counter, payment, key)
    check_clean(phone, running)


@every_app
async def test_a_wallet_refuses_and_the_payer_tries_again(
    running: Running, phones: PhoneShop, counter: Counter, key: str
) -> None:
    """What the bridge calls a failure is not believed: the order may be paid a moment later."""
    payment = await counter.live()
    phone = await phones.phone(APPS[key], language=LANGUAGES[key])
    await scan_and_press(phone, payment["method"]["code"])
    await phone.pays("refused")
    await phone.takes_note()
    await phone.state("paying", "asking")
    await phone.page.click("#again")
    await phone.pays()
    await phone.state("paid")
    await paid_once(counter, payment, key)
    check_clean(phone, running)


@every_app
async def test_a_live_code_is_paid_through_a_slow_bank(
    running: Running, phones: PhoneShop, counter: Counter, key: str
) -> None:
    """The cashier's screen shows one code; the page waits without calling it failed."""
    payment = await counter.live()
    phone = await phones.phone(APPS[key], language=LANGUAGES[key])
    await scan_and_press(phone, payment["method"]["code"])
    assert await phone.amount_asked() == "¥19.90"
    await phone.pays("pays_later")
    await phone.state("paid")
    await paid_once(counter, payment, key)
    check_clean(phone, running)


@every_app
async def test_the_connection_is_lost_on_the_way_back(
    running: Running, phones: PhoneShop, counter: Counter, key: str
) -> None:
    """The bridge never answers and the network is away: the page finds out by itself."""
    payment = await counter.live()
    phone = await phones.phone(APPS[key], language=LANGUAGES[key])
    await scan_and_press(phone, payment["method"]["code"])
    await phone.pays("lost")
    await phone.page.wait_for_selector("#posgate-wallet", state="detached")
    await phone.context.set_offline(True)
    await paid_once(counter, payment, key)
    await phone.context.set_offline(False)
    if key == "unionpay":  # the payer is left on the wallet's own page, and goes back
        await phone.page.go_back()
    await phone.state("paid")
    assert [fault for fault in phone.faults if "ERR_INTERNET_DISCONNECTED" not in fault] == []


@pytest.mark.parametrize("key", ["wechat", "alipay"])
async def test_an_app_says_cancelled_and_the_money_came(
    running: Running, phones: PhoneShop, counter: Counter, key: str
) -> None:
    """Nothing is undone by what a browser says: the channel is asked."""
    payment = await counter.live()
    phone = await phones.phone(APPS[key], language=LANGUAGES[key])
    await scan_and_press(phone, payment["method"]["code"])
    await phone.pays("early")
    await phone.state("paid")
    await paid_once(counter, payment, key)
    check_clean(phone, running)


@every_app
async def test_an_order_expires_while_its_box_is_open(
    running: Running, phones: PhoneShop, counter: Counter, key: str
) -> None:
    """The channel's order is closed, the wallet refuses, page and till say so, uncharged."""
    before = await counter.charged()
    payment = await counter.live(expires_in_s=60)
    phone = await phones.phone(APPS[key], language=LANGUAGES[key])
    await scan_and_press(phone, payment["method"]["code"])
    await phone.amount_asked()
    counter.clock.pass_by(61)
    assert (await counter.ends(payment["id"]))["status"] == "closed"
    if key == "unionpay":  # the payer is on the wallet's own page, and hears it there
        await phone.pays()
        await phone.takes_note()
    await phone.state("expired", "closed")
    await phone.picture(f"expired-{key}")
    assert await counter.charged() == before
    late = await phones.phone(APPS["alipay"])
    assert await scan(late, payment["method"]["code"]) in ("expired", "unknown", "closed")
    check_clean(phone, running)


@pytest.mark.parametrize(("first", "second"), [("wechat", "alipay"), ("unionpay", "wechat")])
async def test_two_wallets_scan_one_order(
    running: Running, phones: PhoneShop, counter: Counter, first: str, second: str
) -> None:
    """One is paying, the other is told so, and later that it is paid. One charge."""
    payment = await counter.live()
    code = payment["method"]["code"]
    paying = await phones.phone(APPS[first], language=LANGUAGES[first])
    other = await phones.phone(APPS[second], language=LANGUAGES[second])
    await scan_and_press(paying, code)
    await paying.amount_asked()
    if await scan(other, code) == "ready":
        await other.page.click("#press")
    await other.state("elsewhere")
    await other.picture(f"elsewhere-{second}")
    await paying.pays()
    await paying.state("paid")
    await other.state("taken")
    await paid_once(counter, payment, first)
    check_clean(paying, running)
    check_clean(other, running)


async def test_another_wallet_takes_over_what_was_given_up(
    running: Running, phones: PhoneShop, counter: Counter
) -> None:
    """The first payer cancels; the order is closed at that channel before the second may pay."""
    payment = await counter.live()
    code = payment["method"]["code"]
    first = await phones.phone(APPS["wechat"])
    await scan_and_press(first, code)
    await first.cancels()
    await first.state("failed", "ready")
    second = await phones.phone(APPS["alipay"], language="en-GB")
    await scan_and_press(second, code)
    await second.pays()
    await second.state("paid")
    await paid_once(counter, payment, "alipay")


@pytest.mark.parametrize(("first", "second"), [("unionpay", "wechat"), ("alipay", "unionpay")])
async def test_both_wallets_manage_to_pay_one_order(
    running: Running, phones: PhoneShop, counter: Counter, first: str, second: str
) -> None:
    """The first was closed at its channel and is paid all the same: the money goes back itself."""
    before = await counter.charged()
    payment = await counter.live()
    code = payment["method"]["code"]
    slow = await phones.phone(APPS[first], language=LANGUAGES[first])
    quick = await phones.phone(APPS[second], language=LANGUAGES[second])
    await scan_and_press(slow, code)
    await slow.amount_asked()
    closed = await counter.payment(payment["id"])
    order = "" if first == "unionpay" else await slow.opened()
    assert await scan(quick, code) == "elsewhere"
    assert await quick.page.locator("#press").count() == 0
    counter.clock.pass_by(21)  # now it was left alone for long enough: another may take over
    await quick.page.click("#press")
    await quick.pays()
    await quick.state("paid")
    await paid_once(counter, payment, second)
    if first == "unionpay":
        await slow.pays("crossed")
    else:  # the app's own window does not go away with the page, as the box here does
        await running.place.ask("POST", "/pay", {"order": order, "as": "crossed"})
    assert await slow.state("twice") == "twice"
    await slow.picture(f"twice-{first}")
    assert await counter.comes_back(closed) == (1990, 1990)
    assert await counter.charged() == before + 1990
    await paid_once(counter, payment, second)
    check_clean(slow, running)
    check_clean(quick, running)


async def test_a_double_press_and_the_back_button_make_one_order(
    running: Running, phones: PhoneShop, counter: Counter
) -> None:
    """However often the button is pressed, there is one payment and one attempt."""
    rows = counter.rows()
    _, url = await counter.printed(amount_fen=500)
    phone = await phones.phone(APPS["alipay"])
    assert await scan(phone, url) == "ready"
    await phone.page.dblclick("#press")
    await phone.amount_asked()
    await phone.page.go_back()
    if await phone.page.locator("#press").count():
        await phone.page.click("#press")
    await phone.pays()
    await phone.state("paid")
    made = [door for row, door in counter.rows().items() if row not in rows]
    assert sorted(made) == ["checkout", "page"]


async def test_a_desktop_browser_is_told_which_apps_work(
    running: Running, phones: PhoneShop, counter: Counter
) -> None:
    """It sees the code to scan, by name and not only as a picture; nothing is made."""
    rows = counter.rows()
    _, url = await counter.printed()
    for language, apps in (
        ("zh-CN", ("微信", "支付宝", "云闪付")),
        ("en-GB", ("WeChat", "Alipay", "UnionPay")),
    ):
        desktop = await phones.phone(None, language=language)
        assert await scan(desktop, url) == "apps"
        text = await desktop.page.inner_text("main")
        assert [app for app in apps if app not in text] == []
        code = desktop.page.get_by_role("img", name=re.compile(".+"))
        assert await code.count() == await code.locator("svg").count() == 1
        await desktop.picture(f"desktop-{language}")
        check_clean(desktop, running)
    assert counter.rows() == rows


async def test_a_user_agent_alone_pays_nothing(
    running: Running, phones: PhoneShop, counter: Counter
) -> None:
    """Who only claims to be WeChat finds no bridge, and is told; the till's order stays open."""
    before = await counter.charged()
    payment = await counter.live()
    phone = await phones.phone(APPS["wechat"], bridge=False, language="en-GB")
    await scan_and_press(phone, payment["method"]["code"])
    await phone.page.locator("#again").wait_for()
    assert (await counter.payment(payment["id"]))["status"] == "pending"
    assert await counter.charged() == before


async def test_a_disabled_and_an_invented_code_show_a_plain_page(
    running: Running, phones: PhoneShop, counter: Counter
) -> None:
    """At once, though the poster still hangs; and a page that was open cannot press any more."""
    rows = counter.rows()
    code_id, url = await counter.printed(amount_fen=500)
    phone = await phones.phone(APPS["wechat"])
    assert await scan(phone, url) == "ready"
    await running.gateway.store.disable_qr_code(code_id)
    await phone.page.click("#press")
    assert await phone.state("disabled") == "disabled"
    assert await scan(phone, url) == "disabled"
    await phone.picture("disabled")
    for invented in (url[:-1] + ("a" if url[-1] != "a" else "b"), f"{url}%00", f"{url}/x"):
        await phone.page.goto(invented)
        assert await phone.page.locator("#press").count() == 0
    assert counter.rows() == rows


ALTERED = (
    "document.querySelector('input[name=form]').value += 'x'",
    "document.querySelector('input[name=form]').remove()",
)
"""What is done to the form's token before the press."""
CHEAPER = (
    "document.getElementById('form').insertAdjacentHTML('beforeend',"
    " '<input type=hidden name=amount value=0.01>')"
)
"""An amount beside the printed code's own."""


async def test_what_the_payer_alters_changes_nothing(
    running: Running, phones: PhoneShop, counter: Counter
) -> None:
    """A token that is not ours makes no order; an amount of the payer's is not the order's."""
    rows, before = counter.rows(), await counter.charged()
    _, url = await counter.printed(amount_fen=500)
    phone = await phones.phone(APPS["alipay"])
    for altered in ALTERED:
        assert await scan(phone, url) == "ready"
        await phone.page.evaluate(altered)
        await phone.page.click("#press")
        await phone.page.wait_for_selector("body[data-state]:not([data-state=ready])")
        assert counter.rows() == rows
    assert await scan(phone, url) == "ready"
    await phone.page.evaluate(CHEAPER)
    await phone.page.click("#press")
    assert await phone.amount_asked() == "¥5.00"
    assert await counter.charged() == before


async def test_an_invented_return_from_oauth_shows_a_plain_page(
    running: Running, phones: PhoneShop, counter: Counter
) -> None:
    """State and code of nobody's; and those of another phone."""
    rows = counter.rows()
    _, url = await counter.printed(amount_fen=500)
    phone = await phones.phone(APPS["wechat"])
    await phone.page.goto(f"{url}/back?state=x&code=y")
    assert await phone.page.locator("#press").count() == 0
    mine: list[str] = []
    phone.page.on("request", lambda request: mine.append(request.url))
    assert await scan(phone, url) == "ready"
    back = next(at for at in mine if at.startswith(f"{url}/back"))
    thief = await phones.phone(APPS["wechat"])
    await thief.page.goto(back)
    assert await thief.page.locator("#press").count() == 0
    assert counter.rows() == rows


async def test_a_keyboard_and_a_screen_reader_find_everything(
    running: Running, phones: PhoneShop, counter: Counter
) -> None:
    """By role and name alone, in English: amount, remark, keys, button, and what is said aloud."""
    _, url = await counter.printed(name="Corner Shop")
    phone = await phones.phone(APPS["alipay"], language="en-GB")
    assert await scan(phone, url) == "ready"
    page = phone.page
    for key in ("1", "0", "."):
        assert await page.get_by_role("button", name=key, exact=True).count() == 1
    amount = page.get_by_label("Amount")
    await amount.fill("2.5")
    assert await page.get_by_role("heading").count() == 1
    await amount.press("Enter")
    assert await phone.amount_asked() == "¥2.50"
    dialog = page.get_by_role("dialog")
    assert await dialog.get_attribute("aria-modal") == "true"
    await phone.pays()
    await phone.state("paid")
    assert await page.get_by_role("status").count() == 1
    focused = await page.evaluate("document.activeElement.id")
    assert focused == "head"
    check_clean(phone, running)


async def test_a_person_walks_it_in_a_desktop_browser(
    running: Running, phones: PhoneShop, counter: Counter
) -> None:
    """What ``posgate demo`` prints: the choice of an app, its browser, and our page in it."""
    key = "unionpay"  # the one with a page of its own; the bridges are in test_wallet_apps.py
    payment = await counter.live()
    desktop = await phones.phone(None, language="en-GB")
    code = quote(payment["method"]["code"], safe="")
    await desktop.page.goto(f"http://127.0.0.1:{running.place.ports.wallets}/?code={code}")
    await desktop.page.get_by_role("link", name=APPS[key].name[0]).click()
    await desktop.state("ready")
    await desktop.page.click("#press")
    assert await desktop.amount_asked() == "¥19.90"
    await desktop.pays()
    await desktop.state("paid")
    assert APPS[key].host in desktop.page.url
    await paid_once(counter, payment, key)
    assert desktop.faults == []
