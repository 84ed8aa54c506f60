"""``posgate terminal show-code``: drawn, renewed, asked about, and told once it is paid."""

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from aiohttp import ClientSession

from gateway.checkout.port import Payer
from gateway.cli import terminal_asks
from gateway.cli.installation import MERCHANT_NO
from gateway.cli.terminal_code import drawn, show_code
from gateway.cli.terminal_given import Given
from gateway.cli.terminal_receipt import print_receipt, receipt
from gateway.cli.terminal_till import Till
from pos_protocol.fields.live_code import ShownCode
from pos_protocol.fields.payment_status import PaymentState
from tests.support.gateway import Place, Running, installation_template, place

__all__ = ["installation_template", "place"]


@pytest.fixture
async def running(place: Place) -> AsyncIterator[Running]:
    """A gateway with a public address, whose terminal may show codes."""
    place.configure(http={"public_url": "https://pay.example"}, checkouts={"code_renew_s": 5})
    terminal_id = place.terminals[0].terminal_id
    async with place.session() as it:
        await it.store.set_terminal_options(MERCHANT_NO, terminal_id, '{"live_code":"true"}')
    async with place.gateway() as gateway:
        yield gateway


async def pays(running: Running, code: str) -> None:
    """A payer scans it and pays."""
    pages = running.gateway.core.checkouts
    order = await pages.scanned(code.rpartition("/")[2])
    assert order is not None
    payer = Payer(wallet="alipay", payer_id="2088100000000001")
    begun = await pages.begin(order.checkout_id, payer)
    body = orjson.dumps({"order": begun.parameters["tradeNO"]})
    url = f"http://127.0.0.1:{running.place.ports.control}/pay"
    async with ClientSession() as http, http.post(url, data=body) as answer:
        assert answer.status == 200
    await pages.ask(order.checkout_id)


async def test_codes_are_shown_until_the_order_is_paid(running: Running, tmp_path: Path) -> None:
    """The second code is the same order's; the slip's state is what the gateway said."""
    till = Till(running.terminal(), tmp_path / "till.json")
    await till.do(lambda it: it.terminal.sign_in())
    shown: list[ShownCode] = []
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(shown) == 2:
            await pays(running, shown[1].code)

    try:
        done, state = await show_code(till, Given(amount=1990), shown.append, wait)
    finally:
        await till.close()
    assert state is PaymentState.PAID
    assert done.outcome.approved
    assert len(shown) == 2
    assert max(one.shown_s for one in shown) <= 5
    assert all(seconds <= 2 for seconds in waits)
    assert till.journal.lines == []  # nothing that a terminal would reverse
    charged = [one["charged_fen"] for one in await running.place.charges()]
    assert charged == [1990]


async def test_the_printed_result_has_the_code(
    running: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    till = Till(running.terminal(), tmp_path / "till.json")
    try:
        await till.do(lambda it: it.terminal.sign_in())
        done = await till.do(lambda it: terminal_asks.live_code(it, Given(amount=1990)))
    finally:
        await till.close()
    row = receipt(till.place, "live-code", done)
    print_receipt(row, as_json=False)
    said = capsys.readouterr().out
    assert row["code"] in said.splitlines()
    assert f"{row['shown_s']} s" in said


async def test_a_terminal_that_may_not_shows_nothing(running: Running, tmp_path: Path) -> None:
    """The gateway's 40 is the end of it."""
    terminal_id = running.place.terminals[0].terminal_id
    await running.gateway.store.set_terminal_options(MERCHANT_NO, terminal_id, "{}")
    till = Till(running.terminal(), tmp_path / "till.json")
    await till.do(lambda it: it.terminal.sign_in())
    shown: list[ShownCode] = []
    try:
        done, state = await show_code(till, Given(amount=1990), shown.append)
    finally:
        await till.close()
    assert (state, shown, done.outcome.response_code) == (None, [], "40")


def test_a_code_is_drawn_square_and_dark_on_light() -> None:
    """Half blocks, a quiet zone around, nothing of the address in clear."""
    lines = drawn("https://pay.example/q/Labc").splitlines()
    assert len(lines) > 10
    assert "pay.example" not in "".join(lines)
