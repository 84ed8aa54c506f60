"""The day at a glance in a real browser: every chart is drawn, and nobody is asked for anything."""

from pathlib import Path

import pytest
from playwright.async_api import Browser

from reconciliation.day_figures import day_figures
from reconciliation.day_page import PAGE_NAME, day_page
from tests.reconciliation.test_day_page import DAY, the_day

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_its_charts_are_drawn_without_a_network(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / PAGE_NAME
    file.write_bytes(day_page(DAY, day_figures(the_day(tmp_path)), []))
    context = await browser.new_context(offline=True)
    page = await context.new_page()
    asked: list[str] = []
    told: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda fault: told.append(str(fault)))
    await page.goto(file.as_uri())
    assert await page.evaluate("document.documentElement.dataset.drawn") == "4"
    assert await page.locator("figure canvas").count() == 4
    assert (asked, told) == ([file.as_uri()], [])
    await context.close()
