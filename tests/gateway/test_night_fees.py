"""A day's fee in the ledger is what its latest bill says, however often it is told."""

from datetime import date

import pytest

from gateway.night_fees import FeePoster
from gateway.store.port import Store
from tests.reconciliation.fakes import SetClock
from tests.store.conftest import OpenStore, migrated_file, open_store, sqlite_url

__all__ = ["migrated_file", "open_store", "sqlite_url"]
DAY = date(2026, 3, 14)


@pytest.fixture
async def store(sqlite_url: str, open_store: OpenStore) -> Store:
    return await open_store(sqlite_url)


async def test_only_what_is_missing_is_posted(store: Store) -> None:
    poster = FeePoster(store, SetClock(1_000))
    for fee_fen in (600, 600, 650, 650, 20, 0, 0, 5):
        await poster("alipay", "a1", DAY, fee_fen)
        balances = await store.balances()
        assert balances["fees:alipay:a1", "CNY"] == fee_fen
        assert balances["channel:alipay:a1", "CNY"] == -fee_fen
    assert len(await store.postings("fee_a1_20260314")) == 2
    assert len(await store.postings("fee_a1_20260314_5")) == 2
    assert not await store.postings("fee_a1_20260314_6")


async def test_no_fee_is_no_entry(store: Store) -> None:
    await FeePoster(store, SetClock(1_000))("alipay", "a1", DAY, 0)
    assert not await store.balances()
