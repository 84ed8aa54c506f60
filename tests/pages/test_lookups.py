"""Look-ups of a busy code: shared, and never older than the request."""

import asyncio

import pytest

from gateway.http.pages.lookups import SharedLookups


class SlowStore:
    """Answers when it is told to, with how things stood when it was asked."""

    def __init__(self) -> None:
        self.value = "open"
        self.asked = 0
        self.gate = asyncio.Event()
        self.fault: Exception | None = None

    async def find(self, key: str) -> str:
        self.asked += 1
        said = f"{key} {self.value}"
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        return said


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_comes_later_shares_the_next_look_up() -> None:
    """A hundred requests are two questions; the later ones see what changed before they came."""
    store = SlowStore()
    lookups = SharedLookups(store.find)
    first = asyncio.ensure_future(lookups.find("a"))
    await settle()
    store.value = "disabled"
    later = [asyncio.ensure_future(lookups.find("a")) for _ in range(99)]
    await settle()
    assert store.asked == 1
    store.gate.set()
    assert await first == "a open"
    assert set(await asyncio.gather(*later)) == {"a disabled"}
    assert store.asked == 2


async def test_keys_do_not_wait_for_each_other_and_nothing_is_kept() -> None:
    """Another code is another question; afterwards the next request asks anew."""
    store = SlowStore()
    lookups = SharedLookups(store.find)
    waiting = [asyncio.ensure_future(lookups.find(key)) for key in ("a", "b", "a", "a")]
    await settle()
    assert store.asked == 2
    store.gate.set()
    assert await asyncio.gather(*waiting) == ["a open", "b open", "a open", "a open"]
    store.value = "disabled"
    assert await lookups.find("a") == "a disabled"
    assert not lookups._under_way
    assert not lookups._next


async def test_a_fault_is_told_and_forgotten() -> None:
    """Everybody who waited for it hears of it; the next one asks again."""
    store = SlowStore()
    store.fault = OSError("away")
    lookups = SharedLookups(store.find)
    waiting = [asyncio.ensure_future(lookups.find("a")) for _ in range(3)]
    await settle()
    store.gate.set()
    told = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in told] == [OSError] * 3
    store.fault = None
    assert await lookups.find("a") == "a open"


async def test_one_who_goes_away_takes_nothing_from_the_others() -> None:
    """A cancelled request cancels no look-up that others wait for."""
    store = SlowStore()
    lookups = SharedLookups(store.find)
    first, second, third = (asyncio.ensure_future(lookups.find("a")) for _ in range(3))
    await settle()
    first.cancel()
    second.cancel()
    await settle()
    store.gate.set()
    assert await third == "a open"
    with pytest.raises(asyncio.CancelledError):
        await first
