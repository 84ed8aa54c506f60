"""A running shop for each test, from one template."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.gateway.pos.foreign_terminal import ForeignTerminal
from tests.gateway.pos.house import House, Plan, make_template, open_house

OpenHouse = Callable[[Plan], contextlib.AbstractAsyncContextManager[House]]


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The usual event loop, and for a module that has ``EVENT_LOOPS`` those it names."""
    named: Mapping[str, Callable[[], asyncio.AbstractEventLoop]] = getattr(
        getattr(item, "module", None), "EVENT_LOOPS", {"asyncio": asyncio.new_event_loop}
    )
    return named


@pytest.fixture(scope="session")
def house_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation that every test copies."""
    folder = tmp_path_factory.mktemp("house") / "template"
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(make_template(folder))).result()


@pytest.fixture
def open_shop(house_template: Path, tmp_path: Path) -> OpenHouse:
    """For tests that need a shop of another plan."""
    return lambda plan: open_house(house_template, tmp_path / "house", plan)


@pytest.fixture
async def house(open_shop: OpenHouse) -> AsyncIterator[House]:
    """The usual shop."""
    async with open_shop(Plan()) as opened:
        yield opened


@pytest.fixture
async def till(house: House) -> ForeignTerminal:
    """A terminal of the usual shop, signed in."""
    return await house.signed_in()
