"""The page over HTTP: its headers, its files, its bounds."""

from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_network

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.http.pages.assets import SCRIPT, STYLE
from gateway.http.pages.server import POLICY, PageServer
from tests.pages.browsers import AGENTS, PRINTED, WIDE, Shop

Client = TestClient[web.Request, web.Application]


def served(shop: Shop) -> web.Application:
    """The shop's pages behind a proxy on this machine."""
    app = web.Application()
    server = PageServer(door=shop.door, proxies=[ip_network("127.0.0.0/8")])
    server.add_routes(app, lambda request: request.read())
    return app


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
async def client(shop: Shop) -> AsyncIterator[Client]:
    """A browser that keeps no cookie and follows no redirect by itself."""
    async with TestClient(TestServer(served(shop))) as it:
        yield it


async def test_a_page_has_strict_headers(client: Client) -> None:
    """No inline script, no frame, no referrer, nothing kept."""
    answer = await client.get(f"/q/{PRINTED}", headers={"User-Agent": AGENTS["desktop"]})
    assert answer.status == 200
    assert answer.headers["Content-Security-Policy"] == POLICY
    assert "unsafe" not in POLICY
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "Set-Cookie" not in answer.headers


async def test_a_wallet_is_sent_to_its_log_in(client: Client) -> None:
    """A redirect with the session's cookie."""
    answer = await client.get(
        f"/q/{PRINTED}", headers={"User-Agent": AGENTS["alipay"]}, allow_redirects=False
    )
    assert answer.status == 302
    assert answer.headers["Location"].startswith("https://wallet.test/alipay?")
    assert "HttpOnly; Secure; SameSite=Lax" in answer.headers["Set-Cookie"]


async def test_its_own_files_are_kept_for_ever(client: Client) -> None:
    """Under names with their hash; another name is not there."""
    for asset in (STYLE, SCRIPT):
        answer = await client.get(asset.path)
        assert await answer.read() == asset.body
        assert "immutable" in answer.headers["Cache-Control"]
        assert answer.headers["Content-Type"] == asset.content_type
    for name in ("page.js", "page.0000000000000000.js", "..%2ftemplates%2fbase.html"):
        assert (await client.get(f"/q/_/{name}")).status == 404


async def test_a_body_that_is_no_form_is_no_press(client: Client) -> None:
    """Another type, or too long: as if it were empty."""
    as_json = await client.post(f"/q/{PRINTED}/pay", json={"form": "x"})
    assert as_json.status == 403
    too_long = await client.post(f"/q/{PRINTED}/pay", data={"form": "x" * 10_000})
    assert too_long.status == 403


async def test_a_method_that_a_page_has_not_is_refused(client: Client) -> None:
    """The button is a POST, the page a GET."""
    assert (await client.get(f"/q/{PRINTED}/pay")).status == 405
    assert (await client.post(f"/q/{PRINTED}")).status == 405
    assert (await client.delete(f"/q/{PRINTED}")).status == 405


async def test_the_wallets_return_may_be_a_form(client: Client) -> None:
    """Whatever it holds, it leads to the code's page."""
    answer = await client.post(
        f"/q/{PRINTED}/done?o=HANDLE-1_x", data={"respCode": "00"}, allow_redirects=False
    )
    assert (answer.status, answer.headers["Location"]) == (303, f"/q/{PRINTED}?o=HANDLE-1_x")


async def test_an_invented_id_is_a_plain_page(client: Client) -> None:
    """404 in HTML, in the browser's language."""
    answer = await client.get("/q/nothing", headers={"Accept-Language": "zh-CN"})
    assert answer.status == 404
    assert "此页面不存在" in await answer.text()


async def test_who_asks_too_often_is_told_when_to_come_back() -> None:
    """By the address that our proxy names."""
    narrow = Shop(rates=replace(WIDE, address_per_s=0.1, address_burst=1))
    async with TestClient(TestServer(served(narrow))) as busy:
        statuses = []
        for address in ("198.51.100.1", "198.51.100.1", "198.51.100.2"):
            answer = await busy.get(f"/q/{PRINTED}", headers={"X-Forwarded-For": address})
            statuses.append((answer.status, answer.headers.get("Retry-After")))
    assert statuses == [(200, None), (429, "1"), (200, None)]
