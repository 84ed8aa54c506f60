"""What a code stands for: the shop's counter, with an amount, an order, or neither.

Rules: a printed code is read from the store each time, so that disabling it works at once;
a live code is good for a moment, and the order that it led to is the session's from then on.
An id that cannot be ours asks nobody.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from domain.qr_code import is_qr_code_id
from gateway.checkout.port import CheckoutPages, CheckoutView, Payer
from gateway.http.pages.lookups import SharedLookups
from gateway.http.pages.texts import State
from gateway.http.pages.tickets import Session
from gateway.store.port import Merchant
from gateway.store.shop_records import QrCode

FindCode = Callable[[str], Awaitable[tuple[Merchant, QrCode] | None]]
_LIVE: Final = re.compile(r"L[A-Za-z0-9_-]{40}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """Where the payer stands; ``order`` is set behind a live code, else a press makes one.

    ``amount_fen`` 0 leaves the amount to the payer.
    """

    code_id: str = field(repr=False)
    merchant_no: str
    shop: str
    subject: str
    amount_fen: int
    store_id: str = ""
    terminal_id: str = ""
    notify_url: str = ""
    order: CheckoutView | None = None


def is_live(code_id: str) -> bool:
    """Whether it may be the token of a live code."""
    return _LIVE.fullmatch(code_id) is not None


def is_code(code_id: str) -> bool:
    """Whether it may be a code of ours at all."""
    return is_qr_code_id(code_id) or is_live(code_id)


def payer_of(session: Session | None) -> Payer | None:
    """The payer whom the wallet has named, if it has."""
    if session is None or session.wallet is None or not session.payer_id:
        return None
    return Payer(wallet=session.wallet.value, payer_id=session.payer_id)


class Counters:
    """Looks codes up."""

    def __init__(self, find_code: FindCode, pages: CheckoutPages) -> None:
        self._codes = SharedLookups(find_code)
        self._pages = pages

    async def look(self, code_id: str, session: Session | None) -> Counter | State:
        """The counter of a code, or the state of the page that says why there is none."""
        if is_qr_code_id(code_id):
            return await self._printed(code_id)
        return await self._live(code_id, session)

    async def _printed(self, code_id: str) -> Counter | State:
        found = await self._codes.find(code_id)
        if found is None:
            return State.UNKNOWN
        merchant, code = found
        if merchant.disabled or code.disabled:
            return State.DISABLED
        return Counter(
            code_id=code_id,
            merchant_no=merchant.merchant_no,
            shop=code.name,
            subject="",
            amount_fen=code.amount_fen,
            store_id=code.store_id,
            terminal_id=code.terminal_id,
            notify_url=code.notify_url,
        )

    async def _live(self, code_id: str, session: Session | None) -> Counter | State:
        if session is not None and session.checkout_id:
            order = await self._pages.view(session.checkout_id, payer_of(session))
        else:
            order = await self._pages.scanned(code_id)
        if order is None:
            return State.EXPIRED
        return Counter(
            code_id=code_id,
            merchant_no=order.merchant_no,
            shop=order.shop_name,
            subject=order.subject,
            amount_fen=order.amount_fen,
            store_id=order.store_id,
            terminal_id=order.terminal_id,
            order=order,
        )
