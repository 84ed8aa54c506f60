"""Phones for the tests: Chromium dressed as an app's in-app browser, and the payer's hands.

Rules: the page is opened at the gateway's own https origin, so that its cookies, its policy and
its redirects are the real ones; only what an app brings along is put in: the user agent, the
JS bridge as a script of the browser's own, and the app's calls home, which are answered by the
running sandbox. Nothing here knows the page's inside; the tests do.
"""

import contextlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Page,
    Request,
    Route,
    ViewportSize,
    async_playwright,
)

from sandbox.wallet_acts import PASSWORD
from sandbox.wallet_apps import OWN_PREFIX, WalletApp

CHROMIUM = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
SCREEN: ViewportSize = {"width": 390, "height": 780}
DESKTOP: ViewportSize = {"width": 1100, "height": 800}
PATIENCE_MS = 20_000
SCREENSHOTS = "POSGATE_SCREENSHOTS"
"""Names a folder: every :meth:`Phone.picture` goes there, to be looked at."""


def chromium_file() -> str:
    """The machine's Chromium; its absence is a failure, never a skip."""
    for name in (os.environ.get("POSGATE_CHROMIUM", ""), *CHROMIUM):
        if name and Path(name).exists():
            return name
    raise FileNotFoundError("Chromium is missing: bash tests/provide.sh installs it")


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """One browser process; each phone is a context of its own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium_file(),
            # The tests may run as root in a container, where Chromium's own sandbox cannot.
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
        )
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Phone:
    """One payer's phone with one page open; ``faults`` is what the page did wrong."""

    page: Page
    context: BrowserContext
    app: WalletApp | None
    faults: list[str] = field(default_factory=list)
    fetched: dict[str, int] = field(default_factory=dict)
    """Every address that was fetched, with the size of what came."""

    async def state(self, *wanted: str) -> str:
        """Wait until the merchant's page is in one of these states; which."""
        choices = ", ".join(f'body[data-state="{one}"]' for one in wanted)
        await self.page.wait_for_selector(choices, state="attached")
        return str(await self.page.get_attribute("body", "data-state"))

    async def pays(self, act: str = "pays", password: str = PASSWORD) -> None:
        """Type the password into the app's box and press its button."""
        await self.page.fill("#wallet-password", password, timeout=PATIENCE_MS)
        await self.page.select_option("#wallet-act", act)
        await self.page.click("#wallet-pay")

    async def amount_asked(self) -> str:
        """What the app's box says is to be paid."""
        return await self.page.inner_text("#wallet-amount", timeout=PATIENCE_MS)

    async def opened(self) -> str:
        """What the page handed to the app's bridge: the order that the app knows."""
        handed = await self.page.locator("#order").get_attribute("data-parameters") or "{}"
        words: dict[str, str] = json.loads(handed)
        return words.get("tradeNO", "") or words.get("package", "")

    async def cancels(self) -> None:
        """Close the app's box without paying."""
        await self.page.click("#wallet-cancel", timeout=PATIENCE_MS)

    async def takes_note(self) -> None:
        """Close what the app can only say."""
        await self.page.click("#wallet-close", timeout=PATIENCE_MS)

    async def picture(self, name: str) -> None:
        """A screenshot, if somebody wants to look."""
        folder = os.environ.get(SCREENSHOTS)
        if folder:
            await self.page.screenshot(path=str(Path(folder) / f"{name}.png"))


class PhoneShop:
    """Makes phones for one gateway and its sandbox."""

    def __init__(self, browser: Browser, gateway_url: str, wallets_port: int) -> None:
        self._browser = browser
        self._gateway_url = gateway_url
        self._wallets = f"http://127.0.0.1:{wallets_port}"
        self._made: list[BrowserContext] = []

    async def phone(
        self, app: WalletApp | None, *, language: str = "zh-CN", bridge: bool = True
    ) -> Phone:
        """A new phone; without an app it is a desktop browser.

        ``bridge=False`` leaves out what the app brings: the user agent alone claims it.
        """
        context = await self._browser.new_context(
            user_agent=app.user_agent if app is not None else None,
            viewport=SCREEN if app is not None else DESKTOP,
            has_touch=app is not None,
            locale=language,
            ignore_https_errors=True,
        )
        self._made.append(context)
        context.set_default_timeout(PATIENCE_MS)
        if app is not None and bridge:
            await self._be(app, context)
        page = await context.new_page()
        phone = Phone(page, context, app)
        page.on("pageerror", lambda error: phone.faults.append(str(error)))
        page.on("console", _note_errors(phone))
        page.on("requestfinished", _note_size(phone))
        return phone

    async def _be(self, app: WalletApp, context: BrowserContext) -> None:
        """Give the context the app's bridge, and answer the bridge's calls."""
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{self._wallets}{OWN_PREFIX}{app.key}/bridge.js") as answer,
        ):
            script = await answer.text()
        await context.add_init_script(script)
        await context.route(f"{self._gateway_url}{OWN_PREFIX}**", self._answer)

    async def _answer(self, route: Route) -> None:
        path = route.request.url.removeprefix(self._gateway_url)
        async with (
            aiohttp.ClientSession() as http,
            http.post(
                self._wallets + path,
                data=route.request.post_data_buffer,
                headers={"Content-Type": "application/json"},
            ) as answer,
        ):
            await route.fulfill(
                status=answer.status,
                body=await answer.read(),
                content_type="application/json",
            )

    async def put_away(self) -> None:
        """Close every phone that was made."""
        while self._made:
            await self._made.pop().close()


def _note_errors(phone: Phone) -> Callable[[ConsoleMessage], None]:
    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            phone.faults.append(message.text)

    return note


def _note_size(phone: Phone) -> Callable[[Request], Awaitable[None]]:
    async def note(request: Request) -> None:
        with contextlib.suppress(Error):  # the page may be gone by then
            sizes = await request.sizes()
            phone.fetched[request.url] = sizes["responseBodySize"]

    return note


def outside(phone: Phone, allowed: Sequence[str]) -> list[str]:
    """The addresses that the phone fetched from anywhere but ``allowed``."""
    return [url for url in phone.fetched if not url.startswith((*allowed, "data:", "about:"))]
