"""One-code payments at the merchants' door: made, and shown with what a screen needs.

Rules: a checkout is shown as the payment that it is to its merchant; the code that a screen
shows now stands under ``method``, and nowhere else. Whoever shows it asks again at
``code_expires_at``.
"""

from dataclasses import dataclass

import orjson

from domain.checkout import CHECKOUT_METHOD, is_checkout
from domain.clock import iso_utc
from domain.decline import Texts
from domain.doors import API_DOOR
from domain.payment import Payment
from gateway.checkout.checkouts import Checkouts
from gateway.checkout.opening import Asked
from gateway.draft import Draft
from gateway.http.answers import payment_body, payment_dict
from gateway.http.bodies import CreatePayment
from signing.keywrap import Sealer


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutCalls:
    """What a merchant may do with a checkout."""

    checkouts: Checkouts
    sealer: Sealer
    texts: Texts

    async def open(
        self, merchant_no: str, shop_name: str, asked: CreatePayment
    ) -> tuple[Payment, bool]:
        """Make it, or find it; ``True``: it was there."""
        draft = self._draft(merchant_no, asked)
        made = Asked(draft=draft, wallets=asked.wallets, shop_name=shop_name)
        return await self.checkouts.open(made)

    async def body(self, payment: Payment) -> tuple[bytes, Payment]:
        """The JSON of any payment, and the payment as its merchant sees it."""
        if not is_checkout(payment.order):
            return payment_body(payment, self.texts), payment
        seen, live = await self.checkouts.seen_with_code(payment)
        shown, method = payment_dict(seen, self.texts), {"type": CHECKOUT_METHOD}
        if live is not None:
            method["code"] = live.code
            method["code_expires_at"] = iso_utc(live.expires_at_ms)
        shown["method"] = method
        shown["expires_at"] = iso_utc(payment.order.till_deadline_ms)
        return orjson.dumps(shown), seen

    async def cancel(self, payment: Payment) -> Payment:
        """Undo it."""
        return await self.checkouts.cancel(payment)

    def _draft(self, merchant_no: str, asked: CreatePayment) -> Draft:
        metadata = orjson.dumps(asked.metadata, option=orjson.OPT_SORT_KEYS).decode()
        said = orjson.dumps(
            [
                CHECKOUT_METHOD,
                asked.wallets,
                asked.amount_fen,
                asked.currency,
                asked.subject,
                asked.notify_url,
                asked.expires_in_s,
                asked.store_id,
                asked.terminal_id,
                metadata,
            ]
        )
        return Draft(
            merchant_no=merchant_no,
            door=API_DOOR,
            order_key=asked.merchant_order_no,
            fingerprint=self.sealer.token(said),
            amount_fen=asked.amount_fen,
            currency=asked.currency,
            subject=asked.subject,
            method=CHECKOUT_METHOD,
            channel="",
            terminal_id=asked.terminal_id,
            store_id=asked.store_id,
            notify_url=asked.notify_url,
            metadata_json=metadata if asked.metadata else "",
            expires_in_s=asked.expires_in_s,
            operator_id=asked.operator_id,
            operator_pin=asked.operator_pin,
        )
