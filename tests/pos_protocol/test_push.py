"""A push: read by who knows it, harmless to who does not."""

import pytest

from pos_protocol.codec import decode, encode, encode_with_mac, mac_input
from pos_protocol.dialect import Dialect, HeaderForm
from pos_protocol.errors import CodecError
from pos_protocol.fields.payment_status import PaymentState, PaymentStatus, parse_payment_status
from pos_protocol.message import Message
from pos_protocol.outcome import AnswerFault
from pos_protocol.push import payment_push
from pos_protocol.terminal import Terminal, TerminalIdentity, TerminalScheme
from pos_protocol.transactions import identify, is_reply


class NoKeys:
    """A terminal's keys that agree with everything."""

    def unwrap_keys(self, _scheme: TerminalScheme, _keys: bytes) -> bool:
        return True

    def mac(self, _data: bytes) -> bytes:
        return b"0" * 8

    def pin_block(self, _pin: str, _pan: str) -> bytes:
        return bytes(8)


def push(dialect: Dialect | None = None, code: str = "00") -> Message:
    options = {} if dialect is None else {"dialect": dialect}
    return payment_push(
        merchant_id="104512541110001",
        terminal_id="22003600",
        batch="006603",
        amount_fen=1990,
        reference="123456789012",
        hhmmss="101236",
        mmdd="1122",
        status=PaymentStatus(PaymentState.PAID, code),
        **options,
    )


@pytest.mark.parametrize("header", HeaderForm)
def test_a_push_is_read_as_it_was_written(header: HeaderForm) -> None:
    """In every header form; the MAC covers the amount and the state."""
    dialect = Dialect(header=header)
    macked: list[bytes] = []

    def mac(body: bytes) -> bytes:
        macked.append(body)
        return b"B7133B57"

    payload = encode_with_mac(push(dialect), mac, dialect)
    message = decode(payload, dialect)
    assert (message.text(4), message.text(37)) == ("000000001990", "123456789012")
    assert parse_payment_status(message.data(62)).state is PaymentState.PAID
    assert message.data(64) == b"B7133B57"
    assert mac_input(payload) in macked


def test_it_is_no_answer_and_no_transaction_of_the_dialect() -> None:
    """A host that gets one back refuses it by name, and does nothing."""
    assert not is_reply(push().mti)
    assert identify(push()) is None


def test_a_terminal_that_waits_does_not_take_it_for_an_approval() -> None:
    """It answers nothing that was asked: the sale stays to be reversed or asked for."""
    identity = TerminalIdentity(terminal_id="22003600", merchant_id="104512541110001")
    terminal = Terminal(identity, NoKeys(), trace=7, batch="006603")
    request = terminal.qr_sale("289900000000000017", 1990)
    outcome = terminal.read(request, encode(push()))
    assert not outcome.approved
    assert outcome.fault is AnswerFault.MISMATCH


def test_a_status_without_a_form_is_refused() -> None:
    with pytest.raises(CodecError):
        push(code="0")
