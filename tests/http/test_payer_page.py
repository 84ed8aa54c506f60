"""The payer's page from end to end: three wallets before the simulated channels, over TLS."""

import html
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
import pytest_asyncio
from yarl import URL

from domain.qr_code import qr_code_id
from gateway.cli.free_ports import free_port
from gateway.cli.installation import MERCHANT_NO
from gateway.store.shop_records import QrCode
from tests.pages.browsers import AGENTS
from tests.support.gateway import FAST, Running, opened
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")
WALLETS = ("alipay", "wechat", "unionpay_qr")
CODE_ID = qr_code_id(bytes(range(16)))
SHOP = "转角咖啡 Tom & Jerry"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(
    installation_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    """A gateway with all wallets and one printed code, for the whole module."""
    folder, port = tmp_path_factory.mktemp("page") / "place", free_port()
    home = f"https://127.0.0.1:{port}"
    tuning = replace(FAST, wechat_timeout_s="3", wechat_notify_url=f"{home}/notify/wechat/wechat-1")
    async with opened(installation_template, folder, tuning, wallets=WALLETS) as it:
        it.configure(http={"port": port, "public_url": home})
        async with it.session() as session:
            await session.store.add_qr_code(
                QrCode(
                    code_id=CODE_ID,
                    merchant_no=MERCHANT_NO,
                    store_id="S1",
                    terminal_id="",
                    name=SHOP,
                    amount_fen=0,
                    created_at_ms=session.clock.now_ms(),
                )
            )
        async with it.gateway() as gateway:
            yield gateway


@dataclass
class Phone:
    """A wallet's browser: it follows redirects by itself and keeps the cookie of a page."""

    shop: Running
    wallet: str
    cookie: str = ""
    text: str = field(default="", repr=False)
    status: int = 0

    async def open(self, url: str, form: Mapping[str, str] | None = None) -> "Phone":
        """Go there, and on to wherever it leads."""
        method = "GET" if form is None else "POST"
        for _ in range(8):
            place = URL(url, encoded=True)
            if not place.host:
                place = URL(self.shop.api.base_url).join(place)
            async with self.shop.api._http.request(
                method,
                place,
                data=form,
                allow_redirects=False,
                headers={"User-Agent": AGENTS[self.wallet], "Cookie": self.cookie},
            ) as answer:
                self.status, self.text = answer.status, await answer.text()
                given = answer.headers.get("Set-Cookie", "")
                self.cookie = given.partition(";")[0] or self.cookie
                url = answer.headers.get("Location", "")
            if self.status not in (302, 303):
                return self
            method, form = "GET", None
        raise AssertionError("sent round in circles")

    def attribute(self, name: str) -> str:
        """As a script reads it."""
        found = re.search(rf'{name}="([^"]*)"', self.text)
        return html.unescape(found[1]) if found else ""

    @property
    def state(self) -> str:
        """What the page shows."""
        return self.attribute("data-state")

    async def press(self, **typed: str) -> "Phone":
        """The button of the form that is shown."""
        found = re.search(r'name="form" value="([^"]*)"', self.text)
        assert found, self.text
        return await self.open(self.attribute("action"), {"form": found[1], **typed})

    async def look(self) -> str:
        """The state that the page's watch is told, the channel asked."""
        place = self.shop.api.base_url + self.attribute("data-watch") + "&ask=1"
        headers = {"User-Agent": AGENTS[self.wallet], "Cookie": self.cookie}
        async with self.shop.api._http.get(place, headers=headers) as answer:
            return str(orjson.loads(await answer.read())["state"])

    def order(self) -> str:
        """What the wallet knows the order by."""
        parameters = orjson.loads(self.attribute("data-parameters"))
        if "url" in parameters:
            return str(parameters["url"]).rpartition("tn=")[2]
        return str(parameters.get("tradeNO") or parameters["package"])


async def listed(shop: Running, phone: Phone) -> Any:
    """The merchant's payment behind the order's page."""
    line = [one for one in shop.lines() if one["event"] == "page request"][-1]
    return (await shop.api.get(line["payment_id"])).json


@pytest.mark.parametrize("wallet", WALLETS)
async def test_a_payer_scans_types_presses_and_pays(shop: Running, wallet: str) -> None:
    """From the printed code to "paid": one order, the merchant's own words agree."""
    phone = await Phone(shop, wallet).open(f"/q/{CODE_ID}")
    assert (phone.status, phone.state) == (200, "ready")
    assert html.escape(SHOP) in phone.text
    await phone.press(amount="19.90", remark="少糖")
    assert phone.state == "paying"
    payment = await listed(shop, phone)
    assert (payment["amount"], payment["status"]) == (1990, "pending")
    if wallet == "wechat":
        given = orjson.loads(phone.attribute("data-parameters"))
        assert set(given) == {"appId", "timeStamp", "nonceStr", "package", "signType", "paySign"}
    paid = await shop.place.ask("POST", "/pay", {"order": phone.order()})
    assert (paid["paid"], paid["amount_fen"]) == (True, 1990)

    async def is_paid() -> bool:
        return await phone.look() == "paid"

    await eventually(is_paid)
    await phone.open(phone.attribute("data-page"))
    assert phone.state == "paid"
    payment = (await shop.api.get(payment["id"])).json
    assert (payment["status"], payment["channel"]) == ("succeeded", wallet)
    assert await shop.place.charge(payment) == (1990, 0)


async def test_reloads_and_double_presses_are_one_order(shop: Running) -> None:
    """The same number at the channel however often the button and the page come."""
    phone = await Phone(shop, "alipay").open(f"/q/{CODE_ID}")
    form = replace(phone)
    await phone.press(amount="5")
    first, trade = await listed(shop, phone), phone.order()
    form.cookie = phone.cookie
    await form.press(amount="5")
    assert (await listed(shop, form))["id"] == first["id"]
    assert form.order() == trade
    await phone.open(phone.attribute("data-page"))
    assert phone.order() == trade
    await phone.open(f"/q/{CODE_ID}")  # the back button
    assert (phone.state, phone.order()) == ("paying", trade)


async def test_giving_up_charges_nothing(shop: Running) -> None:
    """Left without paying: the wallet's order is closed, and the page says so."""
    phone = await Phone(shop, "alipay").open(f"/q/{CODE_ID}")
    await phone.press(amount="7")
    payment = await listed(shop, phone)
    handle = re.search(r'name="o" value="([^"]*)"', phone.text)
    assert handle
    trade = phone.order()
    await phone.open(f"/q/{CODE_ID}/release", {"o": handle[1]})

    async def is_over() -> bool:
        return await phone.look() not in ("paying", "asking")

    await eventually(is_over)
    with pytest.raises(AssertionError, match="the order is closed"):
        await shop.place.ask("POST", "/pay", {"order": trade})
    assert (await shop.api.get(payment["id"])).json["paid_at"] is None


async def test_a_live_code_is_paid_by_whoever_scans_it(shop: Running) -> None:
    """The cashier's order on the screen, its code in the payer's wallet."""
    body = {
        "merchant_order_no": "LIVE-1",
        "amount": 4321,
        "currency": "CNY",
        "subject": "Table 7",
        "method": {"type": "qr"},
    }
    made = await shop.api.call("POST", "/v1/payments", body)
    assert made.status == 201, made.json
    code = urlsplit(made.json["method"]["code"]).path
    phone = await Phone(shop, "wechat").open(code)
    assert (phone.state, "43.21" in phone.text) == ("ready", True)
    await phone.press(amount="0.01")
    other = await Phone(shop, "alipay").open(code)
    assert other.state == "elsewhere"
    assert (await shop.place.ask("POST", "/pay", {"order": phone.order()}))["paid"]

    async def is_paid() -> bool:
        return await phone.look() == "paid"

    await eventually(is_paid)
    assert await other.look() == "taken"
    payment = (await shop.api.get(made.json["id"])).json
    assert (payment["status"], payment["channel"]) == ("succeeded", "wechat")
