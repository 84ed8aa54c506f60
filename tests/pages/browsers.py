"""Browsers of payers before the door of pages, without a socket.

Rules: a browser keeps the cookie that it is given and follows only what it is told to; its
user agent is all that tells one wallet from another.
"""

import html
import re
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qs, urlencode, urlsplit

from gateway.http.pages.door import PageDoor, PageRates
from gateway.http.pages.requests import Action, PageRequest, PageResponse
from gateway.http.pages.tickets import Tickets
from gateway.logs import make_log
from gateway.metrics import Metrics
from gateway.store.provisioning_records import Merchant
from gateway.store.shop_records import QrCode
from signing.keywrap import Sealer
from tests.pages.fake_pages import FakePages

PUBLIC_URL = "https://pay.example.com"
PRINTED = "a" * 25 + "2"
FIXED = "b" * 25 + "2"
DISABLED = "c" * 25 + "2"
LIVE = "L" + "x" * 40
AGENTS = {
    "wechat": "Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 MicroMessenger/8.0.50 NetType/WIFI",
    "alipay": "Mozilla/5.0 (Linux; Android 14) AlipayClient/10.6.0 Language/zh-Hans",
    "unionpay_qr": "Mozilla/5.0 (Linux; Android 14) UnionPay/1.0 CloudPay",
    "unionpay_other": "Mozilla/5.0 (Linux; Android 14) jdpay/6.2 CpayJS=UnionPay/1.0 JDJR",
    "desktop": "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0",
}
CODE_NAMES = {"wechat": "code", "alipay": "auth_code", "unionpay_qr": "userAuthCode"}
CODE_NAMES["unionpay_other"] = CODE_NAMES["unionpay_qr"]
HOSTILE_NAME = "Tom & Jerry's <script>alert(1)</script>"
WIDE = PageRates(
    code_per_s=1e6,
    code_burst=1_000_000,
    address_per_s=1e6,
    address_burst=1_000_000,
    code_presses_per_s=1e6,
    code_presses_burst=1_000_000,
    address_presses_per_s=1e6,
    address_presses_burst=1_000_000,
    max_keys=1000,
)


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at_ms = 1_700_000_000_000

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic_s(self) -> float:
        return self.at_ms / 1000


@dataclass
class Shop:
    """A door of pages with its codes; ``names`` counts what randomness is asked for."""

    rates: PageRates = WIDE
    max_in_flight: int = 100
    pages: FakePages = field(default_factory=FakePages)
    clock: HandClock = field(default_factory=HandClock)
    metrics: Metrics = field(default_factory=Metrics)
    codes: dict[str, tuple[Merchant, QrCode]] = field(default_factory=dict)
    _drawn: int = 0

    def __post_init__(self) -> None:
        for code_id, amount_fen, disabled in (
            (PRINTED, 0, False),
            (FIXED, 880, False),
            (DISABLED, 0, True),
        ):
            self.print_code(code_id, amount_fen=amount_fen, disabled=disabled)
        self.door = PageDoor(
            public_url=f"{PUBLIC_URL}/",
            pages=self.pages,
            find_code=self._find,
            tickets=Tickets(Sealer(bytes(32), self._random), self._random),
            clock=self.clock,
            metrics=self.metrics,
            log=make_log("info", "json"),
            rates=self.rates,
            max_in_flight=self.max_in_flight,
        )

    def print_code(self, code_id: str, *, name: str = HOSTILE_NAME, **changes: object) -> None:
        """A printed code of the shop's."""
        merchant = Merchant(
            merchant_no="M0001",
            name="Posgate Demo Shop",
            pos_merchant_id="990000000000001",
            created_at_ms=0,
        )
        code = QrCode(
            code_id=code_id,
            merchant_no="M0001",
            store_id="S1",
            terminal_id="",
            name=name,
            amount_fen=0,
            created_at_ms=0,
            notify_url="https://shop.example/paid",
        )
        self.codes[code_id] = merchant, replace(code, **changes)  # type: ignore[arg-type]  # names of fields

    def live_order(self, **changes: object) -> str:
        """An order with a live code that is good now; its id."""
        lasting = {"expires_at_ms": self.clock.now_ms() + 7_200_000, "subject": "Two teas"}
        order = self.pages.add(**(lasting | changes))  # type: ignore[arg-type]  # names of fields
        self.pages.tokens[LIVE] = order.checkout_id
        return order.checkout_id

    async def _find(self, code_id: str) -> tuple[Merchant, QrCode] | None:
        return self.codes.get(code_id)

    def _random(self, count: int) -> bytes:
        self._drawn += 1
        return self._drawn.to_bytes(8).rjust(count, b"r")[-count:]

    def browser(self, wallet: str = "wechat", language: str = "en") -> "Browser":
        """A payer's."""
        return Browser(self, wallet, language)


@dataclass
class Page:
    """An answer as a browser sees it."""

    answer: PageResponse

    @property
    def status(self) -> int:
        return self.answer.status

    @property
    def text(self) -> str:
        return self.answer.body.decode()

    @property
    def state(self) -> str:
        return self.attribute("data-state")

    @property
    def location(self) -> str:
        return self.answer.location

    def attribute(self, name: str) -> str:
        """The first attribute of that name, as a script reads it; ``""`` where there is none."""
        found = re.search(rf'{name}="([^"]*)"', self.text)
        return html.unescape(found[1]) if found else ""

    def field(self, name: str) -> str:
        """The value of a hidden field."""
        found = re.search(rf'name="{name}" value="([^"]*)"', self.text)
        return html.unescape(found[1]) if found else ""


@dataclass
class Browser:
    """One browser; ``cookies`` by the code they belong to."""

    shop: Shop
    wallet: str
    language: str = "en"
    address: str = "198.51.100.7"
    cookies: dict[str, str] = field(default_factory=dict)

    async def ask(
        self,
        action: Action,
        code_id: str,
        query: dict[str, str] | str = "",
        form: dict[str, str] | None = None,
        **changes: str,
    ) -> Page:
        """One request."""
        request = PageRequest(
            action=action,
            code_id=code_id,
            query=query if isinstance(query, str) else urlencode(query),
            body=urlencode(form or {}).encode(),
            cookies=self.cookies.get(code_id, ""),
            user_agent=AGENTS[self.wallet],
            accept_language=self.language,
            address=self.address,
        )
        answer = await self.shop.door.handle(replace(request, **changes))  # type: ignore[arg-type]  # texts
        if answer.cookie:
            self.cookies[code_id] = answer.cookie.partition(";")[0]
        return Page(answer)

    async def show(self, code_id: str = PRINTED, query: str = "") -> Page:
        return await self.ask(Action.SHOW, code_id, query)

    async def log_in(self, code_id: str = PRINTED, code: str = "good1") -> Page:
        """Scan, go through the wallet's log-in, and see the form."""
        sent = await self.show(code_id)
        assert sent.status == 302, (sent.status, sent.text)
        state = parse_qs(urlsplit(sent.location).query)["state"][0]
        returned = await self.back(code_id, state, code)
        assert returned.status == 303, (returned.status, returned.text)
        return await self.show(code_id)

    async def back(self, code_id: str, state: str, code: str = "good1") -> Page:
        """The wallet's log-in sends the browser back."""
        return await self.ask(Action.BACK, code_id, {CODE_NAMES[self.wallet]: code, "state": state})

    async def press(self, form: Page, code_id: str = PRINTED, **typed: str) -> Page:
        """The button of a form that was shown."""
        fields = {"form": form.field("form"), **typed}
        if form.field("o"):
            fields["o"] = form.field("o")
        return await self.ask(Action.PAY, code_id, form=fields)

    async def follow(self, page: Page, code_id: str = PRINTED) -> Page:
        """Go where a redirect to our own page leads, or load an order's page again."""
        place = page.location or page.attribute("data-page")
        assert place.startswith(f"/q/{code_id}"), place
        return await self.show(code_id, place.partition("?")[2])

    async def look(self, page: Page, code_id: str = PRINTED, more: str = "") -> PageResponse:
        """What the page's watch asks."""
        query = page.attribute("data-watch").partition("?")[2] + more
        return (await self.ask(Action.STATE, code_id, query)).answer
