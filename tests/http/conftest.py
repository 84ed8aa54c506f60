"""A running gateway for the tests of the HTTPS door."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.gateway import Running, installation_template, opened, place, running
from tests.support.postgres import postgres_server, postgres_url

__all__ = ["installation_template", "place", "postgres_server", "postgres_url", "running"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing(
    installation_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    """One gateway for a whole module of questions that change nothing."""
    folder = tmp_path_factory.mktemp("standing") / "place"
    async with opened(installation_template, folder) as it, it.gateway() as gateway:
        yield gateway
