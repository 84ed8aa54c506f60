"""The operator who lets a terminal's payment through: F58, where the terminal's option allows it.

Rules: a terminal without the option is not looked at. The PIN comes as a block under the
terminal's PIN key, bound to batch and trace of its message; it is compared, its tries counted,
where every operator's is (``gateway/operator_pins.py``), and stands in no text.
"""

from dataclasses import replace

from gateway.draft import Draft
from gateway.pos.exchange import Exchange
from gateway.pos.translate import RefusedError
from gateway.terminal_options import sends_operators
from pos_protocol.errors import CodecError
from pos_protocol.fields.operator_pin import binding_of, parse_operator_pin
from pos_protocol.response_codes import FORMAT_ERROR, NOT_PERMITTED, NOT_SIGNED_IN, PIN_BLOCK_ERROR
from pos_protocol.transactions import batch_of
from signing.pin_block import PinBlockError, operator_pin


def let_through(exchange: Exchange, draft: Draft, *, weak_pin: bool) -> Draft:
    """``draft`` with the operator whom its message names, if it names one.

    Raises:
        RefusedError: 30 for no such field, 99 for a block under another key or of another
            message, 57 for a PIN under keys that may carry none, 77 without working keys.
    """
    message, keys = exchange.message, exchange.keys
    if 58 not in message.fields or not sends_operators(exchange.known.terminal):
        return draft
    if keys is None:
        raise RefusedError(NOT_SIGNED_IN, "no working keys")
    if weak_pin:
        raise RefusedError(NOT_PERMITTED, "an operator's PIN under a single DES or SM4 key")
    try:
        given = parse_operator_pin(message.text(58))
        binding = binding_of(batch_of(message), message.text(11))
        pin = operator_pin(given.block, binding, keys.pin)
    except CodecError:
        raise RefusedError(FORMAT_ERROR, "F58 names no operator") from None
    except PinBlockError:
        raise RefusedError(PIN_BLOCK_ERROR, "the operator's PIN block cannot be read") from None
    return replace(draft, operator_id=given.operator_id, operator_pin=pin)
