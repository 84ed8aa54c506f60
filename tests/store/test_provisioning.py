"""Merchants, terminals, sessions, keys and accounts, on both engines."""

from dataclasses import replace

import pytest

from domain.errors import Conflict, NotFound
from gateway.store.port import Account, ApiKey, Merchant, Store, Terminal, TerminalSession

SHOP = Merchant(merchant_no="m1", name="奶茶店", pos_merchant_id="123456789012345", created_at_ms=1)
TILL = Terminal(
    merchant_no="m1",
    terminal_id="T0000001",
    key_scheme="3des",
    mac="cup-ecb",
    allow_weak_pin=False,
    tmk_sealed=b"\x00\x01",
    tmk_kcv="08D7B4FB",
    created_at_ms=2,
)
SESSION = TerminalSession(
    merchant_no="m1",
    terminal_id="T0000001",
    version=1,
    signed_in=True,
    batch_no=7,
    signed_in_at_ms=3,
    keys_sealed=b"keys",
    previous_keys_sealed=b"",
)
KEY = ApiKey(key_id="k1", merchant_no="m1", secret_sealed=b"secret", created_at_ms=4)
ACCOUNT = Account(
    account_id="a1",
    channel="alipay",
    merchant_no="m1",
    settings_json='{"app_id": "1"}',
    secrets_sealed=b"s",
    created_at_ms=5,
)


async def test_merchants_are_listed_and_disabled(store: Store) -> None:
    """What was added is what is read."""
    await store.add_merchant(SHOP)
    assert list(await store.merchants()) == [SHOP]
    await store.disable_merchant("m1")
    assert list(await store.merchants()) == [replace(SHOP, disabled=True)]


@pytest.mark.parametrize(
    "other", [SHOP, replace(SHOP, merchant_no="m2")], ids=["number", "POS number"]
)
async def test_a_merchant_number_is_taken_once(store: Store, other: Merchant) -> None:
    """Neither of its two numbers can be given twice."""
    await store.add_merchant(SHOP)
    with pytest.raises(Conflict):
        await store.add_merchant(other)


async def test_a_terminal_is_found_by_what_its_messages_carry(store: Store) -> None:
    """F42 and F41 find the terminal, its merchant, and its session once it has one."""
    await store.add_merchant(SHOP)
    await store.add_terminal(TILL)
    assert await store.terminal(SHOP.pos_merchant_id, TILL.terminal_id) == (SHOP, TILL, None)
    assert await store.save_session(SESSION)
    assert await store.terminal(SHOP.pos_merchant_id, TILL.terminal_id) == (SHOP, TILL, SESSION)
    assert await store.terminal("999999999999999", TILL.terminal_id) is None
    assert await store.terminal(SHOP.pos_merchant_id, "T0000002") is None


async def test_terminals_are_listed_disabled_and_unique(store: Store) -> None:
    """A disabled terminal is still found: the flag says so."""
    await store.add_merchant(SHOP)
    await store.add_terminal(TILL)
    with pytest.raises(Conflict):
        await store.add_terminal(TILL)
    await store.disable_terminal("m1", TILL.terminal_id)
    assert list(await store.terminals()) == [replace(TILL, disabled=True)]
    found = await store.terminal(SHOP.pos_merchant_id, TILL.terminal_id)
    assert found is not None
    assert found[1].disabled


async def test_terminals_are_added_all_or_none(store: Store) -> None:
    """The first that exists is named, here or twice in the list itself."""
    await store.add_merchant(SHOP)
    tills = [replace(TILL, terminal_id=f"T000000{number}") for number in range(1, 5)]
    await store.add_terminals(tills[:2])
    with pytest.raises(Conflict, match="T0000002"):
        await store.add_terminals([tills[2], tills[1], tills[0]])
    with pytest.raises(Conflict, match="T0000004"):
        await store.add_terminals([tills[2], tills[3], tills[3]])
    assert list(await store.terminals()) == tills[:2]
    with pytest.raises(NotFound):
        await store.add_terminals([tills[2], replace(tills[3], merchant_no="m9")])
    await store.add_terminals([])
    await store.add_terminals(tills[2:])
    assert list(await store.terminals()) == tills


async def test_a_terminal_changes_its_key_and_its_options(store: Store) -> None:
    """Wherever it is read; its session stays as it is."""
    await store.add_merchant(SHOP)
    await store.add_terminal(TILL)
    assert await store.save_session(SESSION)
    await store.set_terminal_key("m1", TILL.terminal_id, b"\x02", "00962B60")
    await store.set_terminal_options("m1", TILL.terminal_id, '{"pad": "F"}')
    changed = replace(TILL, tmk_sealed=b"\x02", tmk_kcv="00962B60", options_json='{"pad": "F"}')
    assert list(await store.terminals()) == [changed]
    assert await store.terminal(SHOP.pos_merchant_id, TILL.terminal_id) == (SHOP, changed, SESSION)
    assert TILL.options_json == "{}"


async def test_a_session_moves_by_one_version(store: Store) -> None:
    """Two sign-ins at once: one wins, the other is told."""
    second = replace(SESSION, version=2, batch_no=8, keys_sealed=b"new")
    assert await store.save_session(SESSION)
    assert not await store.save_session(SESSION)
    assert not await store.save_session(replace(second, version=3))
    assert await store.save_session(second)
    assert not await store.save_session(second)


async def test_api_keys_come_with_their_merchant(store: Store) -> None:
    """Found, listed, unique, disabled."""
    await store.add_merchant(SHOP)
    await store.add_api_key(KEY)
    with pytest.raises(Conflict):
        await store.add_api_key(KEY)
    assert await store.api_key("k1") == (SHOP, KEY)
    assert await store.api_key("k2") is None
    await store.disable_api_key("k1")
    assert list(await store.api_keys()) == [replace(KEY, disabled=True)]


async def test_accounts_may_serve_one_merchant_or_all(store: Store) -> None:
    """An empty merchant needs no merchant."""
    everyone = replace(ACCOUNT, account_id="a0", merchant_no="")
    await store.add_account(everyone)
    await store.add_merchant(SHOP)
    await store.add_account(ACCOUNT)
    with pytest.raises(Conflict):
        await store.add_account(ACCOUNT)
    await store.disable_account("a0")
    assert list(await store.accounts()) == [replace(everyone, disabled=True), ACCOUNT]


async def test_a_merchant_that_does_not_exist_is_not_found(store: Store) -> None:
    """Nothing is provisioned for nobody."""
    with pytest.raises(NotFound):
        await store.add_terminal(TILL)
    with pytest.raises(NotFound):
        await store.add_api_key(KEY)
    with pytest.raises(NotFound):
        await store.add_account(ACCOUNT)


async def test_disabling_what_does_not_exist_is_not_found(store: Store) -> None:
    """A typing mistake is told; so for what is to be changed."""
    for refused in (
        store.disable_merchant("m9"),
        store.disable_terminal("m9", "T9"),
        store.disable_api_key("k9"),
        store.disable_account("a9"),
        store.set_terminal_key("m9", "T9", b"", ""),
        store.set_terminal_options("m9", "T9", "{}"),
    ):
        with pytest.raises(NotFound):
            await refused
