"""What was sealed under another master key: the operator's fault, told as one at both doors."""

from gateway.cli.terminal_client import TerminalClient
from gateway.directory import api_key_context, master_context
from gateway.sources import random_bytes
from gateway.store.port import ApiKey
from signing.keywrap import Sealer
from tests.support.gateway import Place

ELSE = Sealer(b"\x01" * 32, random_bytes)


async def test_what_does_not_open_is_named_and_refused(place: Place) -> None:
    """F39 96 and HTTP 503; the log names terminal and key, with what next and no traceback."""
    terminal_id = place.terminals[0].terminal_id
    async with place.session() as it:
        sealed = ELSE.seal(bytes(range(16)), master_context("M0001", terminal_id))
        await it.store.set_terminal_key("M0001", terminal_id, sealed, "000000")
        await it.store.add_api_key(
            ApiKey(
                key_id="key_else",
                merchant_no="M0001",
                secret_sealed=ELSE.seal(b"s", api_key_context("key_else")),
                created_at_ms=1,
            )
        )
    async with place.gateway() as running:
        header = running.api.authorization("GET", "/v1/payments/pay_x", key_id="key_else")
        reply = await running.api.send(
            "GET", "/v1/payments/pay_x", headers={"Authorization": header}
        )
        assert (reply.status, reply.code) == (503, "unavailable")
        client = TerminalClient(running.terminal())
        try:
            answer = await client.exchange(client.terminal.sign_in())
        finally:
            await client.close()
        assert answer.response_code == "96"
        async with place.session() as it:
            found = await it.store.terminal("990000000000001", terminal_id)
            assert found is not None
            assert found[2] is None  # no sign-in was kept: the keys before stay the good ones
    lines = running.lines()
    said = [line for line in lines if line["event"] == "sealed under another master key"]
    assert [line.get("key_id") or line["terminal_id"] for line in said] == ["key_else", terminal_id]
    assert all(line["level"] == "error" and "posgate" in line["next"] for line in said)
    assert not any("exception" in line for line in lines)
