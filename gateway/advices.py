"""What is needed to send an advice again, kept with its order: sealed, and opened for it.

Rules:

* An advice tells of goods that are gone: the gateway, not the terminal, sees to it that the
  channel hears of it, through crashes and restarts. So card, expiry and authorisation code
  are kept until then, encrypted, in the order itself; track, chip data and PIN block never
  are, nor sent.
* What is sent first and what is sent again is made of the same, so that a host that knows
  its numbers sees one message.
"""

import base64
from dataclasses import replace

import orjson

from channels.card import CardAdvice, CardData
from channels.port import Answer, PayRequest, Verdict
from domain.payment import (
    ADVICE_METHODS,
    Order,
)
from gateway.channel_requests import ADVICE_ACTIONS, bare_request
from signing.keywrap import Sealer


class AdviceMemory:
    """Advices as they rest."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def details(
        self, merchant_no: str, order_key: str, card: CardData, advice: CardAdvice, adds_to: str
    ) -> str:
        """``Order.details_json`` of an advice; ``adds_to`` is the trace of what it adds to."""
        said = {
            "pan": card.pan,
            "expiry": card.expiry,
            "sequence": card.sequence,
            "auth_code": advice.auth_code,
            "authorised_by": advice.authorised_by,
            "original_no": advice.original_no,
            "original_at_ms": advice.original_at_ms,
            "original_reference": advice.original_reference,
            "base_fen": advice.base_fen,
        }
        sealed = self._sealer.seal(orjson.dumps(said), _context(merchant_no, order_key))
        kept = {"entry_mode": card.entry_mode, "advice": base64.b64encode(sealed).decode()}
        if adds_to:
            kept["adds_to"] = adds_to
        return orjson.dumps(kept).decode()

    def request(self, order: Order) -> PayRequest:
        """The request of an advice once more."""
        kept = orjson.loads(order.details_json)
        sealed = base64.b64decode(kept["advice"])
        said = orjson.loads(self._sealer.open(sealed, _context(order.merchant_no, order.order_key)))
        card = CardData(
            pan=said.pop("pan"),
            entry_mode=kept["entry_mode"],
            expiry=said.pop("expiry"),
            sequence=said.pop("sequence"),
        )
        return replace(
            bare_request(order),
            card=card,
            store_id=order.store_id,
            terminal_id=order.terminal_id,
            action=ADVICE_ACTIONS[order.method],
            advice=CardAdvice(**said),
            repeated=True,
        )


def is_advice(order: Order) -> bool:
    """Whether the channel is told of something that is done."""
    return order.method in ADVICE_METHODS


def believed(order: Order, answer: Answer) -> Answer:
    """What an answer to an advice means: one that did not leave is still to be sent.

    What can never be written stays what it is: sending it again would not help.
    """
    if not is_advice(order) or answer.verdict is not Verdict.NOT_SENT or answer.unwritable:
        return answer
    return Answer(verdict=Verdict.UNKNOWN, channel_message=answer.channel_message)


def _context(merchant_no: str, order_key: str) -> bytes:
    return f"advice:{merchant_no}:{order_key}".encode()
