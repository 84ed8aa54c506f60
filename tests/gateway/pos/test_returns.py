"""Voids and refunds from a terminal: the payer gets back what was taken, and no more."""

import asyncio
from typing import Any

import pytest

from domain.clock import beijing_texts
from gateway.ledger_proof import LedgerProof
from gateway.refunds import Refunds
from sandbox.scenarios import ALIPAY_CODES, CARDS, Scenario
from tests.gateway.pos.foreign_terminal import Fields, ForeignTerminal, Reply
from tests.gateway.pos.house import House

CODE = ALIPAY_CODES[Scenario.APPROVED]
CARD = CARDS[Scenario.APPROVED]


async def sold(till: ForeignTerminal, amount_fen: int = 1990) -> tuple[Fields, Reply]:
    """An approved sale by code."""
    sale = till.scan_sale(CODE, amount_fen=amount_fen)
    answer = await till.ask("0200", sale)
    assert answer["39"] == "00"
    return sale, answer


async def test_a_void_returns_the_whole_once(house: House, till: ForeignTerminal) -> None:
    """00, its repeat gets the identical reply, a second void finds nothing left."""
    sale, answer = await sold(till)
    frame = till.pack("0200", till.void(sale, answer))
    voided = await till.ask_raw(frame)
    assert (voided["t"], voided["39"], "64" in voided) == ("0210", "00", True)
    assert (await till.ask_raw(frame)).raw == voided.raw
    await house.restart_gateway()
    assert (await till.ask_raw(frame)).raw == voided.raw
    assert (await till.ask("0200", till.void(sale, answer)))["39"] == "61"
    assert await house.charged_and_returned() == ([1990], [1990])


async def test_a_sale_by_code_is_given_its_voucher_number(till: ForeignTerminal) -> None:
    """F59 A4 of the answer: terminal, batch and trace; a void that names another is 25."""
    sale, answer = await sold(till)
    voucher = f"99100001{till.batch}{sale['11']}"
    assert f"A4020{voucher}" in answer["59"]
    wrong = till.void(sale, answer, {"59": "A4020" + voucher[:-1] + "9"})
    assert (await till.ask("0200", wrong))["39"] == "25"
    right = till.void(sale, answer, {"59": "A4020" + voucher})
    assert (await till.ask("0200", right))["39"] == "00"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"4": "000000001989"}, "64"),
        ({"61": "000001009999"}, "25"),
        ({"61": "000009000002"}, "25"),
        ({"37": "000000000000"}, "25"),
        ({"61": "12345"}, "30"),
        ({"61": ""}, "30"),
    ],
)
async def test_a_void_that_does_not_fit_changes_nothing(
    house: House, till: ForeignTerminal, changes: Fields, code: str
) -> None:
    sale, answer = await sold(till)
    assert (await till.ask("0200", till.void(sale, answer, changes)))["39"] == code
    assert await house.charged_and_returned() == ([1990], [0])


async def test_refunds_in_parts_never_exceed_the_sale(house: House, till: ForeignTerminal) -> None:
    """1990 = 1000 + 990; one fen more is 61, and so is a void after a part."""
    sale, answer = await sold(till)
    assert (await till.ask("0220", till.refund(sale, answer, 1000)))["39"] == "00"
    assert (await till.ask("0220", till.refund(sale, answer, 991)))["39"] == "61"
    assert (await till.ask("0200", till.void(sale, answer)))["39"] == "61"
    assert (await till.ask("0220", till.refund(sale, answer, 990)))["39"] == "00"
    assert (await till.ask("0220", till.refund(sale, answer, 1)))["39"] == "61"
    assert await house.charged_and_returned() == ([1990], [1990])


async def test_refunds_that_race_never_exceed_the_sale(house: House, till: ForeignTerminal) -> None:
    sale, answer = await sold(till)
    frames = [till.pack("0220", till.refund(sale, answer, 400)) for _ in range(8)]
    for frame in frames:
        await till.send(frame)
    codes = sorted([(await till.receive())["39"] for _ in frames])
    assert codes == ["00"] * 4 + ["61"] * 4
    assert await house.charged_and_returned() == ([1990], [1600])


async def test_a_refund_repeated_gets_the_same_reply_and_other_content_94(
    house: House, till: ForeignTerminal
) -> None:
    sale, answer = await sold(till)
    refund = till.refund(sale, answer, 500)
    frame = till.pack("0220", refund)
    first = await till.ask_raw(frame)
    assert (await till.ask_raw(frame)).raw == first.raw
    assert (await till.ask("0220", refund | {"4": "000000000501"}))["39"] == "94"
    assert await house.charged_and_returned() == ([1990], [500])


async def test_refund_of_a_sale_older_than_thirty_days_is_22(
    house: House, till: ForeignTerminal
) -> None:
    sale, answer = await sold(till)
    house.clock.ahead_s = 31 * 86_400
    await till.sign_in()
    assert (await till.ask("0220", till.refund(sale, answer, 500)))["39"] == "22"
    assert await house.charged_and_returned() == ([1990], [0])


async def test_yesterdays_sale_is_refunded_not_voided(house: House, till: ForeignTerminal) -> None:
    sale, answer = await sold(till)
    house.clock.ahead_s = 86_400
    await till.sign_in()
    assert (await till.ask("0200", till.void(sale, answer)))["39"] == "25"
    assert (await till.ask("0220", till.refund(sale, answer, 1990)))["39"] == "00"
    assert await house.charged_and_returned() == ([1990], [1990])


async def test_a_declined_sale_has_nothing_to_void(house: House, till: ForeignTerminal) -> None:
    sale = till.scan_sale(ALIPAY_CODES[Scenario.DECLINED])
    answer = await till.ask("0200", sale)
    assert answer["39"] != "00"
    assert (await till.ask("0200", till.void(sale, answer)))["39"] == "25"


async def test_another_terminals_sale_is_not_found(house: House, till: ForeignTerminal) -> None:
    sale, answer = await sold(till)
    other = await house.signed_in("99100002")
    foreign = other.void(sale | {"41": "99100002"}, answer)
    assert (await other.ask("0200", foreign))["39"] == "25"
    assert await house.charged_and_returned() == ([1990], [0])


def elsewhere(refund: Fields, terminal_id: str = "99100002") -> Fields:
    """The same message from another till."""
    return refund | {"41": terminal_id}


async def test_a_card_sale_is_refunded_at_another_till(house: House, till: ForeignTerminal) -> None:
    """In parts, at both; together never more than the sale; every till has these numbers."""
    other = await house.signed_in("99100002")
    sale = till.card_sale(CARD.pan, CARD.pin)
    answer = await till.ask("0200", sale)
    decoy = other.card_sale(CARD.pan, CARD.pin) | {"11": sale["11"]}
    assert (await other.ask("0200", decoy))["39"] == "00"
    part = elsewhere(other.refund(sale, answer, 990))
    assert (await other.ask("0220", part))["39"] == "00"
    assert (await till.ask("0220", till.refund(sale, answer, 1001)))["39"] == "61"
    assert (await till.ask("0220", till.refund(sale, answer, 1000)))["39"] == "00"
    charged, returned = await house.charged_and_returned()
    assert sorted(zip(charged, returned, strict=True)) == [(1990, 0), (1990, 1990)]


@pytest.mark.parametrize("left_out", ["37", "61", "2"])
async def test_at_another_till_everything_must_be_said(
    house: House, till: ForeignTerminal, left_out: str
) -> None:
    """Without a true reference, a day or the card nothing is found, and nothing moves."""
    other = await house.signed_in("99100002")
    sale = till.card_sale(CARD.pan, CARD.pin)
    answer = await till.ask("0200", sale)
    refund = elsewhere(other.refund(sale, answer, 990))
    changed = {
        "37": refund | {"37": "000000000001"},
        "61": refund | {"61": refund["61"][:12] + "0000"},
        "2": {name: value for name, value in refund.items() if name not in ("2", "35", "14")},
    }[left_out]
    assert (await other.ask("0220", changed))["39"] == "25"
    assert await house.charged_and_returned() == ([1990], [0])


async def test_a_sale_by_code_is_refunded_at_another_till(
    house: House, till: ForeignTerminal
) -> None:
    """Its voucher number says whose it is; without it there is no original."""
    sale, answer = await sold(till)
    other = await house.signed_in("99100002")
    bare = elsewhere(other.refund(sale, answer, 500))
    assert (await other.ask("0220", bare))["39"] == "25"
    named = bare | {"11": other.next_trace(), "59": f"A402099100001{till.batch}{sale['11']}"}
    assert (await other.ask("0220", named))["39"] == "00"
    assert await house.charged_and_returned() == ([1990], [500])


async def test_a_void_cannot_be_taken_back(house: House, till: ForeignTerminal) -> None:
    """22: the money is on its way; the sale stands no more, and an inquiry says so."""
    sale, answer = await sold(till)
    void = till.void(sale, answer)
    assert (await till.ask("0200", void))["39"] == "00"
    assert (await till.ask("0400", till.reversal(void)))["39"] == "22"
    told = await till.ask("0200", till.inquiry(sale))
    assert bytes.fromhex(told["62"]) == b"PGS1000"
    assert await house.charged_and_returned() == ([1990], [1990])


async def test_a_void_that_was_reversed_before_it_came_is_refused(
    house: House, till: ForeignTerminal
) -> None:
    """The reversal is 00, the late void changes nothing, and the sale stands."""
    sale, answer = await sold(till)
    void = till.void(sale, answer)
    reversal = till.pack("0400", till.reversal(void))
    first = await till.ask_raw(reversal)
    assert first["39"] == "00"
    assert (await till.ask("0200", void))["39"] == "94"
    assert (await till.ask_raw(reversal)).raw == first.raw
    told = await till.ask("0200", till.inquiry(sale))
    assert bytes.fromhex(told["62"]) == b"PGS1100"
    assert await house.charged_and_returned() == ([1990], [0])
    assert (await till.ask("0200", till.void(sale, answer)))["39"] == "00"


@pytest.mark.parametrize("stands", ["reversed", "failed", "pending"])
async def test_a_void_that_never_came_leaves_no_mark_on_a_sale_that_is_not_paid(
    house: House, till: ForeignTerminal, stands: str
) -> None:
    """Its reversal is 00, the void that comes after it 94 or refused, and the history is legal."""
    code = {"failed": Scenario.DECLINED, "pending": Scenario.NEVER_PAYS}.get(
        stands, Scenario.APPROVED
    )
    sale = till.scan_sale(ALIPAY_CODES[code])
    answering = asyncio.create_task(till.ask("0200", sale))
    begun = await house.begun(till, sale["11"])
    second = house.terminal(till.who)
    second.batch, second.mac_key, second.pin_key = till.batch, till.mac_key, till.pin_key
    if stands != "pending":
        await answering
    if stands == "reversed":
        assert (await till.ask("0400", till.reversal(sale)))["39"] == "00"
        await house.ended(till, sale["11"])
    heard: Any = {
        "13": beijing_texts(begun.order.created_at_ms)[1],
        "37": (await house.begun(till, sale["11"])).standing.channel_reference
        or begun.order.id[-12:],
    }
    void = second.void(sale, heard)
    frame = second.pack("0400", second.reversal(void))
    first = await second.ask_raw(frame)
    assert first["39"] == "00"
    assert (await second.ask_raw(frame)).raw == first.raw
    assert (await second.ask("0200", void))["39"] != "00"
    assert (await LedgerProof(house.gateway.store).run()).named == []
    answering.cancel()


@pytest.mark.parametrize("named", ["another trace", "nothing"])
async def test_a_reversal_that_names_its_original_badly_never_says_that_no_void_comes(
    house: House, till: ForeignTerminal, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    """The void has its number and is about to begin: 22, not 00 or 25, which would end it."""
    second = house.terminal(till.who)
    second.batch, second.mac_key, second.pin_key = till.batch, till.mac_key, till.pin_key
    sale, answer = await sold(till)
    void = till.void(sale, answer)
    begins, goes_on, create = asyncio.Event(), asyncio.Event(), Refunds.create

    async def slow(self: Refunds, *values: Any) -> Any:
        begins.set()
        await goes_on.wait()
        return await create(self, *values)

    monkeypatch.setattr(Refunds, "create", slow)
    voiding = asyncio.create_task(till.ask("0200", void))
    await begins.wait()
    reversal = till.reversal(void)
    original = bytes.fromhex(reversal["61"]).decode()
    said = f"{original[:6]}999999{original[12:]}" if named == "another trace" else "nothing"
    told = await second.ask("0400", reversal | {"61": said.encode().hex()})
    goes_on.set()
    assert (told["39"], (await voiding)["39"]) == ("22", "00")
    assert await house.charged_and_returned() == ([1990], [1990])


async def test_a_sale_that_is_being_refunded_is_not_reversed(
    house: House, till: ForeignTerminal
) -> None:
    """22 while something is kept, 25 (which ends the reversal) once all went back."""
    sale, answer = await sold(till)
    assert (await till.ask("0220", till.refund(sale, answer, 500)))["39"] == "00"
    assert (await till.ask("0400", till.reversal(sale)))["39"] == "22"
    assert (await till.ask("0220", till.refund(sale, answer, 1490)))["39"] == "00"
    assert (await till.ask("0400", till.reversal(sale)))["39"] == "25"
    assert await house.charged_and_returned() == ([1990], [1990])


async def test_a_void_and_its_reversal_at_once_agree(house: House, till: ForeignTerminal) -> None:
    """Whichever wins: 00 to the reversal means that the sale stands, 22 that it does not."""
    second = house.terminal(till.who)
    second.batch, second.mac_key, second.pin_key = till.batch, till.mac_key, till.pin_key
    for _ in range(5):
        sale, answer = await sold(till)
        void = till.void(sale, answer)
        voided, reversed_ = await asyncio.gather(
            till.ask("0200", void), second.ask("0400", till.reversal(void))
        )
        told = bytes.fromhex((await till.ask("0200", till.inquiry(sale)))["62"])
        assert (voided["39"], reversed_["39"], told[4:5]) in (
            ("00", "22", b"0"),
            ("94", "00", b"1"),
        )


@pytest.mark.parametrize(
    "changes",
    [{"22": "022", "59": ""}, {"60": "2100000100060"}, {"25": "06", "60": "2100000100060"}],
)
async def test_a_return_of_another_kind_finds_no_original(
    house: House, till: ForeignTerminal, changes: Fields
) -> None:
    """A sale by code is not voided as one by card, nor as a completion."""
    sale, answer = await sold(till)
    if changes.get("22"):
        changes = changes | {"2": CARD.pan}
    code = (await till.ask("0200", till.void(sale, answer, changes)))["39"]
    assert code in ("25", "40")
    assert await house.charged_and_returned() == ([1990], [0])


async def test_a_card_sale_is_not_voided_without_its_card(
    house: House, till: ForeignTerminal
) -> None:
    """As a sale by code it would need none."""
    sale = till.card_sale(CARD.pan, CARD.pin)
    answer = await till.ask("0200", sale)
    without = {
        "2": "",
        "14": "",
        "35": "",
        "22": "032",
        "59": "A2005" + "01002",
        "60": "2300000100060",
    }
    assert (await till.ask("0200", till.void(sale, answer, without)))["39"] in ("25", "30")
    assert await house.charged_and_returned() == ([1990], [0])


async def test_an_approval_says_acquirer_issuer_and_organisation(till: ForeignTerminal) -> None:
    """F32, F44 and F63, for cards and codes."""
    for sale, organisation in (
        (till.card_sale(CARD.pan, CARD.pin), "CUP"),
        (till.scan_sale(CODE), "000"),
    ):
        answer = await till.ask("0200", sale)
        assert (answer["32"], answer["44"], answer["63"]) == (
            "00000000",
            " " * 11 + "00000000   ",
            organisation,
        )
