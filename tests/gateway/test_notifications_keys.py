"""Which API key signs what we send to a merchant: its oldest one that is not disabled."""

import pytest
import structlog

from gateway.directory import Directory, api_key_context
from gateway.store.port import ApiKey, Merchant, Store
from signing.keywrap import Sealer
from tests.gateway.outbox import HandClock

SEALER = Sealer(b"\x01" * 32, lambda count: b"\x02" * count)


@pytest.fixture
async def directory(store: Store) -> Directory:
    for number, merchant_no in enumerate(("m1", "m2"), 1):
        await store.add_merchant(
            Merchant(
                merchant_no=merchant_no,
                name="Shop",
                pos_merchant_id=f"99000000000000{number}",
                created_at_ms=0,
            )
        )
    return Directory(
        store=store,
        sealer=SEALER,
        clock=HandClock(),
        max_entries=10,
        fresh_s=10,
        log=structlog.get_logger(),
    )


async def add(store: Store, merchant_no: str, key_id: str, at_ms: int) -> None:
    sealed = SEALER.seal(f"secret of {key_id}".encode(), api_key_context(key_id))
    await store.add_api_key(
        ApiKey(key_id=key_id, merchant_no=merchant_no, secret_sealed=sealed, created_at_ms=at_ms)
    )


async def chosen(directory: Directory, merchant_no: str = "m1") -> str | None:
    directory._signing.forget(merchant_no)
    key = await directory.signing_key(merchant_no)
    if key is None:
        return None
    assert key.secret == f"secret of {key.key_id}".encode()
    assert "secret" not in repr(key)
    return key.key_id


async def test_the_oldest_enabled_key_signs(store: Store, directory: Directory) -> None:
    """Equal ages go by id; a disabled key gives way; another merchant's is never taken."""
    assert await chosen(directory) is None
    await add(store, "m2", "key_0", 1)
    assert await chosen(directory) is None
    await add(store, "m1", "key_c", 7)
    assert await chosen(directory) == "key_c"
    await add(store, "m1", "key_b", 5)
    await add(store, "m1", "key_a", 5)
    assert await chosen(directory) == "key_a"
    await store.disable_api_key("key_a")
    assert await chosen(directory) == "key_b"
    await store.disable_api_key("key_b")
    await store.disable_api_key("key_c")
    assert await chosen(directory) is None
    assert await chosen(directory, "m2") == "key_0"


async def test_a_change_of_keys_is_seen_within_the_fresh_time(store: Store) -> None:
    clock = HandClock()
    directory = Directory(
        store=store,
        sealer=SEALER,
        clock=clock,
        max_entries=10,
        fresh_s=10,
        log=structlog.get_logger(),
    )
    await store.add_merchant(
        Merchant(merchant_no="m1", name="S", pos_merchant_id="990000000000001", created_at_ms=0)
    )
    assert await directory.signing_key("m1") is None
    await add(store, "m1", "key_a", 1)
    assert await directory.signing_key("m1") is None
    clock.move(11)
    key = await directory.signing_key("m1")
    assert key is not None
    assert key.key_id == "key_a"
