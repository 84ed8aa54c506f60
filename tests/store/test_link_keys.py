"""Keys that processes share: one fetches at a time, and a version is replaced once."""

import asyncio

import pytest

from channels.kept_keys import KeptKeys, KeyKeeper
from tests.store.conftest import OpenStore
from tests.support.kept_keys import KeptInMemory

LINK = "unionpay_card:m:t"


@pytest.fixture(params=["sqlite", "emptied_postgres", "memory"])
async def keepers(
    request: pytest.FixtureRequest, open_store: OpenStore
) -> tuple[KeyKeeper, KeyKeeper]:
    """Two processes' views of one place; the fake of other tests is held to the same."""
    if request.param == "memory":
        kept = KeptInMemory()
        return kept, kept
    url = request.getfixturevalue(f"{request.param}_url")
    return await open_store(url), await open_store(url)


async def test_nothing_is_kept_until_a_lease_holder_keeps_it(
    keepers: tuple[KeyKeeper, KeyKeeper],
) -> None:
    one, other = keepers
    assert await one.kept_keys(LINK) is None
    assert await one.claim_keys(LINK, 0, "a", 1_000, 2_000)
    assert await other.kept_keys(LINK) is None
    assert await one.keep_keys(LINK, 0, b"\x00wrapped\xff", 1_500)
    assert await other.kept_keys(LINK) == KeptKeys(
        version=1, wrapped=b"\x00wrapped\xff", made_at_ms=1_500
    )
    assert await other.kept_keys("unionpay_card:m:another") is None


async def test_a_lease_keeps_others_out_until_it_ends_and_never_its_owner(
    keepers: tuple[KeyKeeper, KeyKeeper],
) -> None:
    one, other = keepers
    assert await one.claim_keys(LINK, 0, "a", 1_000, 2_000)
    assert not await other.claim_keys(LINK, 0, "b", 1_999, 9_000)
    assert await one.claim_keys(LINK, 0, "a", 1_500, 2_500)
    assert not await other.claim_keys(LINK, 0, "b", 2_499, 9_000)
    assert await other.claim_keys(LINK, 0, "b", 2_500, 9_000)


async def test_a_version_that_moved_is_neither_claimed_nor_overwritten(
    keepers: tuple[KeyKeeper, KeyKeeper],
) -> None:
    """Who slept through its lease keeps nothing: the later sign-on's keys stand."""
    one, other = keepers
    assert await one.claim_keys(LINK, 0, "a", 1_000, 2_000)
    assert await other.claim_keys(LINK, 0, "b", 3_000, 4_000)
    assert await other.keep_keys(LINK, 0, b"later", 3_100)
    assert not await one.keep_keys(LINK, 0, b"earlier", 3_200)
    assert not await one.claim_keys(LINK, 0, "a", 9_000, 9_999)
    kept = await one.kept_keys(LINK)
    assert (kept is not None) and (kept.version, kept.wrapped) == (1, b"later")
    assert await one.claim_keys(LINK, 1, "a", 9_000, 9_999)


async def test_of_many_at_once_one_has_the_lease(keepers: tuple[KeyKeeper, KeyKeeper]) -> None:
    tries = (keepers[n % 2].claim_keys(LINK, 0, f"p{n}", 1_000, 2_000) for n in range(8))
    assert sum(await asyncio.gather(*tries)) == 1


def test_kept_keys_show_in_no_text() -> None:
    assert "secret" not in repr(KeptKeys(version=1, wrapped=b"secret", made_at_ms=0))
