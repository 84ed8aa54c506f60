"""The cache of callers: bounded, fresh, and blind to what is disabled."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from domain.errors import ConfigurationError, NotFound
from gateway.directory import (
    Directory,
    api_key_context,
    master_context,
    seal_keys,
    session_context,
)
from gateway.sources import random_bytes
from gateway.store.port import ApiKey, Merchant, Store, Terminal, TerminalSession
from signing.keywrap import Sealer
from signing.merchant import sign
from signing.pos import WorkingKeys

POS_ID = "990000000000001"
SECRET = b"an api secret"
MAC_KEY = bytes(range(8))


class SetClock:
    """Time as a test sets it."""

    s = 100.0

    def now_ms(self) -> int:
        return int(self.s * 1000)

    def monotonic_s(self) -> float:
        return self.s


class Counted:
    """A store that counts what is asked of it."""

    def __init__(self, real: Store) -> None:
        self._real = real
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*values: Any) -> Any:
            self.asked.append(name)
            return await getattr(self._real, name)(*values)

        return call


class Rig:
    """A directory over a provisioned store."""

    def __init__(self, store: Store, max_entries: int = 3) -> None:
        self.sealer = Sealer(bytes(32), random_bytes)
        self.clock = SetClock()
        self.said = LogCapture()
        self.real = store
        self.store = Counted(store)
        self.directory = Directory(
            store=self.store,  # type: ignore[arg-type]
            sealer=self.sealer,
            clock=self.clock,
            max_entries=max_entries,
            fresh_s=10,
            log=structlog.wrap_logger(None, processors=[self.said]),
        )

    async def provision(self, keys: int = 1) -> None:
        await self.real.add_merchant(
            Merchant(merchant_no="M1", name="n", pos_merchant_id=POS_ID, created_at_ms=1)
        )
        await self.real.add_terminal(
            Terminal(
                merchant_no="M1", terminal_id="99000001", key_scheme="3des", mac="cup-ecb",
                allow_weak_pin=False, tmk_kcv="", created_at_ms=1,
                tmk_sealed=self.sealer.seal(bytes(range(16)), master_context("M1", "99000001")),
            )
        )  # fmt: skip
        for number in range(keys):
            await self.real.add_api_key(self.key(f"key_{number}"))

    def key(self, key_id: str) -> ApiKey:
        sealed = self.sealer.seal(SECRET, api_key_context(key_id))
        return ApiKey(key_id=key_id, merchant_no="M1", secret_sealed=sealed, created_at_ms=1)

    async def sign_in(self, version: int = 1, mac: bytes = MAC_KEY) -> None:
        keys = WorkingKeys(pin=bytes(range(16)), mac=mac)
        context = session_context("M1", "99000001")
        assert await self.real.save_session(
            TerminalSession(
                merchant_no="M1", terminal_id="99000001", version=version, signed_in=True,
                batch_no=1, signed_in_at_ms=1, previous_keys_sealed=b"",
                keys_sealed=seal_keys(self.sealer, keys, context),
            )
        )  # fmt: skip


@pytest.fixture
async def rig(store: Store) -> Rig:
    rig = Rig(store)
    await rig.provision()
    return rig


async def test_a_key_is_opened_once_while_it_is_fresh(rig: Rig) -> None:
    """One read for many requests; the secret is right and not in its text."""
    for _ in range(5):
        known = await rig.directory.api_key("key_0")
        assert known is not None
        assert known.secret.sign(b"a call") == sign(SECRET, b"a call")
        assert known.merchant.merchant_no == "M1"
        assert "secret" not in repr(known)
    assert rig.store.asked == ["api_key"]


async def test_what_does_not_exist_is_remembered_too(rig: Rig) -> None:
    """A stranger does not cost a query each."""
    for _ in range(5):
        assert await rig.directory.api_key("key_nobody") is None
        assert await rig.directory.terminal(POS_ID, "99999999") is None
    assert rig.store.asked == ["api_key", "terminal"]


@pytest.mark.parametrize("disable", ["key", "merchant"])
async def test_a_disabled_key_stops_within_the_fresh_time(rig: Rig, disable: str) -> None:
    assert await rig.directory.api_key("key_0") is not None
    if disable == "key":
        await rig.real.disable_api_key("key_0")
    else:
        await rig.real.disable_merchant("M1")
    rig.clock.s += 10.1
    assert await rig.directory.api_key("key_0") is None


@pytest.mark.parametrize("disable", ["terminal", "merchant"])
async def test_a_disabled_terminal_stops_within_the_fresh_time(rig: Rig, disable: str) -> None:
    assert await rig.directory.terminal(POS_ID, "99000001") is not None
    if disable == "terminal":
        await rig.real.disable_terminal("M1", "99000001")
    else:
        await rig.real.disable_merchant("M1")
    rig.clock.s += 10.1
    assert await rig.directory.terminal(POS_ID, "99000001") is None


async def test_a_new_key_is_seen_within_the_fresh_time(rig: Rig) -> None:
    """Though it was asked for before it existed."""
    assert await rig.directory.api_key("key_new") is None
    await rig.real.add_api_key(rig.key("key_new"))
    assert await rig.directory.api_key("key_new") is None
    rig.clock.s += 10.1
    assert await rig.directory.api_key("key_new") is not None


async def test_the_cache_is_bounded(rig: Rig) -> None:
    """Strangers push out the oldest, never more than the bound each for keys and terminals."""
    for number in range(50):
        await rig.directory.api_key(f"key_stranger{number}")
        await rig.directory.terminal(POS_ID, f"{number:08d}")
        assert rig.directory.cached() <= 6
    assert rig.directory.cached() == 6


async def test_a_sign_in_is_seen_at_once_here(rig: Rig) -> None:
    """``terminal_changed`` forgets what was cached."""
    before = await rig.directory.terminal(POS_ID, "99000001")
    assert before is not None
    assert before.keys is None
    await rig.sign_in()
    rig.directory.terminal_changed(POS_ID, "99000001")
    after = await rig.directory.terminal(POS_ID, "99000001")
    assert after is not None
    assert after.keys is not None
    assert after.keys.open().mac.raw() == MAC_KEY
    assert after.previous_keys is None


async def test_a_doubted_terminal_is_read_again_but_not_for_a_forger(rig: Rig) -> None:
    """Once a second at most."""
    await rig.directory.terminal(POS_ID, "99000001")
    for _ in range(20):
        rig.directory.terminal_doubted(POS_ID, "99000001")
        await rig.directory.terminal(POS_ID, "99000001")
    assert rig.store.asked == ["terminal"]
    rig.clock.s += 1.1
    rig.directory.terminal_doubted(POS_ID, "99000001")
    await rig.directory.terminal(POS_ID, "99000001")
    assert rig.store.asked == ["terminal", "terminal"]


async def test_the_master_key_opens_for_its_terminal_only(rig: Rig) -> None:
    known = await rig.directory.terminal(POS_ID, "99000001")
    assert known is not None
    assert rig.directory.master_key(known.terminal).raw() == bytes(range(16))
    assert bytes(range(16)).hex() not in repr(known)


async def test_what_does_not_open_is_the_operators_fault_and_named(rig: Rig) -> None:
    """A terminal's master key, its working keys, an API key; never the key itself."""
    await rig.sign_in()
    known = await rig.directory.terminal(POS_ID, "99000001")
    assert known is not None and known.keys is not None
    rig.directory._sealer = Sealer(b"\x01" * 32, random_bytes)
    for ask in (lambda: rig.directory.master_key(known.terminal), known.keys.open):
        with pytest.raises(ConfigurationError):
            ask()
    for read in (rig.directory.api_key("key_0"), rig.directory.signing_key("M1")):
        with pytest.raises(ConfigurationError):
            await read
    names = [line.get("terminal_id") or line["key_id"] for line in rig.said.entries]
    assert names == ["99000001", "99000001", "key_0"]
    assert {line["log_level"] for line in rig.said.entries} == {"error"}


async def test_a_crowd_at_a_cold_cache_is_answered(rig: Rig) -> None:
    """Fifty at once, all right."""
    found = await asyncio.gather(*(rig.directory.api_key("key_0") for _ in range(50)))
    signature = sign(SECRET, b"a call")
    assert all(known is not None and known.secret.sign(b"a call") == signature for known in found)


async def test_what_cannot_be_disabled_is_said(rig: Rig) -> None:
    with pytest.raises(NotFound):
        await rig.real.disable_api_key("key_nobody")
