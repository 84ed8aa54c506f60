"""The sandbox's wallets before a gateway's own adapters: who signs, types and pays, who not.

One installation for the file; each test has phones and orders of its own.
"""

import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlsplit

import aiohttp
import orjson
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from channels.payer_orders import OrderRequest, PayerPages
from channels.port import Channel, PaymentRef, Verdict
from sandbox.wallet_apps import APPS, WalletApp
from tests.support.gateway import FAST, Running, opened

pytestmark = pytest.mark.asyncio(loop_scope="module")

PASSWORD = "123456"
ACCOUNTS = {"alipay": "alipay-1", "wechat": "wechat-1", "unionpay_qr": "unionpay-qr-1"}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def running(
    installation_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    folder = tmp_path_factory.mktemp("wallets") / "place"
    tuning = replace(FAST, wechat_timeout_s="2")
    opening = opened(installation_template, folder, tuning, wallets=tuple(ACCOUNTS))
    async with opening as place, place.gateway() as it:
        yield it


class Browser:
    """A desktop browser: its own cookies, and the apps' hosts on the sandbox's one port."""

    def __init__(self, port: int) -> None:
        self._site = f"http://127.0.0.1:{port}"
        self.cookies: dict[str, str] = {}

    async def go(
        self, app: WalletApp | None, path: str, *, json: object = None, host: str = "", **head: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        """One request; redirects are the test's to follow."""
        port = urlsplit(self._site).port
        headers = {"Host": host or f"{app.host if app else '127.0.0.1'}:{port}", **head}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        method = "GET" if json is None else "POST"
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
            http.request(
                method, self._site + path, json=json, headers=headers, allow_redirects=False
            ) as answer,
        ):
            self.cookies |= {name: morsel.value for name, morsel in answer.cookies.items()}
            return answer.status, answer.headers, await answer.read()

    async def does(self, app: WalletApp, what: str, /, **ask: object) -> Any:
        status, _, body = await self.go(app, f"/.wallet/{app.key}/{what}", json=ask)
        assert status == 200, body
        return orjson.loads(body)


@pytest.fixture
def browser(running: Running) -> Browser:
    return Browser(running.place.ports.wallets)


def adapter(running: Running, app: WalletApp) -> Channel:
    """The account's own channel, as the gateway built it."""
    assert running.gateway._routes is not None
    route = running.gateway._routes.told(app.channel, ACCOUNTS[app.channel])
    assert route is not None
    return cast("Channel", route.notices)


def order_for(channel: Channel, payer_id: str) -> OrderRequest:
    now_ms = int(time.time() * 1000)
    return OrderRequest(
        order_no=channel.new_order_no(),
        amount_fen=1990,
        currency="CNY",
        subject="奶茶",
        created_at_ms=now_ms,
        expires_at_ms=now_ms + 300_000,
        notify_url="https://127.0.0.1:9/notify",
        return_url="https://127.0.0.1:8443/q/back",
        payer_id=payer_id,
    )


async def verdict(channel: Channel, request: OrderRequest) -> Verdict:
    ref = PaymentRef(
        order_no=request.order_no,
        amount_fen=request.amount_fen,
        currency=request.currency,
        created_at_ms=request.created_at_ms,
        method="qr",
    )
    return (await channel.query(ref)).verdict


@contextlib.asynccontextmanager
async def merchants_page(channel: PayerPages) -> AsyncIterator[str]:
    """A page that asks who pays, and then shows it: the least that a merchant's page is."""

    async def page(request: web.Request) -> web.Response:
        back = f"http://127.0.0.1:{server.port}/q/a/back"
        answer = web.Response(
            status=302, headers={"Location": channel.authorise_url(back, "state-1")}
        )
        answer.set_cookie("session", "kept", path="/q/a", secure=True, httponly=True)
        return answer

    async def came_back(request: web.Request) -> web.Response:
        names = ("code", "auth_code", "userAuthCode")
        code = next(request.query[name] for name in names if name in request.query)
        payer = await channel.payer_of(code)
        shown = (
            request.query["state"],
            request.cookies.get("session", ""),
            payer.payer_id,
            request.headers["User-Agent"],
        )
        return web.json_response(shown)

    app = web.Application()
    app.router.add_get("/q/a", page)
    app.router.add_get("/q/a/back", came_back)
    server = TestServer(app)
    await server.start_server()
    try:
        yield f"http://127.0.0.1:{server.port}/q/a"
    finally:
        await server.close()


async def signed_in(browser: Browser, running: Running, app: WalletApp) -> list[str]:
    """Scan a merchant's page and let the app's OAuth send the phone back."""
    async with merchants_page(cast("PayerPages", adapter(running, app))) as url:
        status, headers, body = await browser.go(app, f"/?code={quote(url, safe='')}")
        assert (status, headers["Location"]) == (303, "/q/a")
        status, headers, body = await browser.go(app, "/q/a")
        assert (status, headers["Location"].partition("?")[0]) == (302, "/q/a/back")
        status, headers, body = await browser.go(app, headers["Location"])
    assert status == 200, body
    said: list[str] = orjson.loads(body)
    return said


async def page_order(
    browser: Browser, running: Running, app: WalletApp
) -> tuple[Channel, OrderRequest, dict[str, object]]:
    """An order for this phone's payer, and how a page's bridge names it."""
    channel = adapter(running, app)
    _, _, payer_id, _ = await signed_in(browser, running, app)
    request = order_for(channel, payer_id)
    made = await cast("PayerPages", channel).create_page_order(request)
    assert made.verdict is Verdict.SUCCEEDED
    if app.key == "wechat":
        return channel, request, {"page": dict(made.parameters)}
    return channel, request, {"order": made.parameters.get("tradeNO") or made.page_url}


every_app = pytest.mark.parametrize("key", list(APPS))


@every_app
async def test_a_scanned_page_knows_the_payer_and_pays(
    running: Running, browser: Browser, key: str
) -> None:
    """OAuth inside the app, the page's cookie kept, the amount shown, the password asked."""
    app = APPS[key]
    said = await signed_in(browser, running, app)
    assert said == ["state-1", "kept", app.payer_id(said_payer(browser)), app.user_agent]
    channel, request, ask = await page_order(browser, running, app)
    assert await browser.does(app, "open", **ask) == {
        "amount_fen": 1990,
        "order_no": request.order_no,
        "subject": "奶茶",
        "paid": False,
        "why": "",
    }
    wrong = await browser.does(app, "pay", **ask, password="654321", act="pays")
    assert wrong["outcome"] == "wrong_password"
    assert await verdict(channel, request) is Verdict.PENDING
    right = await browser.does(app, "pay", **ask, password=PASSWORD, act="pays")
    assert right == {"outcome": "paid", "why": "", "after_ms": 0}
    assert await verdict(channel, request) is Verdict.SUCCEEDED
    again = await browser.does(app, "pay", **ask, password=PASSWORD, act="pays")
    assert again["outcome"] == "refused"
    charge = await running.place.charge({"channel_order_no": request.order_no})
    assert charge == (1990, 0)


def said_payer(browser: Browser) -> str:
    """The phone's payer, by the rule of ``Phones``."""
    return f"payer-{browser.cookies['posgate_phone'][:12]}"


@every_app
async def test_a_refused_payer_and_a_slow_one(running: Running, browser: Browser, key: str) -> None:
    """Refused moves nothing and may be tried again; later is paid after the time it says."""
    app = APPS[key]
    channel, request, ask = await page_order(browser, running, app)
    refused = await browser.does(app, "pay", **ask, password=PASSWORD, act="refused")
    assert refused["outcome"] == "refused" and refused["why"]
    assert await verdict(channel, request) is Verdict.PENDING
    later = await browser.does(app, "pay", **ask, password=PASSWORD, act="pays_later")
    assert later == {"outcome": "later", "why": "", "after_ms": 1000}
    assert await verdict(channel, request) is Verdict.PENDING


@every_app
async def test_an_order_is_one_payers(running: Running, browser: Browser, key: str) -> None:
    """Another phone cannot pay it, nor can another app."""
    app = APPS[key]
    channel, request, ask = await page_order(browser, running, app)
    stranger = Browser(running.place.ports.wallets)
    await signed_in(stranger, running, app)
    told = await stranger.does(app, "pay", **ask, password=PASSWORD, act="pays")
    assert (told["outcome"], await verdict(channel, request)) == ("refused", Verdict.PENDING)
    other = APPS["alipay" if key != "alipay" else "unionpay"]
    told = await browser.does(other, "pay", **ask, password=PASSWORD, act="pays")
    assert (told["outcome"], await verdict(channel, request)) == ("refused", Verdict.PENDING)


@pytest.mark.parametrize("word", ["appId", "timeStamp", "nonceStr", "package", "paySign", "more"])
async def test_wechat_takes_only_what_the_merchant_signed(
    running: Running, browser: Browser, word: str
) -> None:
    """Any of the six changed, or one more, and the box says so before it asks for a password."""
    app = APPS["wechat"]
    channel, request, ask = await page_order(browser, running, app)
    page = cast("dict[str, str]", ask["page"])
    value = page.get(word, "")
    page[word] = ("A" if value[:1] != "A" else "B") + value[1:]
    assert (await browser.does(app, "open", page=page))["why"]
    told = await browser.does(app, "pay", page=page, password=PASSWORD, act="pays")
    assert (told["outcome"], await verdict(channel, request)) == ("refused", Verdict.PENDING)


async def test_unionpays_cashier_sends_the_payer_back_signed(
    running: Running, browser: Browser
) -> None:
    """Unpaid nothing is said of a payment; paid it is a signed form, inside the app's browser."""
    app = APPS["unionpay"]
    _, request, ask = await page_order(browser, running, app)
    url = urlsplit(str(ask["order"]))
    assert url.netloc == f"unionpay.localhost:{running.place.ports.wallets}"
    status, _, body = await browser.go(app, url.path)
    assert status == 200 and b"data-wallet-front" in body
    assert await browser.does(app, "front", **ask) == {
        "url": request.return_url,
        "form": {},
    }
    await browser.does(app, "pay", **ask, password=PASSWORD, act="pays")
    front = await browser.does(app, "front", **ask)
    assert (front["form"]["orderId"], front["form"]["respCode"]) == (request.order_no, "00")
    assert front["form"]["signature"]
    assert (await browser.go(app, url.path + "0"))[0] == 404


async def test_a_single_wallets_code_is_scanned_by_its_app(
    running: Running, browser: Browser
) -> None:
    """The app shows its own screen for it, another app does not know it."""
    channel = adapter(running, APPS["alipay"])
    request = order_for(channel, "")
    made = await cast("Any", channel).create_code(request)
    for app, knows in ((APPS["wechat"], False), (APPS["alipay"], True)):
        status, _, body = await browser.go(app, f"/?code={quote(made.code, safe='')}")
        assert status == 200 and b"data-wallet-code" in body
        shown = await browser.does(app, "open", code=made.code)
        assert (shown["amount_fen"] == 1990, shown["why"] == "") == (knows, knows)
    told = await browser.does(APPS["alipay"], "pay", code=made.code, password=PASSWORD, act="pays")
    assert told["outcome"] == "paid"


@pytest.mark.parametrize(
    ("ask", "status"),
    [
        ({}, 400),
        ({"order": "x", "code": "y"}, 400),
        ({"order": 7}, 400),
        ({"page": {"a": 1}}, 400),
        ({"order": "x", "password": PASSWORD, "act": "steals"}, 400),
        ([], 400),
    ],
)
async def test_what_no_screen_would_ask_is_refused(
    browser: Browser, ask: object, status: int
) -> None:
    assert (await browser.go(APPS["alipay"], "/.wallet/alipay/pay", json=ask))[0] == status


async def test_the_apps_answer_to_names_of_this_machine_alone(
    running: Running, browser: Browser
) -> None:
    """A web page elsewhere cannot rebind its own name to the wallets."""
    assert (await browser.go(None, "/", host="evil.example"))[0] == 421
    status, _, body = await browser.go(None, "/?code=x")
    assert status == 200
    for app in APPS.values():
        link = f'href="http://{app.host}:{running.place.ports.wallets}/?code=x"'
        assert link.encode() in body


async def test_nothing_is_open_before_something_is_scanned(browser: Browser) -> None:
    """And what is scanned but is gone is said to be away, with a way home."""
    app = APPS["wechat"]
    assert (await browser.go(app, "/q/abc"))[0] == 404
    assert (await browser.go(app, "/.wallet/none/bridge.js"))[0] == 404
    status, headers, _ = await browser.go(app, "/?code=http%3A%2F%2F127.0.0.1%3A9%2Fq%2Fabc")
    assert (status, headers["Location"]) == (303, "/q/abc")
    assert (await browser.go(app, "/q/abc"))[0] == 502
