"""One Chromium, one gateway with its sandbox, for the whole folder; a phone for each test."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from gateway.cli.free_ports import free_port
from tests.browser.counter import Counter, HurriedClock
from tests.browser.phones import PhoneShop, chromium
from tests.support.gateway import FAST, Running, installation_template, opened

__all__ = ["installation_template"]

WALLETS = ("alipay", "wechat", "unionpay_qr")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as it:
        yield it


@pytest.fixture(scope="session")
def clock() -> HurriedClock:
    return HurriedClock()


@pytest.fixture
def counter(running: Running, clock: HurriedClock) -> Counter:
    return Counter(running, clock)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def running(
    installation_template: Path, tmp_path_factory: pytest.TempPathFactory, clock: HurriedClock
) -> AsyncIterator[Running]:
    """A gateway that every wallet is open to."""
    folder = tmp_path_factory.mktemp("browser") / "place"
    tuning = replace(FAST, wechat_timeout_s="2")
    opening = opened(installation_template, folder, tuning, wallets=WALLETS)
    async with opening as place:
        port = free_port()  # the page must know its own address before it is open
        place.configure(http={"port": port, "public_url": f"https://127.0.0.1:{port}"})
        place.seams = replace(place.seams, clock=clock)
        async with place.gateway() as it:
            yield it


@pytest_asyncio.fixture(loop_scope="session")
async def phones(browser: Browser, running: Running) -> AsyncIterator[PhoneShop]:
    """Where the test gets its phones; they are put away after it."""
    shop = PhoneShop(browser, running.api.base_url, running.place.ports.wallets)
    try:
        yield shop
    finally:
        await shop.put_away()
