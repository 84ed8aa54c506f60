"""Everything about checkouts that the doors, the page and the streams are handed."""

from collections.abc import Sequence

from channels.payer_orders import PayerAnswer
from domain.payment import Payment
from gateway.checkout.attempts import Attempts
from gateway.checkout.closing import Closing
from gateway.checkout.desk import Desk
from gateway.checkout.opening import Asked, Opening
from gateway.checkout.port import Begun, CheckoutView, LiveCode, Payer, Press


class Checkouts:
    """``CheckoutPages``, and what the doors of merchants, streams and terminals need."""

    def __init__(
        self, *, desk: Desk, opening: Opening, attempts: Attempts, closing: Closing
    ) -> None:
        self._desk = desk
        self._opening = opening
        self._attempts = attempts
        self._closing = closing

    def remembered(self) -> int:
        """Attempts whose last asking, or making, is remembered."""
        return self._attempts.remembered()

    # --- the merchants' door

    async def open(self, asked: Asked) -> tuple[Payment, bool]:
        """See :meth:`Opening.open`."""
        return await self._opening.open(asked)

    async def cancel(self, base: Payment) -> Payment:
        """See :meth:`Closing.cancel`."""
        return await self._closing.cancel(base)

    async def seen(self, payment: Payment) -> Payment:
        """See :meth:`Desk.seen`."""
        return await self._desk.seen(payment)

    async def seen_with_code(self, base: Payment) -> tuple[Payment, LiveCode | None]:
        """A checkout as its merchant sees it, and what a screen shows of it now."""
        return await self._desk.seen_with_code(base)

    async def code(self, payment: Payment) -> LiveCode | None:
        """See :meth:`Desk.code`."""
        return await self._desk.code(payment)

    # --- the payer's page

    def wallets(self, merchant_no: str) -> Sequence[str]:
        """See :class:`gateway.checkout.port.CheckoutPages`, as all that follow."""
        return self._desk.wallets(merchant_no)

    def authorise_url(self, merchant_no: str, wallet: str, return_url: str, state: str) -> str:
        """Where the wallet's browser is sent."""
        return self._desk.authorise_url(merchant_no, wallet, return_url, state)

    async def payer_of(
        self, merchant_no: str, wallet: str, code: str, mark: str = ""
    ) -> PayerAnswer:
        """Who came back with that code."""
        return await self._desk.payer_of(merchant_no, wallet, code, mark)

    async def scanned(self, token: str) -> CheckoutView | None:
        """The checkout of a live code."""
        return await self._desk.scanned(token)

    async def view(self, checkout_id: str, payer: Payer | None = None) -> CheckoutView | None:
        """A checkout as it stands."""
        return await self._desk.view(checkout_id, payer)

    async def press(self, press: Press) -> CheckoutView:
        """Make the checkout of a press."""
        return await self._opening.press(press)

    async def begin(self, checkout_id: str, payer: Payer) -> Begun:
        """Begin, or go on with, this payer's attempt."""
        return await self._attempts.begin(checkout_id, payer)

    async def release(self, checkout_id: str, payer: Payer) -> CheckoutView:
        """The payer gave up."""
        return await self._attempts.release(checkout_id, payer)

    async def ask(self, checkout_id: str, payer: Payer | None = None) -> CheckoutView | None:
        """Ask the channel now."""
        return await self._attempts.ask(checkout_id, payer)
