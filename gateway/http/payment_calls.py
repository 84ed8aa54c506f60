"""The calls about payments: take one, look it up, undo it."""

from collections.abc import Callable
from typing import Final, Protocol

import orjson

from channels.codes import detect_channel, normalise
from domain.checkout import is_checkout
from domain.decline import NO_TEXTS, Texts
from domain.doors import API_DOOR
from domain.errors import NotFound, Unprocessable
from domain.payment import Payment
from gateway.draft import Draft
from gateway.events.feed import FROM_NOW
from gateway.events.told import Told
from gateway.http.answers import payment_body
from gateway.http.bodies import (
    DEFAULT_WAIT_S,
    MAX_WAIT_S,
    CreatePayment,
    parse_create_payment,
    query_merchant_number,
    query_number,
    refuse_body,
)
from gateway.http.call import Call, Result, Routes
from gateway.http.checkout_calls import CheckoutCalls
from gateway.live import is_over
from gateway.payments import Begun, Payments
from signing.keywrap import Sealer

REPLAYED: Final = {"Idempotent-Replayed": "true"}


class Newer(Protocol):
    """Waits for a payment to move (``gateway/events/feed.py``)."""

    async def __call__(
        self, merchant_no: str, payment_id: str, *, after: int, wait_s: float
    ) -> Told | None:
        """The payment once it is beyond ``after``, ``None`` when it is not in time."""
        ...


class PaymentCalls:
    """What a merchant may do with a payment."""

    def __init__(
        self,
        *,
        payments: Payments,
        checkouts: CheckoutCalls,
        sealer: Sealer,
        refused_url: Callable[[str], str],
        newer: Newer,
        texts: Texts = NO_TEXTS,
    ) -> None:
        """``refused_url`` says why a URL would never be called, ``""`` when it may be."""
        self._payments = payments
        self._checkouts = checkouts
        self._sealer = sealer
        self._refused_url = refused_url
        self._newer = newer
        self._texts = texts

    def routes(self) -> Routes:
        """Every call by path and method."""
        return {
            "/v1/payments": {"POST": ("create", self._create), "GET": ("find", self._find)},
            "/v1/payments/{id}": {"GET": ("get", self._get)},
            "/v1/payments/{id}/cancel": {"POST": ("cancel", self._cancel)},
        }

    async def _create(self, call: Call) -> Result:
        asked = parse_create_payment(call.body)
        if not asked.auth_code:
            return await self._create_checkout(call, asked)
        channel = detect_channel(asked.auth_code)
        if channel is None:
            raise Unprocessable(
                "auth_code_unknown",
                "method.auth_code: not a payment code of a known wallet",
                field="method.auth_code",
            )
        if asked.notify_url:
            await self._refuse_url(call.merchant_no, asked)
        begun = await self._payments.begin(self._draft(call.merchant_no, asked, channel))
        payment = await self._wait(begun, asked.wait_s)
        if begun.replayed:
            return Result(payment_body(payment, self._texts), 200, payment, headers=REPLAYED)
        return Result(payment_body(payment, self._texts), 201, payment)

    async def _create_checkout(self, call: Call, asked: CreatePayment) -> Result:
        if asked.notify_url:
            await self._refuse_url(call.merchant_no, asked)
        shop_name = call.key.merchant.name
        payment, is_replay = await self._checkouts.open(call.merchant_no, shop_name, asked)
        body, seen = await self._checkouts.body(payment)
        if is_replay:
            return Result(body, 200, seen, headers=REPLAYED)
        return Result(body, 201, seen)

    async def _refuse_url(self, merchant_no: str, asked: CreatePayment) -> None:
        """Refuse a URL that would never be called."""
        refused = self._refused_url(asked.notify_url)
        if refused and not await self._is_known(merchant_no, asked.merchant_order_no):
            message = f"notify_url: {refused}"
            raise Unprocessable("notify_url_refused", message, field="notify_url")

    async def _is_known(self, merchant_no: str, number: str) -> bool:
        """Whether a number is taken: a repeat is answered, whatever is refused by now."""
        try:
            known = await self._payments.find_by_order(merchant_no, number)
        except NotFound:
            return False
        return known.order.door == API_DOOR

    async def _wait(self, begun: Begun, wait_s: int) -> Payment:
        live = begun.live
        if live is None:
            return await self._payments.watch(begun.payment, wait_s, is_over)
        if not begun.replayed:
            self._payments.spawn(self._payments.run(live))
        await live.final(wait_s)
        if live.fault is not None:
            raise live.fault
        if begun.replayed and not is_over(live.payment):
            # others move it too (a cancel, recovery): what was shown must not come back
            order = live.payment.order
            return await self._payments.find(order.merchant_no, order.id)
        return live.payment

    def _draft(self, merchant_no: str, asked: CreatePayment, channel: str) -> Draft:
        metadata = orjson.dumps(asked.metadata, option=orjson.OPT_SORT_KEYS)
        said = orjson.dumps(
            [
                asked.amount_fen,
                asked.currency,
                asked.subject,
                asked.auth_code,
                asked.notify_url,
                asked.expires_in_s,
                asked.store_id,
                asked.terminal_id,
                metadata.decode(),
            ]
        )
        return Draft(
            merchant_no=merchant_no,
            door=API_DOOR,
            order_key=asked.merchant_order_no,
            fingerprint=self._sealer.token(said),
            amount_fen=asked.amount_fen,
            currency=asked.currency,
            subject=asked.subject,
            method="auth_code",
            channel=channel,
            auth_code=normalise(asked.auth_code),
            terminal_id=asked.terminal_id,
            store_id=asked.store_id,
            notify_url=asked.notify_url,
            metadata_json=metadata.decode() if asked.metadata else "",
            expires_in_s=asked.expires_in_s,
            operator_id=asked.operator_id,
            operator_pin=asked.operator_pin,
        )

    async def _get(self, call: Call) -> Result:
        wait_s = query_number(call.query, "wait_s", 0, MAX_WAIT_S)
        after = query_number(call.query, "after", FROM_NOW)
        payment = await self._payments.find(call.merchant_no, call.identity)
        if wait_s and not _is_awaited(payment, after):
            told = await self._newer(call.merchant_no, payment.order.id, after=after, wait_s=wait_s)
            if told is not None and not is_checkout(payment.order):
                return Result(told.body, 200, told.payment)
            payment = await self._payments.find(call.merchant_no, call.identity)
        body, seen = await self._checkouts.body(payment)
        return Result(body, 200, seen)

    async def _find(self, call: Call) -> Result:
        number = query_merchant_number(call.query, "merchant_order_no")
        payment = await self._payments.find_by_order(call.merchant_no, number)
        body, seen = await self._checkouts.body(payment)
        return Result(body, 200, seen)

    async def _cancel(self, call: Call) -> Result:
        refuse_body(call.body)
        payment = await self._payments.find(call.merchant_no, call.identity)
        if is_checkout(payment.order):
            undone = await self._checkouts.cancel(payment)
        else:
            undone = (await self._payments.cancel(payment)).payment
        undone = await self._payments.watch(undone, DEFAULT_WAIT_S, is_over)
        body, seen = await self._checkouts.body(undone)
        return Result(body, 200, seen)


def _is_awaited(payment: Payment, after: int) -> bool:
    """Whether this is what a caller waits for who knows up to ``after``, or wants the end."""
    return is_over(payment) if after == FROM_NOW else payment.standing.version > after
