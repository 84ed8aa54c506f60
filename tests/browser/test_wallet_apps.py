"""The simulated apps in a real browser: their bridges, their box, and their in-app browser.

A merchant's page of the least kind, under the strictest policy, stands for ours here: what is
looked at is the app. The journeys through our own page are in ``test_journeys.py``.
"""

import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any, cast
from urllib.parse import quote

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Page

from channels.payer_orders import OrderRequest, PayerCodes, PayerPages
from sandbox.wallet_apps import APPS, WalletApp
from tests.browser.phones import PhoneShop
from tests.support.gateway import Running

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]

ACCOUNTS = {"alipay": "alipay-1", "wechat": "wechat-1", "unionpay_qr": "unionpay-qr-1"}
POLICY = "default-src 'none'; script-src 'self'; img-src data:; connect-src 'self'; frame-ancestors 'none'"
ICON = '<link rel="icon" href="data:,">'
SCRIPT = """
const words = JSON.parse(document.body.dataset.words), app = document.body.dataset.app;
const told = (what) => { document.body.dataset.told = JSON.stringify(what); };
const begin = {
  wechat: () => WeixinJSBridge.invoke("getBrandWCPayRequest", words, told),
  alipay: () => AlipayJSBridge.call("tradePay", words, told),
  unionpay: () => location.assign(words.url),
}[app];
const ready = { wechat: "WeixinJSBridge", alipay: "AlipayJSBridge" }[app];
document.body.dataset.agent = navigator.userAgent;
if (!ready || window[ready]) begin(); else document.addEventListener(ready + "Ready", begin);
"""


def pages(running: Running, app: WalletApp) -> Any:
    assert running.gateway._routes is not None
    route = running.gateway._routes.told(app.channel, ACCOUNTS[app.channel])
    assert route is not None
    return route.notices


def order_for(channel: Any, payer_id: str, back: str = "") -> OrderRequest:
    now_ms = int(time.time() * 1000)
    return OrderRequest(
        order_no=channel.new_order_no(),
        amount_fen=1990,
        currency="CNY",
        subject="奶茶",
        created_at_ms=now_ms,
        expires_at_ms=now_ms + 300_000,
        notify_url="https://127.0.0.1:9/notify",
        return_url=back,
        payer_id=payer_id,
    )


@contextlib.asynccontextmanager
async def merchant(channel: PayerPages, app: WalletApp) -> AsyncIterator[str]:
    """OAuth, an order, the bridge: nothing else."""

    async def scanned(request: web.Request) -> web.Response:
        url = channel.authorise_url(f"{site}/back", "s")
        return web.Response(status=302, headers={"Location": url})

    async def came_back(request: web.Request) -> web.Response:
        names = ("code", "auth_code", "userAuthCode")
        code = next(request.query[name] for name in names if name in request.query)
        payer = await channel.payer_of(code)
        order = order_for(channel, payer.payer_id, f"{site}/done")
        made = await channel.create_page_order(order)
        words = dict(made.parameters) if made.parameters else {"url": made.page_url}
        text = json.dumps(words).replace("&", "&amp;").replace('"', "&quot;")
        return web.Response(
            text=f"<!doctype html><html><head>{ICON}<title>shop</title></head>"
            f'<body data-app="{app.key}" data-words="{text}">'
            f'<script src="{site}/page.js"></script></body></html>',
            content_type="text/html",
            headers={"Content-Security-Policy": POLICY},
        )

    async def script(_: web.Request) -> web.Response:
        return web.Response(text=SCRIPT, content_type="text/javascript")

    async def done(request: web.Request) -> web.Response:
        form = await request.post()
        told = json.dumps({"paid": str(form.get("respCode", ""))}).replace('"', "&quot;")
        return web.Response(
            text=f'<!doctype html><html><head>{ICON}</head><body data-told="{told}"></body></html>',
            content_type="text/html",
        )

    served = web.Application()
    served.router.add_get("/q/a", scanned)
    served.router.add_get("/back", came_back)
    served.router.add_get("/page.js", script)
    served.router.add_route("*", "/done", done)
    server = TestServer(served)
    await server.start_server()
    site = f"http://127.0.0.1:{server.port}"
    try:
        yield f"{site}/q/a"
    finally:
        await server.close()


async def told(page: Page) -> Any:
    """What the app told the page in the end."""
    await page.wait_for_selector("body[data-told]", state="attached")
    return json.loads(str(await page.get_attribute("body", "data-told")))


ENDS = {
    "wechat": {
        "pays": {"err_msg": "get_brand_wcpay_request:ok"},
        "refused": {"err_msg": "get_brand_wcpay_request:fail"},
        "early": {"err_msg": "get_brand_wcpay_request:cancel"},
        "cancelled": {"err_msg": "get_brand_wcpay_request:cancel"},
    },
    "alipay": {
        "pays": {"resultCode": "9000"},
        "pays_later": {"resultCode": "8000"},
        "refused": {"resultCode": "4000"},
        "cancelled": {"resultCode": "6001"},
    },
    "unionpay": {
        "pays": {"paid": "00"},
        "refused": {"paid": ""},
        "cancelled": {"paid": ""},
    },
}


@pytest.mark.parametrize("key", list(APPS))
async def test_a_person_pays_in_the_in_app_browser(
    running: Running, phones: PhoneShop, key: str
) -> None:
    """Scan, OAuth, box, every end: in a desktop browser, whatever the page's policy."""
    app = APPS[key]
    desktop = await phones.phone(None)
    port = running.place.ports.wallets
    async with merchant(pages(running, app), app) as url:
        for act, said in ENDS[key].items():
            await desktop.page.goto(f"http://{app.host}:{port}/?code={quote(url, safe='')}")
            assert await desktop.amount_asked() == "¥19.90"
            if key != "unionpay":
                assert await desktop.page.get_attribute("body", "data-agent") == app.user_agent
            if act == "cancelled":
                await desktop.picture(f"wallet-{key}")
                await desktop.cancels()
            else:
                await desktop.pays(act)
            if act == "refused":
                await desktop.takes_note()
            assert await told(desktop.page) == said
            assert app.host in desktop.page.url
    assert desktop.faults == []


async def test_a_wrong_password_asks_again_and_a_lost_connection_says_nothing(
    running: Running, phones: PhoneShop
) -> None:
    """The money is taken, and the page never hears of it from the app."""
    app = APPS["wechat"]
    desktop = await phones.phone(None, language="en-GB")
    port = running.place.ports.wallets
    before = len(await running.place.charges())
    async with merchant(pages(running, app), app) as url:
        await desktop.page.goto(f"http://{app.host}:{port}/?code={quote(url, safe='')}")
        await desktop.pays(password="000000")
        why = desktop.page.locator("#wallet-why")
        await why.filter(has_text="Wrong password").wait_for()
        assert len(await running.place.charges()) == before
        await desktop.pays("lost")
        await desktop.page.wait_for_selector("#posgate-wallet", state="detached")
        assert await desktop.page.get_attribute("body", "data-told") is None
    assert len(await running.place.charges()) == before + 1


async def test_a_single_wallets_code_is_paid_on_the_apps_own_screen(
    running: Running, phones: PhoneShop
) -> None:
    """The choice of an app, the code that is not its own, and the one that is."""
    desktop = await phones.phone(None, language="en-GB")
    channel = cast("PayerCodes", pages(running, APPS["alipay"]))
    made = await channel.create_code(order_for(channel, ""))
    port = running.place.ports.wallets
    choice = f"http://127.0.0.1:{port}/?code={quote(made.code, safe='')}"
    await desktop.page.goto(choice)
    await desktop.page.get_by_role("link", name="WeChat Pay").click()
    await desktop.takes_note()
    await desktop.page.goto(choice)
    await desktop.page.get_by_role("link", name="Alipay").click()
    assert await desktop.amount_asked() == "¥19.90"
    await desktop.pays()
    await desktop.page.get_by_label("What the code says").wait_for()
    assert desktop.faults == []
