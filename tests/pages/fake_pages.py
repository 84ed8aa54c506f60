"""Checkouts in memory for the tests of the page, which write down what was *not* done.

Rules: as ``tests/support/fake_checkouts.py``; on top of it a fault of ours on demand, and
what the page handed in.
"""

from channels.payer_orders import PayerAnswer
from domain.checkout import CheckoutStatus
from domain.decline import Decline
from domain.errors import PosgateError
from gateway.checkout.port import Begun, CheckoutView, Payer, Press, Start
from tests.support.fake_checkouts import FakeCheckouts


class FakePages(FakeCheckouts):
    """See the module."""

    def __init__(self) -> None:
        super().__init__(("wechat", "alipay", "unionpay_qr"))
        self.fault: PosgateError | None = None
        self.presses: list[Press] = []
        self.marks: list[str] = []
        self.begun_by: list[Payer] = []
        self.payers = {f"good{number}": f"payer-{number}" for number in range(1, 10)}

    def open_only(self, *wallets: str) -> None:
        """What the shop has accounts at."""
        self._wallets = wallets

    @property
    def orders(self) -> list[CheckoutView]:
        """Everything that was made."""
        return [kept.view for kept in self._kept.values()]

    def move(self, checkout_id: str, status: CheckoutStatus, **changes: object) -> None:
        """What happened to an order."""
        self.end(checkout_id, status, **changes)

    def decline(self, checkout_id: str, decline: Decline) -> None:
        """The wallet's no: the order waits for whoever comes."""
        self._kept[checkout_id].payer = None
        self.end(checkout_id, CheckoutStatus.WAITING, wallet="", decline=decline)

    async def scanned(self, token: str) -> CheckoutView | None:
        self.calls.append("scanned")
        return await super().scanned(token)

    async def view(self, checkout_id: str, payer: Payer | None = None) -> CheckoutView | None:
        self._fail()
        return await super().view(checkout_id, payer)

    async def payer_of(
        self, merchant_no: str, wallet: str, code: str, mark: str = ""
    ) -> PayerAnswer:
        self._fail()
        self.marks.append(mark)
        return await super().payer_of(merchant_no, wallet, code, mark)

    async def press(self, press: Press) -> CheckoutView:
        self._fail()
        self.presses.append(press)
        return await super().press(press)

    async def begin(self, checkout_id: str, payer: Payer) -> Begun:
        self._fail()
        self.begun_by.append(payer)
        begun = await super().begin(checkout_id, payer)
        if begun.start is Start.UNKNOWN:  # it was claimed before the channel was called
            self._kept[checkout_id].payer = payer
            self.end(checkout_id, CheckoutStatus.PAYING, wallet=payer.wallet)
        return begun

    def _fail(self) -> None:
        if self.fault is not None:
            raise self.fault
