"""Checkouts in memory, for tests of the payer's page: no store, no channel, no clock.

Rules: the same answers as the real ones for the same questions (``gateway/checkout/port.py``);
a test moves what the world would move: :meth:`FakeCheckouts.pay`, :meth:`end`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from channels.payer_orders import PayerAnswer
from channels.port import Verdict
from domain.checkout import OPEN, CheckoutStatus
from domain.errors import Conflict, NotFound
from gateway.checkout.port import Begun, CheckoutView, Payer, Press, Start

PARAMETERS: Mapping[str, Mapping[str, str]] = {
    "wechat": {
        "appId": "wx0000000000000001",
        "timeStamp": "1700000000",
        "nonceStr": "n",
        "package": "prepay_id=p",
        "signType": "RSA",
        "paySign": "s",
    },
    "alipay": {"tradeNO": "2026113022001400000000000001"},
    "unionpay_qr": {},
}


@dataclass
class _Kept:
    view: CheckoutView
    payer: Payer | None = None
    code_id: str = ""


class FakeCheckouts:
    """``CheckoutPages`` without a world."""

    def __init__(self, wallets: Sequence[str] = ("alipay", "unionpay_qr", "wechat")) -> None:
        self._wallets = tuple(wallets)
        self._kept: dict[str, _Kept] = {}
        self._pressed: dict[tuple[str, str], str] = {}
        self.tokens: dict[str, str] = {}
        self.payers: dict[str, str] = {"code-1": "payer-1", "code-2": "payer-2"}
        """What ``payer_of`` knows: an OAuth code, and whose it is."""
        self.answers: dict[str, Start] = {}
        """What a beginning of this wallet comes to instead of ``READY``."""
        self.calls: list[str] = []

    def add(self, number: int = 1, **changes: object) -> CheckoutView:
        """A checkout of a live code ``token-NUMBER``."""
        view = CheckoutView(
            checkout_id=f"pay_{number:032d}".translate(str.maketrans("0123456789", "ABCDEFGHJK")),
            merchant_no="m1",
            merchant_order_no=f"o{number}",
            shop_name="奶茶店",
            store_id="",
            terminal_id="",
            subject="奶茶",
            remark="",
            amount_fen=1990,
            currency="CNY",
            status=CheckoutStatus.WAITING,
            version=1,
            wallets=self._wallets,
            created_at_ms=1_700_000_000_000,
            expires_at_ms=1_700_000_300_000,
        )
        view = replace(view, **changes)  # type: ignore[arg-type]  # the caller names real fields
        self._kept[view.checkout_id] = _Kept(view)
        self.tokens[f"token-{number}"] = view.checkout_id
        return view

    def pay(self, checkout_id: str, at_ms: int = 1_700_000_060_000) -> None:
        """The current attempt is paid."""
        self._move(checkout_id, status=CheckoutStatus.PAID, paid_at_ms=at_ms, is_asking=False)

    def end(self, checkout_id: str, status: CheckoutStatus, **changes: object) -> None:
        """It stands where a test wants it."""
        self._move(checkout_id, status=status, **changes)

    def _move(self, checkout_id: str, **changes: object) -> None:
        kept = self._kept[checkout_id]
        version = kept.view.version + 1
        kept.view = replace(kept.view, version=version, **changes)  # type: ignore[arg-type]

    def wallets(self, merchant_no: str) -> Sequence[str]:
        return self._wallets

    def authorise_url(self, merchant_no: str, wallet: str, return_url: str, state: str) -> str:
        if wallet not in self._wallets:
            return ""
        return f"https://wallet.test/{wallet}?return_url={return_url}&state={state}"

    async def payer_of(
        self, merchant_no: str, wallet: str, code: str, mark: str = ""
    ) -> PayerAnswer:
        self.calls.append("payer_of")
        payer_id = self.payers.pop(code, "")
        if not payer_id:
            return PayerAnswer(verdict=Verdict.DECLINED, channel_code="40029")
        return PayerAnswer(verdict=Verdict.SUCCEEDED, payer_id=payer_id)

    async def scanned(self, token: str) -> CheckoutView | None:
        checkout_id = self.tokens.get(token)
        kept = None if checkout_id is None else self._kept[checkout_id]
        return kept.view if kept is not None and kept.view.status in OPEN else None

    async def view(self, checkout_id: str, payer: Payer | None = None) -> CheckoutView | None:
        kept = self._kept.get(checkout_id)
        return None if kept is None else self._seen(kept, payer)

    def _seen(self, kept: _Kept, payer: Payer | None) -> CheckoutView:
        theirs = kept.payer
        mine = (
            payer is not None
            and theirs is not None
            and (payer.wallet, payer.payer_id) == (theirs.wallet, theirs.payer_id)
        )
        return replace(kept.view, is_mine=mine)

    async def press(self, press: Press) -> CheckoutView:
        self.calls.append("press")
        key = (press.merchant_no, press.press_key)
        known = self._pressed.get(key)
        if known is not None:
            if self._kept[known].code_id != press.code_id:
                raise Conflict("order_conflict", "this number was used with other content")
            return self._kept[known].view
        view = self.add(
            len(self._kept) + 1001,
            merchant_no=press.merchant_no,
            merchant_order_no=press.press_key,
            shop_name=press.shop_name,
            store_id=press.store_id,
            terminal_id=press.terminal_id,
            subject=press.subject,
            remark=press.remark,
            amount_fen=press.amount_fen,
        )
        self._kept[view.checkout_id].code_id = press.code_id
        self._pressed[key] = view.checkout_id
        return view

    async def begin(self, checkout_id: str, payer: Payer) -> Begun:
        self.calls.append("begin")
        kept = self._kept.get(checkout_id)
        if kept is None:
            raise NotFound("payment_not_found", "no such payment")
        if kept.view.status is CheckoutStatus.PAID:
            return Begun(start=Start.PAID, view=self._seen(kept, payer))
        if kept.view.status not in OPEN:
            return Begun(start=Start.OVER, view=self._seen(kept, payer))
        if payer.wallet not in self._wallets:
            return Begun(start=Start.AWAY, view=self._seen(kept, payer))
        if kept.view.status is CheckoutStatus.PAYING and not self._seen(kept, payer).is_mine:
            return Begun(start=Start.ELSEWHERE, view=self._seen(kept, payer))
        told = self.answers.get(payer.wallet, Start.READY)
        if told is not Start.READY:
            return Begun(start=told, view=self._seen(kept, payer))
        kept.payer = payer
        self._move(checkout_id, status=CheckoutStatus.PAYING, wallet=payer.wallet)
        page_url = "https://wallet.test/pay" if payer.wallet == "unionpay_qr" else ""
        return Begun(
            start=Start.READY,
            view=self._seen(kept, payer),
            parameters=PARAMETERS[payer.wallet],
            page_url=page_url,
        )

    async def release(self, checkout_id: str, payer: Payer) -> CheckoutView:
        self.calls.append("release")
        kept = self._kept[checkout_id]
        if kept.view.status is CheckoutStatus.PAYING and self._seen(kept, payer).is_mine:
            kept.payer = None
            self._move(checkout_id, status=CheckoutStatus.WAITING, wallet="")
        return self._seen(kept, payer)

    async def ask(self, checkout_id: str, payer: Payer | None = None) -> CheckoutView | None:
        self.calls.append("ask")
        return await self.view(checkout_id, payer)
