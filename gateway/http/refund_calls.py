"""The calls about refunds: give money back, look at what became of it."""

from itertools import islice
from typing import Final

import orjson

from domain.checkout import shown_id
from domain.decline import NO_TEXTS, Texts
from domain.errors import NotFound
from gateway.http.answers import refund_body, refunds_body
from gateway.http.bodies import DEFAULT_WAIT_S, CreateRefund, parse_create_refund
from gateway.http.call import Call, Result, Routes
from gateway.http.payment_calls import REPLAYED
from gateway.refunds import RefundAsk, Refunds
from signing.keywrap import Sealer

MAX_LISTED: Final = 100
"""Refunds of a payment that one answer shows, the newest."""


class RefundCalls:
    """What a merchant may do with the refunds of a payment."""

    def __init__(self, *, refunds: Refunds, sealer: Sealer, texts: Texts = NO_TEXTS) -> None:
        self._refunds = refunds
        self._sealer = sealer
        self._texts = texts

    def routes(self) -> Routes:
        """Every call by path and method."""
        return {
            "/v1/payments/{id}/refunds": {
                "POST": ("refund", self._create),
                "GET": ("list refunds", self._list),
            },
            "/v1/refunds/{id}": {"GET": ("get refund", self._get)},
        }

    async def _create(self, call: Call) -> Result:
        ask = self._ask(parse_create_refund(call.body))
        payment_id = _of_merchant(call)
        refund, replayed = await self._refunds.create(call.merchant_no, payment_id, ask)
        refund = await self._refunds.wait(refund, DEFAULT_WAIT_S)
        if replayed:
            return Result(refund_body(refund, self._texts), 200, refund=refund, headers=REPLAYED)
        return Result(refund_body(refund, self._texts), 201, refund=refund)

    def _ask(self, asked: CreateRefund) -> RefundAsk:
        said = orjson.dumps([asked.amount_fen, asked.reason])
        return RefundAsk(
            merchant_refund_no=asked.merchant_refund_no,
            amount_fen=asked.amount_fen,
            reason=asked.reason,
            fingerprint=self._sealer.token(said),
        )

    async def _get(self, call: Call) -> Result:
        refund = await self._refunds.find(call.merchant_no, call.identity)
        return Result(refund_body(refund, self._texts), 200, refund=refund)

    async def _list(self, call: Call) -> Result:
        refunds = await self._refunds.of_payment(call.merchant_no, _of_merchant(call))
        return Result(refunds_body(islice(reversed(refunds), MAX_LISTED), self._texts))


def _of_merchant(call: Call) -> str:
    """The payment's id; an attempt has none that its merchant knows."""
    if shown_id(call.identity) != call.identity:
        raise NotFound("payment_not_found", "no such payment")
    return call.identity
