"""The terminal's side, joined back to back with the host's."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from pos_protocol.card import Card, CardEntry, chip_card, luhn_valid, magnetic_card
from pos_protocol.codec import Message, decode, encode, encode_with_mac, mac_input
from pos_protocol.framing import frame
from pos_protocol.session import HostSession, Received, reply_to
from pos_protocol.terminal import (
    AnswerFault,
    Outcome,
    Request,
    Terminal,
    TerminalIdentity,
    TerminalScheme,
)
from pos_protocol.tlv import ber_build, ber_items
from pos_protocol.transactions import TransactionKind, identify, missing_fields

PAN = "9900001234567899"
CODE = "289900000000000017"


def digest_mac(data: bytes) -> bytes:
    """A stand-in for the real MAC: depends on every byte, has the right shape."""
    return hashlib.sha256(data).hexdigest()[:8].upper().encode()


@dataclass
class FakeCrypto:
    """A security module without cryptography; remembers what it was given."""

    keys_fit: bool = True
    taken: list[tuple[TerminalScheme, bytes]] = field(default_factory=list)

    def unwrap_keys(self, scheme: TerminalScheme, keys: bytes) -> bool:
        self.taken.append((scheme, keys))
        return self.keys_fit

    def mac(self, data: bytes) -> bytes:
        return digest_mac(data)

    def pin_block(self, pin: str, pan: str) -> bytes:
        return hashlib.sha256(f"{pin}/{pan}".encode()).digest()[:8]


def terminal(
    scheme: TerminalScheme = TerminalScheme.TDES, *, trace: int = 1, keys_fit: bool = True
) -> Terminal:
    identity = TerminalIdentity(terminal_id="T0000001", merchant_id="M" * 15, scheme=scheme)
    return Terminal(identity, FakeCrypto(keys_fit), trace=trace)


def host_sees(request: Request) -> Message:
    """Send through framing and the host session; the request must be complete and sound."""
    (event,) = HostSession().receive_data(frame(request.payload))
    assert isinstance(event, Received)
    row = identify(event.message)
    assert row is not None
    assert missing_fields(event.message, row) == ()
    if row.has_mac:
        assert event.message.fields[64] == digest_mac(mac_input(event.payload))
    else:
        assert 64 not in event.message.fields
    assert event.message == request.message
    return event.message


def answer(
    request: Request,
    fields: dict[int, str | bytes],
    *,
    mac: Callable[[bytes], bytes] | None = digest_mac,
) -> bytes:
    message = reply_to(host_sees(request), fields)
    return encode_with_mac(message, mac) if mac else encode(message)


def sign_in(device: Terminal, batch: str = "000123") -> Outcome:
    request = device.sign_in()
    f60 = "00" + batch + device.identity.scheme.value
    fields: dict[int, str | bytes] = {39: "00", 60: f60, 62: bytes(40)}
    return device.read(request, answer(request, fields, mac=None))


def test_sign_in_takes_keys_and_batch() -> None:
    """The answer's F62 goes to the security module, its 60.2 becomes the batch."""
    device = terminal(TerminalScheme.TDES_TDK)
    outcome = sign_in(device)
    assert outcome.approved
    assert device.signed_in
    assert device.batch == "000123"
    assert isinstance(device._crypto, FakeCrypto)
    assert device._crypto.taken == [(TerminalScheme.TDES_TDK, bytes(40))]
    row = identify(device.sign_in().message)
    assert row is not None
    assert row.kind is TransactionKind.SIGN_IN


def test_wrong_check_values_leave_it_signed_out() -> None:
    device = terminal(keys_fit=False)
    outcome = sign_in(device)
    assert outcome.fault is AnswerFault.BAD_KEYS
    assert not outcome.approved
    assert not device.signed_in
    assert device.batch == "000000"


@pytest.mark.parametrize("code", ["77", "99", "A0"])
def test_some_codes_end_the_sign_in(code: str) -> None:
    """Reference §6: the terminal signs in again after A0, 99 and 77."""
    device = terminal()
    sign_in(device)
    request = device.qr_sale(CODE, 100)
    assert not device.read(request, answer(request, {39: code})).approved
    assert not device.signed_in


def test_a_swiped_sale_with_pin() -> None:
    device = terminal()
    sign_in(device)
    message = host_sees(device.sale(magnetic_card(PAN, "3012"), 12345, pin="123456"))
    assert message.fields == {
        3: "000000", 4: "000000012345", 11: "000002", 22: "021", 25: "00", 26: "12",
        35: f"{PAN}=30121200000000000", 41: "T0000001", 42: "M" * 15, 49: "156",
        52: FakeCrypto().pin_block("123456", PAN), 53: "2600000000000000", 60: "2200012300020",
        64: message.fields[64],
    }  # fmt: skip


def test_a_chip_sale_without_pin() -> None:
    icc = ber_build([("9F26", bytes(8)), ("95", bytes(5))])
    message = host_sees(terminal().sale(chip_card(PAN, "3012", icc), 1))
    assert message.fields[2] == PAN
    assert message.fields[14] == "3012"
    assert message.fields[22] == "052"
    assert message.fields[23] == "001"
    assert message.fields[55] == icc
    assert message.text(60)[11:] == "50"
    assert not {26, 52, 53} & set(message.fields)


@pytest.mark.parametrize(
    ("scheme", "security_control"),
    [(TerminalScheme.DES, "20"), (TerminalScheme.TDES_TDK, "26"), (TerminalScheme.SM4, "23")],
)
def test_f53_says_how_the_pin_is_encrypted(scheme: TerminalScheme, security_control: str) -> None:
    message = host_sees(terminal(scheme).sale(magnetic_card(PAN, "3012"), 1, pin="1234"))
    assert message.text(53) == security_control + "0" * 14


def test_a_scanned_sale() -> None:
    message = host_sees(terminal().qr_sale(CODE, 100))
    assert message.text(22) == "032"
    assert message.text(59) == "A3018" + CODE
    assert not {2, 35, 52} & set(message.fields)


def test_an_approved_answer_is_read() -> None:
    device = terminal()
    request = device.sale(magnetic_card(PAN, "3012"), 100)
    outcome = device.read(request, answer(request, {39: "00", 37: "123456789012", 38: "654321"}))
    assert outcome.approved
    assert outcome.reversal_reason == ""
    assert (outcome.reference, outcome.auth_code, outcome.amount_fen) == ("123456789012", "654321", 100)  # fmt: skip
    assert PAN not in repr(outcome)
    assert "654321" not in repr(outcome)


def test_a_declined_answer_needs_no_mac_and_no_reversal() -> None:
    device = terminal()
    request = device.sale(magnetic_card(PAN, "3012"), 100)
    outcome = device.read(request, answer(request, {39: "51"}, mac=None))
    assert not outcome.approved
    assert outcome.response_code == "51"
    assert outcome.fault is None
    assert outcome.reversal_reason == ""


def test_an_approval_without_a_good_mac_is_reversed_with_a0() -> None:
    """Wrong or missing, the approval proves nothing."""
    device = terminal()
    request = device.qr_sale(CODE, 100)
    for payload in (
        answer(request, {39: "00"}, mac=lambda _: b"00000000"),
        answer(request, {39: "00"}, mac=None),
    ):
        outcome = device.read(request, payload)
        assert not outcome.approved
        assert outcome.fault is AnswerFault.BAD_MAC
        assert outcome.reversal_reason == "A0"


@pytest.mark.parametrize(
    "changed",
    [
        {3: "200000"},
        {4: "000000000099"},
        {11: "000009"},
        {41: "T0000002"},
        {42: "N" * 15},
    ],
)
def test_an_answer_to_something_else_is_no_answer(changed: dict[int, str | bytes]) -> None:
    """Reference §6: F3, F4, F11, F41, F42 must be the request's."""
    device = terminal()
    request = device.qr_sale(CODE, 100)
    outcome = device.read(request, answer(request, {39: "00", **changed}))
    assert outcome.fault is AnswerFault.MISMATCH
    assert outcome.reversal_reason == "06"
    assert not outcome.approved


def test_another_mti_or_no_f39_is_no_answer() -> None:
    device = terminal()
    request = device.qr_sale(CODE, 100)
    good = reply_to(host_sees(request), {39: "00"})
    other = Message(good.tpdu, good.header, "0230", good.fields)
    assert device.read(request, encode_with_mac(other, digest_mac)).detail == "another MTI"
    del good.fields[39]
    assert device.read(request, encode_with_mac(good, digest_mac)).detail == "no F39"


def test_a_partial_approval_may_change_the_amount() -> None:
    device = terminal()
    request = device.sale(magnetic_card(PAN, "3012"), 100)
    outcome = device.read(request, answer(request, {39: "10", 4: "000000000060"}))
    assert outcome.approved
    assert outcome.amount_fen == 60


def test_an_unreadable_answer_is_a_fault_that_names_the_field() -> None:
    device = terminal()
    request = device.qr_sale(CODE, 100)
    outcome = device.read(request, answer(request, {39: "00"})[:-3])
    assert outcome.fault is AnswerFault.UNREADABLE
    assert "field 64" in outcome.detail


def test_a_reversal_repeats_the_sale_and_drops_the_card() -> None:
    """Reference §6: drops 26, 35, 36, 37, 52, 53, adds F39 and F38 if known; same trace."""
    device = terminal()
    icc = ber_build([("9F26", bytes(8)), ("95", b"\x01\x02"), ("9F36", b"\x00\x01")])
    sale = device.sale(chip_card(PAN, "3012", icc), 100, pin="1234")
    trace = device.trace
    reversal = device.reversal(sale, "98", auth_code="654321")
    message = host_sees(reversal)
    row = identify(message)
    assert row is not None
    assert row.original is TransactionKind.SALE
    assert not {26, 35, 36, 37, 52, 53} & set(message.fields)
    for number in (2, 3, 4, 11, 22, 23, 25, 41, 42, 49, 60):
        assert message.fields[number] == sale.message.fields[number]
    assert message.fields[39] == "98"
    assert message.fields[38] == "654321"
    assert [tag for tag, _ in ber_items(message.data(55))] == ["95", "9F36"]
    assert device.trace == trace


@pytest.mark.parametrize("icc", [b"\x9f", ber_build([("9F26", bytes(8))])])
def test_a_reversal_sends_no_empty_f55(icc: bytes) -> None:
    device = terminal()
    message = device.reversal(device.sale(chip_card(PAN, "3012", icc), 100)).message
    assert 55 not in message.fields


@pytest.mark.parametrize(
    ("code", "done"), [("00", True), ("12", True), ("25", True), ("96", False)]
)
def test_what_ends_a_reversal(code: str, done: bool) -> None:
    device = terminal()
    request = device.reversal(device.qr_sale(CODE, 100), "A0")
    row = identify(request.message)
    assert row is not None
    assert row.original is TransactionKind.QR_SALE
    outcome = device.read(request, answer(request, {39: code}))
    assert outcome.is_reversal_done is done


def test_trace_rises_but_for_echo_and_reversal_and_wraps() -> None:
    device = terminal(trace=999_998)
    assert device.sign_in().trace == "999998"
    assert device.echo().trace == ""
    sale = device.qr_sale(CODE, 1)
    assert sale.trace == "999999"
    assert device.reversal(sale).trace == "999999"
    assert device.sign_out().trace == "000001"


def test_echo_and_sign_out_are_answered() -> None:
    device = terminal()
    for request in (device.echo(), device.sign_out()):
        assert device.read(request, answer(request, {39: "00"}, mac=None)).approved


def test_the_header_instruction_reaches_the_shell() -> None:
    device = terminal()
    request = device.echo()
    message = reply_to(host_sees(request), {39: "00"}, processing=3)
    assert device.read(request, encode(message)).instruction == 3


def test_cards_show_six_and_four() -> None:
    card = magnetic_card(PAN, "3012")
    assert repr(card) == "Card(990000******7899, magnetic)"
    assert luhn_valid(PAN)
    assert luhn_valid("79927398713")
    assert not luhn_valid("9900001234567890")
    assert not luhn_valid("99000012345678x9")
    assert Card(pan="99", entry=CardEntry.CHIP).__repr__() == "Card(**, chip)"
    assert len(magnetic_card("9900001234567890120", "3012").track2) <= 37


def test_request_shows_no_card() -> None:
    request = terminal().sale(chip_card(PAN, "3012", b""), 100, pin="123456")
    assert PAN not in repr(request)
    assert decode(request.payload).fields[2] == PAN
