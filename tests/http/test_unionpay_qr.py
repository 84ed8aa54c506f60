"""UnionPay QR at a running gateway before the simulated UnionPay: every end; books agree."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from gateway.cli.acp_ca import UNIONPAY_FILE, UNIONPAY_KEY_FILE
from gateway.cli.installed_unionpay_qr import ACCOUNT_ID, MER_ID
from gateway.cli.terminal_client import TerminalClient
from sandbox.scenarios import UNIONPAY_QR_CODES, Scenario
from signing.rsa import load_private_key
from signing.unionpay import rsa_signature
from tests.support.gateway import Running, opened

CHANNEL = "unionpay_qr"
APPROVED = UNIONPAY_QR_CODES[Scenario.APPROVED]


@pytest.fixture
async def running(installation_template: Path, tmp_path: Path) -> AsyncIterator[Running]:
    """A gateway whose one wallet is UnionPay's."""
    opening = opened(installation_template, tmp_path / "place", wallets=(CHANNEL,))
    async with opening as place, place.gateway() as it:
        yield it


async def paid(running: Running) -> Any:
    payment = (await running.api.pay(APPROVED)).json
    assert (payment["status"], payment["channel"]) == ("succeeded", CHANNEL)
    return payment


def notice(running: Running, payment: Any, **changes: str) -> bytes:
    """What UnionPay posts about a payment, signed with its key."""
    folder = running.place.folder
    params = {
        "version": "5.1.0",
        "signMethod": "01",
        "signPubKeyCert": (folder / UNIONPAY_FILE).read_text(),
        "merId": MER_ID,
        "orderId": payment["channel_order_no"],
        "txnType": "01",
        "txnSubType": "06",
        "txnAmt": "1990",
        "currencyCode": "156",
        "queryId": "951811221515371234568",
        "respCode": "00",
        **changes,
    }
    key = load_private_key((folder / UNIONPAY_KEY_FILE).read_bytes())
    return urlencode({**params, "signature": rsa_signature(params, key)}).encode()


async def told(running: Running, body: bytes) -> int:
    return (await running.api.send("POST", f"/notify/{CHANNEL}/{ACCOUNT_ID}", body)).status


async def test_a_scanned_code_is_paid_once_however_often_it_is_told(running: Running) -> None:
    payment = await paid(running)
    assert await running.place.charge(payment) == (1990, 0)
    for amount in ("1990", "1", "1990"):
        assert await told(running, notice(running, payment, txnAmt=amount)) == 200
    events = await running.gateway.store.events(payment["id"])
    assert [line.event.value for line in events].count("paid") == 1
    assert len(await running.gateway.store.postings(payment["id"])) == 2
    now = (await running.api.get(payment["id"])).json
    assert (now["status"], now["amount"], now["case_id"]) == ("succeeded", 1990, None)


async def test_a_notice_alone_pays_nothing(running: Running) -> None:
    """Truly signed, and the query says that the payer is still acting: that is what is booked."""
    never = UNIONPAY_QR_CODES[Scenario.NEVER_PAYS]
    payment = (await running.api.pay(never, wait_s=0)).json
    await told(running, notice(running, payment))
    now = (await running.api.get(payment["id"])).json
    assert now["status"] != "succeeded"
    forged = notice(running, payment).replace(b"txnAmt=1990", b"txnAmt=1")
    assert await told(running, forged) == 400
    assert await running.gateway.store.postings(payment["id"]) == []


async def test_a_refusal_has_the_channels_own_words(running: Running) -> None:
    payment = (await running.api.pay(UNIONPAY_QR_CODES[Scenario.DECLINED])).json
    assert (payment["status"], payment["error"]["code"]) == ("failed", "insufficient_funds")
    assert payment["error"]["channel_code"] == "64"
    assert await running.place.charge(payment) == (0, 0)


@pytest.mark.parametrize(
    ("stage", "ends", "money"), [("after", "succeeded", (1990, 0)), ("before", "closed", (0, 0))]
)
async def test_an_answer_that_never_comes_is_asked_about(
    running: Running, stage: str, ends: str, money: tuple[int, int]
) -> None:
    """Silence after the charge is a payment; silence before it is undone, once nothing can come."""
    await running.place.faults(CHANNEL, {"kind": "close", "match": "01/06", "stage": stage})
    started = (await running.api.pay(APPROVED, wait_s=0)).json
    payment = await running.api.final(started["id"])
    assert payment["status"] == ends
    assert await running.place.charge(payment) == money


async def test_a_part_and_the_rest_go_back_and_not_a_fen_more(running: Running) -> None:
    """Accepted first; only the query about each return makes it one."""
    payment = await paid(running)
    for amount in (500, 1490):
        asked = (await running.api.refund(payment["id"], amount)).json
        refund = await running.api.final_refund(asked["id"])
        assert (refund["status"], refund["amount"]) == ("succeeded", amount)
    assert await running.place.charge(payment) == (1990, 1990)
    over = await running.api.refund(payment["id"], 1)
    assert over.status in (409, 422)


async def test_the_whole_of_today_is_voided(running: Running) -> None:
    payment = await paid(running)
    asked = (await running.api.refund(payment["id"], 1990)).json
    refund = await running.api.final_refund(asked["id"])
    assert refund["status"] == "succeeded"
    assert await running.place.charge(payment) == (1990, 1990)


async def test_a_cancelled_payment_is_reversed(running: Running) -> None:
    payment = await paid(running)
    await running.api.cancel(payment["id"])
    assert (await running.api.final(payment["id"]))["status"] == "reversed"
    assert await running.place.charge(payment) == (1990, 1990)


async def test_answers_signed_by_another_end_nothing_until_good_ones_come(
    running: Running,
) -> None:
    await running.place.faults(CHANNEL, {"kind": "corrupt", "limit": 3})
    started = (await running.api.pay(APPROVED, wait_s=0)).json
    payment = await running.api.final(started["id"])
    assert payment["status"] == "succeeded"
    assert await running.place.charge(payment) == (1990, 0)


async def test_a_terminal_sells_by_code(running: Running) -> None:
    """The other door: the same payment, answered by F39."""
    client = TerminalClient(running.terminal())
    try:
        assert (await client.exchange(client.terminal.sign_in())).approved
        sold = await client.exchange(client.terminal.qr_sale(APPROVED, 700))
        refused = await client.exchange(
            client.terminal.qr_sale(UNIONPAY_QR_CODES[Scenario.DECLINED], 800)
        )
    finally:
        await client.close()
    assert (sold.approved, refused.approved, refused.response_code) == (True, False, "51")
    charges = [one for one in await running.place.charges() if one["channel"] == CHANNEL]
    assert [(one["charged_fen"], one["returned_fen"]) for one in charges] == [(700, 0)]


async def test_no_code_and_no_key_is_in_the_log(running: Running) -> None:
    payment = await paid(running)
    assert payment["id"]
    log = running.log_file.read_text()
    assert APPROVED not in log
    assert "BEGIN" not in log
    assert "signature=" not in log
