"""The card host's messages, without a link."""

import pytest

from channels.card import CardData, TerminalPin
from channels.port import PayRequest, Verdict
from channels.unionpay.card_codes import REVERSAL_CODES, SALE_CODES
from channels.unionpay.card_wire import (
    CardAccount,
    Reply,
    ZoneKeys,
    build_reversal,
    build_sale,
    is_order_number,
    order_number,
    read_reversal,
    read_sale,
)
from domain.clock import beijing_texts
from domain.decline import DeclineReason
from pos_protocol.codec import Message, decode, encode, encode_with_mac, mac_input
from signing.pos import CipherKey, mac_cup_ecb, verify_pin_block
from tests.channels.rigs import (
    MASTER,
    MERCHANT,
    PAN,
    TERMINAL,
    CardRig,
    answering,
    host_reply,
    ref_of,
    sale_fields,
)

ORDER = TERMINAL + "000123" + "000456"


def sale(request: PayRequest, rig: CardRig) -> Message:
    assert request.card is not None
    return decode(build_sale(request, request.card, rig.account, rig.keys))


def test_a_sale_carries_our_terminal_batch_and_trace_and_a_mac() -> None:
    rig = CardRig()
    request = rig.request(ORDER)
    assert request.card is not None
    payload = build_sale(request, request.card, rig.account, rig.keys)
    message = decode(payload)
    wanted = {
        2: PAN,
        3: "000000",
        4: "000000001990",
        11: "000456",
        14: "3012",
        22: "021",
        25: "00",
        26: "12",
        41: TERMINAL,
        42: MERCHANT,
        49: "156",
        53: "2600000000000000",
        60: "22000123000",
    }
    assert {number: message.fields[number] for number in wanted} == wanted
    assert payload[-8:] == rig.host.mac(mac_input(payload))


def test_the_pin_arrives_under_the_zone_key_with_the_pan() -> None:
    rig = CardRig()
    block = sale(rig.request(ORDER, pin="4321"), rig).data(52)
    assert verify_pin_block(block, "4321", PAN, CipherKey(rig.host.working.pin))


def test_a_sale_without_pin_sends_no_pin_fields_and_a_chip_sale_its_data() -> None:
    rig = CardRig()
    card = CardData(pan=PAN, entry_mode="052", sequence="001", icc_data=b"\x9f\x26\x00")
    asked = rig.request(ORDER)
    request = PayRequest(
        order_no=ORDER,
        amount_fen=asked.amount_fen,
        currency="CNY",
        subject="",
        created_at_ms=0,
        card=card,
    )
    message = sale(request, rig)
    assert not {26, 35, 36, 52, 53} & message.fields.keys()
    assert (message.text(23), message.data(55)) == ("001", b"\x9f\x26\x00")


def test_a_reversal_repeats_the_sale_and_drops_the_card() -> None:
    rig = CardRig()
    request = rig.request(ORDER)
    original = sale(request, rig)
    message = decode(build_reversal(ref_of(request), rig.account, rig.keys))
    assert message.mti == "0400"
    assert message.text(39) == "98"
    for number in (3, 4, 11, 22, 25, 41, 42, 49):
        assert message.fields[number] == original.fields[number]
    assert message.text(60)[:8] == original.text(60)[:8]
    assert not {2, 26, 35, 36, 37, 52, 53, 55} & message.fields.keys()


def read(rig: CardRig, answer: Message | bytes, request: PayRequest) -> Verdict:
    payload = answer if isinstance(answer, bytes) else encode_with_mac(answer, rig.host.mac)
    reply = Reply(payload, decode(payload))
    return read_sale(reply, request, rig.account, (rig.keys,)).verdict


def test_an_answers_text_form_shows_nothing_of_its_bytes() -> None:
    payload = b"bytes of a card"
    shown = repr(Reply(payload, Message(bytes(5), bytes(6), "0210", {2: PAN})))
    assert PAN not in shown
    assert payload.decode() not in shown


@pytest.mark.parametrize("code", sorted(SALE_CODES))
def test_every_listed_code_has_its_verdict_and_a_decline_its_reason(code: str) -> None:
    rig = CardRig()
    request = rig.request(ORDER)
    rule = SALE_CODES[code]
    answer = answering(code)(sale(request, rig))
    assert isinstance(answer, Message)
    assert read(rig, answer, request) is rule.verdict
    assert (rule.reason is not None) == (rule.verdict is Verdict.DECLINED)


@pytest.mark.parametrize("code", ["25", "64", "68", "90", "91", "92", "94", "96", "98", "A0", "A7"])
def test_codes_that_leave_it_open_are_not_listed(code: str) -> None:
    assert code not in SALE_CODES


def test_an_unsigned_decline_counts_unless_the_host_signs_its_refusals() -> None:
    rig, strict = CardRig(), CardRig()
    strict.account = CardAccount(
        merchant_id=MERCHANT,
        terminal_id=TERMINAL,
        tpdu=rig.account.tpdu,
        header=rig.account.header,
        master=CipherKey(MASTER),
        mac=mac_cup_ecb,
        declines_need_mac=True,
    )
    request = rig.request(ORDER)
    answer = encode(host_reply(sale(request, rig), sale_fields(sale(request, rig), "51")))
    assert read(rig, answer, request) is Verdict.DECLINED
    assert read(strict, answer, request) is Verdict.UNKNOWN


def test_a_partial_approval_is_unknown_so_that_the_part_goes_back() -> None:
    rig = CardRig()
    request = rig.request(ORDER)
    answer = answering("10", f4="000000000500")(sale(request, rig))
    assert isinstance(answer, Message)
    payload = encode_with_mac(answer, rig.host.mac)
    result = read_sale(Reply(payload, decode(payload)), request, rig.account, (rig.keys,))
    assert result.verdict is Verdict.UNKNOWN


def test_an_approval_under_the_next_keys_counts_and_under_foreign_ones_not() -> None:
    """A sale can be in flight while the link signs on again."""
    rig = CardRig()
    request = rig.request(ORDER)
    newer = ZoneKeys(CipherKey(bytes(16)), CipherKey(bytes(range(8))), mac_cup_ecb)
    payload = encode_with_mac(
        host_reply(sale(request, rig), sale_fields(sale(request, rig), "00")), newer.code
    )
    reply = Reply(payload, decode(payload))
    both = read_sale(reply, request, rig.account, (rig.keys, newer))
    assert both.verdict is Verdict.SUCCEEDED
    assert read_sale(reply, request, rig.account, (rig.keys,)).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("code", "means_paid", "verdict", "was_paid"),
    [
        ("00", True, Verdict.SUCCEEDED, True),
        ("00", False, Verdict.SUCCEEDED, None),
        ("12", True, Verdict.SUCCEEDED, False),
        ("25", True, Verdict.SUCCEEDED, False),
        ("96", True, Verdict.UNKNOWN, None),
        ("51", True, Verdict.UNKNOWN, None),
    ],
)
def test_only_three_codes_end_a_reversal(
    code: str, means_paid: bool, verdict: Verdict, was_paid: bool | None
) -> None:
    rig = CardRig()
    account = CardAccount(
        merchant_id=MERCHANT,
        terminal_id=TERMINAL,
        tpdu=rig.account.tpdu,
        header=rig.account.header,
        master=CipherKey(MASTER),
        mac=mac_cup_ecb,
        reversal_00_means_paid=means_paid,
    )
    ref = ref_of(rig.request(ORDER))
    asked = decode(build_reversal(ref, account, rig.keys))
    payload = encode_with_mac(host_reply(asked, sale_fields(asked, code)), rig.host.mac)
    undone = read_reversal(Reply(payload, decode(payload)), ref, account, (rig.keys,))
    assert (undone.verdict, undone.was_paid) == (verdict, was_paid)


@pytest.mark.parametrize(
    ("code", "verdict"),
    [("00", Verdict.SUCCEEDED), ("12", Verdict.DECLINED), ("25", Verdict.DECLINED)],
)
def test_nothing_to_reverse_is_not_believed_on_another_day(code: str, verdict: Verdict) -> None:
    """A host says 25 of every reversal of another day, charged or not: a person has to look."""
    rig = CardRig()
    ref = ref_of(rig.request(ORDER))
    asked = decode(build_reversal(ref, rig.account, rig.keys))
    own_day = beijing_texts(ref.created_at_ms)[1]
    fields = sale_fields(asked, code) | {13: "0101" if own_day != "0101" else "0102"}
    payload = encode_with_mac(host_reply(asked, fields), rig.host.mac)
    undone = read_reversal(Reply(payload, decode(payload)), ref, rig.account, (rig.keys,))
    assert undone.verdict is verdict


def test_a_reversed_answer_needs_its_mac() -> None:
    assert not REVERSAL_CODES["00"].unsigned
    rig = CardRig()
    ref = ref_of(rig.request(ORDER))
    asked = decode(build_reversal(ref, rig.account, rig.keys))
    payload = encode(host_reply(asked, sale_fields(asked, "00")))
    undone = read_reversal(Reply(payload, decode(payload)), ref, rig.account, (rig.keys,))
    assert undone.verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("sequence", "tail"),
    [
        (0, "000001000001"),
        (999_998, "000001999999"),
        (999_999, "000002000001"),
        (999_999 * 999_999, "000001000001"),
    ],
)
def test_batch_and_trace_count_from_one_and_wrap(sequence: int, tail: str) -> None:
    number = order_number(TERMINAL, sequence)
    assert number == TERMINAL + tail
    assert is_order_number(number, TERMINAL)


async def test_an_unreadable_pin_block_is_refused_and_nothing_is_sent() -> None:
    rig = CardRig()
    await rig.start()
    asked = rig.request(ORDER)
    card = CardData(
        pan=PAN,
        entry_mode="021",
        pin=TerminalPin(bytes(8), CipherKey(bytes(range(16))), with_pan=True),
    )
    request = PayRequest(
        order_no=asked.order_no,
        amount_fen=1,
        currency="CNY",
        subject="",
        created_at_ms=0,
        card=card,
    )
    answer = await rig.channel.pay(request)
    await rig.close()
    assert (answer.verdict, answer.reason) == (Verdict.DECLINED, DeclineReason.WRONG_PIN)
    assert answer.channel_code == "99"
    assert not rig.numbers
