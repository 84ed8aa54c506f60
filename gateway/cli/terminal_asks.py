"""From what a command was given to the message that asks for it: one function each.

Rule: each takes the till and what was given, and gives a request; it raises
:class:`~domain.errors.InvalidRequest` for what is missing, with the option that mends it.
"""

from collections.abc import Callable
from typing import Final

from domain.errors import Conflict, InvalidRequest, NotFound
from gateway.cli.terminal_earlier import (
    TEST_EXPIRY,
    Earlier,
    auth_code,
    card_of,
    check_pan,
    earlier,
    reference_of,
    with_amount,
)
from gateway.cli.terminal_given import Given
from gateway.cli.terminal_journal import LineState
from gateway.cli.terminal_till import Till
from pos_protocol import asks, management_asks
from pos_protocol.card import Card, typed_card
from pos_protocol.message import Message
from pos_protocol.outcome import Request
from pos_protocol.transactions import TransactionKind

_K = TransactionKind
_SALES: Final = (_K.SALE, _K.QR_SALE, _K.MOTO_SALE)
_RETURNABLE: Final = (*_SALES, _K.COMPLETION, _K.COMPLETION_ADVICE, _K.OFFLINE_SALE)
_TIPPED: Final = (_K.SALE, _K.MOTO_SALE, _K.OFFLINE_SALE)
_HOLDS: Final = (_K.PREAUTH, _K.PREAUTH_ADDITIONAL, _K.PREAUTH_MOTO)
_COMPLETIONS: Final = (_K.COMPLETION, _K.COMPLETION_ADVICE)
_ADVICES: Final = (_K.COMPLETION_ADVICE, _K.REFUND, _K.QR_REFUND, _K.OFFLINE_SALE)
_ANY: Final = tuple(LineState)


def sale(till: Till, given: Given) -> Request:
    """0200 by card."""
    return _ask(till, given, asks.sale(card_of(till, given), given.amount, given.pin))


def _ask(till: Till, given: Given, ask: asks.Ask) -> Request:
    """With the operator who lets it through, if one is given."""
    if given.operator_id:
        ask = asks.let_through(ask, given.operator_id, given.operator_pin)
    return till.terminal.ask(ask)


def live_code(till: Till, given: Given) -> Request:
    """The private request for a code to show; under an earlier trace its next code."""
    trace = given.trace.rjust(6, "0") if given.trace else ""
    return _ask(till, given, asks.live_code(given.amount, trace))


def moto_sale(till: Till, given: Given) -> Request:
    """0200 by a card that is not there."""
    return _ask(till, given, asks.moto_sale(_typed(given), given.amount))


def preauth_moto(till: Till, given: Given) -> Request:
    """0100 of a card that is not there."""
    return _ask(till, given, asks.preauth_moto(_typed(given), given.amount))


def _typed(given: Given) -> Card:
    check_pan(given.pan)
    return typed_card(given.pan, TEST_EXPIRY)


def scan(till: Till, given: Given) -> Request:
    """0200 by code."""
    return _ask(till, given, asks.qr_sale(given.code, given.amount))


def void(till: Till, given: Given) -> Request:
    """0200 taking a sale back, by card or by code."""
    found = with_amount(earlier(till, given, _SALES))
    if found.is_scan:
        return _scan_back(till, given, found, asks.qr_void)
    card = card_of(till, given, found.line)
    return till.terminal.ask(
        asks.void(card, found.amount_fen, found.original, reference_of(found), given.pin)
    )


def refund(till: Till, given: Given) -> Request:
    """0220 giving back, by card or by code."""
    found = with_amount(earlier(till, given, _RETURNABLE))
    if found.is_scan:
        return _scan_back(till, given, found, asks.qr_refund)
    card = card_of(till, given, found.line)
    organisation = found.organisation
    return till.terminal.ask(
        asks.refund(card, found.amount_fen, found.original, reference_of(found), organisation)
    )


def scan_void(till: Till, given: Given) -> Request:
    """0200 taking a sale by code back."""
    found = with_amount(earlier(till, given, (_K.QR_SALE,)))
    return _scan_back(till, given, found, asks.qr_void)


def scan_refund(till: Till, given: Given) -> Request:
    """0220 giving back to a code."""
    found = with_amount(earlier(till, given, (_K.QR_SALE,)))
    return _scan_back(till, given, found, asks.qr_refund)


def _scan_back(till: Till, given: Given, found: Earlier, ask: Callable[..., asks.Ask]) -> Request:
    voucher = given.voucher or (found.line.voucher if found.line is not None else "")
    return till.terminal.ask(
        ask(found.amount_fen, found.original, code=given.code, voucher=voucher)
    )


def reverse(till: Till, given: Given) -> Request:
    """0400 of a line, the last that can be reversed."""
    line = None
    if given.trace:
        line = till.journal.find(given.trace.rjust(6, "0"), given.batch)
    else:
        line = next((one for one in reversed(till.journal.lines) if one.may_be_reversed), None)
    if line is None:
        raise NotFound("nothing_to_reverse", "this terminal has made no sale yet")
    if not line.may_be_reversed:
        raise Conflict(
            "not_reversible", f"trace {line.trace} is {line.state.value}: there is nothing to undo"
        )
    code = given.auth_code or till.auth_code_of(line)
    return till.terminal.reversal(till.request_of(line), given.reason or line.reason, code)


def preauth(till: Till, given: Given) -> Request:
    """0100."""
    return _ask(till, given, asks.preauth(card_of(till, given), given.amount, given.pin))


def preauth_add(till: Till, given: Given) -> Request:
    """0100 of some more."""
    return _ask(till, given, asks.preauth_additional(card_of(till, given), given.amount, given.pin))


def preauth_void(till: Till, given: Given) -> Request:
    """0100 letting a hold go."""
    found = with_amount(earlier(till, given, _HOLDS))
    card, code = card_of(till, given, found.line), auth_code(till, given, found.line)
    return till.terminal.ask(
        asks.preauth_void(card, found.amount_fen, found.original, code, given.pin)
    )


def complete(till: Till, given: Given) -> Request:
    """0200 of a hold."""
    found = with_amount(earlier(till, given, _HOLDS))
    card, code = card_of(till, given, found.line), auth_code(till, given, found.line)
    return till.terminal.ask(
        asks.completion(card, found.amount_fen, found.original, code, given.pin)
    )


def complete_advice(till: Till, given: Given) -> Request:
    """0220 of a hold."""
    found = with_amount(earlier(till, given, _HOLDS))
    card, code = card_of(till, given, found.line), auth_code(till, given, found.line)
    return till.terminal.ask(asks.completion_advice(card, found.amount_fen, found.original, code))


def complete_void(till: Till, given: Given) -> Request:
    """0200 taking a completion back."""
    found = with_amount(earlier(till, given, _COMPLETIONS))
    card = card_of(till, given, found.line)
    code = given.auth_code or (till.auth_code_of(found.line) if found.line is not None else "")
    return till.terminal.ask(
        asks.completion_void(
            card, found.amount_fen, found.original, reference_of(found), code, given.pin
        )
    )


def balance(till: Till, given: Given) -> Request:
    """0200 that moves nothing."""
    return till.terminal.ask(asks.balance(card_of(till, given), given.pin))


def query(till: Till, given: Given) -> Request:
    """The private inquiry by code or voucher number."""
    if given.code or given.voucher:
        return till.terminal.ask(asks.qr_query(code=given.code, voucher=given.voucher))
    found = earlier(till, given, (_K.QR_SALE,), _ANY) if given.trace else None
    line = till.journal.last((_K.QR_SALE,), *_ANY) if found is None else found.line
    if line is None or not line.voucher:
        raise InvalidRequest(
            "no_voucher", "a query by code needs --code or --voucher; by trace, use status"
        )
    return till.terminal.ask(asks.qr_query(voucher=line.voucher))


def status(till: Till, given: Given) -> Request:
    """The private inquiry by batch and trace."""
    if given.trace and till.journal.find(given.trace.rjust(6, "0"), given.batch) is None:
        batch = given.batch or till.terminal.batch  # a code that was shown leaves no line
        named = asks.original_of(batch.rjust(6, "0"), given.trace.rjust(6, "0"))
        return till.terminal.ask(asks.status_inquiry(named))
    found = earlier(till, given, (*_RETURNABLE, *_HOLDS), _ANY)
    original = asks.original_of(found.original.batch, found.original.trace)
    return till.terminal.ask(asks.status_inquiry(original))


def offline_sale(till: Till, given: Given) -> Request:
    """0220 of what was sold without the host."""
    return till.terminal.ask(asks.offline_sale(card_of(till, given), given.amount, given.auth_code))


def adjust(till: Till, given: Given) -> Request:
    """0220 setting the amount of an offline sale."""
    found = earlier(till, given, (_K.OFFLINE_SALE,))
    card = card_of(till, given, found.line)
    return till.terminal.ask(asks.adjustment(card, given.amount, found.original, given.auth_code))


def tip(till: Till, given: Given) -> Request:
    """0220 with the new whole amount and the tip."""
    found = with_amount(earlier(till, given, _TIPPED))
    amount_fen = given.amount or found.amount_fen + given.tip
    return till.terminal.ask(
        asks.tip(
            card_of(till, given, found.line), amount_fen, given.tip, found.original, given.auth_code
        )
    )


def notice(till: Till, given: Given) -> Request:
    """0320 of an advice."""
    found = earlier(till, given, _ADVICES, _ANY)
    if found.line is None:
        raise InvalidRequest("nothing_earlier", "the journal has no such advice")
    return till.terminal.ask(management_asks.notice_upload(till.request_of(found.line)))


def script_result(till: Till, given: Given) -> Request:
    """0620."""
    found = earlier(till, given, (*_RETURNABLE, *_HOLDS))
    if found.line is None:
        raise InvalidRequest("nothing_earlier", "the journal has no such transaction")
    try:
        chip_data = bytes.fromhex(given.chip_data)
    except ValueError:
        raise InvalidRequest("wrong_chip_data", "--chip-data is hexadecimal") from None
    own = till.terminal.identity
    said: dict[int, str | bytes] = {13: found.line.date or "0000", 37: found.line.reference}
    answer = Message(own.tpdu, own.sent_header, "0210", said)
    return till.terminal.ask(
        management_asks.script_result(till.request_of(found.line), answer, chip_data)
    )
