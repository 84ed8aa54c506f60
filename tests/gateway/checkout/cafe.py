"""A shop with two wallets on one store: every part of a checkout but sockets and channels."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from channels.payer_orders import OrderAnswer, OrderRequest, PayerAnswer
from channels.port import Verdict
from domain.checkout import CHECKOUT_METHOD, Checkout, CheckoutStatus
from domain.payment import Payment
from gateway.checkout.assembly import CheckoutRooms, checkout_rooms
from gateway.checkout.bounds import CheckoutBounds
from gateway.checkout.checkouts import Checkouts
from gateway.checkout.opening import Asked
from gateway.checkout.payer_settlement import PayerSettlement, UntoldPayerSettlement
from gateway.checkout.port import Payer
from gateway.http.answers import payment_dict, refund_dict
from gateway.ledger_proof import Findings, LedgerProof
from gateway.limits import NoLimits
from gateway.notices import NoticeWriter
from gateway.recovery import Recovery
from gateway.routes import Route, Routes
from gateway.settlement import Settlement
from gateway.sources import RandomIds
from gateway.store.port import JobKind, Notice
from signing.keywrap import Sealer
from tests.gateway.fakes import DAY_S, House, TellingChannel, draft

PUBLIC_URL = "https://pay.example"
STANDS = OrderAnswer(verdict=Verdict.SUCCEEDED, code="wallet://code", parameters={"order": "1"})
ANN = Payer(wallet="alipay", payer_id="openid-of-ann")
BOB = Payer(wallet="wechat", payer_id="openid-of-bob")
BOUNDS = CheckoutBounds(
    public_url=PUBLIC_URL,
    wait_s=300,
    code_renew_s=60,
    code_grace_s=10,
    take_over_after_s=20,
    interval_s=0.01,
    max_at_once=8,
)


class WalletChannel(TellingChannel):
    """A channel whose payer completes orders."""

    def __init__(self) -> None:
        super().__init__()
        self.orders: list[Any] = [STANDS]
        self.requests: list[OrderRequest] = []

    async def create_code(self, request: OrderRequest) -> OrderAnswer:
        self.requests.append(request)
        answer: OrderAnswer = await self._answer("create_code")
        return answer

    async def create_page_order(self, request: OrderRequest) -> OrderAnswer:
        self.requests.append(request)
        answer: OrderAnswer = await self._answer("create_page_order")
        return answer

    async def _answer(self, call: str) -> Any:
        said = self.orders[0]
        if isinstance(said, OrderAnswer):
            self.calls.append(call)
            return self.orders.pop(0) if len(self.orders) > 1 else said
        return await self._next(call, self.orders)

    def authorise_url(self, return_url: str, state: str) -> str:
        return f"wallet://who?{return_url}&{state}"

    async def payer_of(self, code: str, mark: str = "") -> PayerAnswer:
        return PayerAnswer(verdict=Verdict.SUCCEEDED, payer_id=code)


class Cafe(House):
    """A :class:`House` of which every order may be paid by either wallet."""

    def __init__(self, store: Any, bounds: CheckoutBounds = BOUNDS) -> None:
        self.alipay, self.wechat = WalletChannel(), WalletChannel()
        super().__init__(store, self.alipay)
        self.sealer = Sealer(bytes(32), bytes)
        self.routes = Routes(
            [self._open("a1", "alipay", self.alipay), self._open("w1", "wechat", self.wechat)]
        )
        self.notices = NoticeWriter(
            ids=RandomIds(), render_payment=payment_dict, render_refund=refund_dict
        )
        kind = PayerSettlement if bounds.public_url else UntoldPayerSettlement
        self.settlement: Settlement = kind(
            store=self.store,
            routes=self.routes,
            notices=self.notices,
            clock=self.clock,
            metrics=self.metrics,
            log=self.log,
            patience_s=DAY_S,
            advice_again=self.settlement._advice_again,
        )
        self._open_business()
        self.rooms = self._rooms(bounds)
        self.checkouts: Checkouts = self.rooms.checkouts

    def _open(self, account_id: str, name: str, channel: WalletChannel) -> Route:
        return Route(
            account_id=account_id,
            channel_name=name,
            merchant_no="",
            enabled=True,
            channel=channel,
            notices=channel,
            codes=channel,
            pages=channel,
        )

    def _rooms(self, bounds: CheckoutBounds) -> CheckoutRooms:
        assert isinstance(self.settlement, PayerSettlement)
        return checkout_rooms(
            store=self.store,
            routes=self.routes,
            payments=self.payments,
            settlement=self.settlement,
            notices=self.notices,
            clock=self.clock,
            ids=RandomIds(),
            sealer=self.sealer,
            limits=NoLimits(),
            log=self.log,
            bounds=bounds,
        )

    async def opened(self, key: str = "k1", *, wallets: Sequence[str] = (), **more: Any) -> Payment:
        """A checkout of a merchant's."""
        asked = Asked(
            draft=replace(
                draft(key, method=CHECKOUT_METHOD, channel="", auth_code=""),
                notify_url="https://shop.example/notify",
                fingerprint=b"q" * 16,
                **more,
            ),
            wallets=tuple(wallets),
            shop_name="奶茶店",
        )
        base, _ = await self.checkouts.open(asked)
        return base

    async def row(self, base: Payment) -> Checkout:
        """What the checkout is beside its payment."""
        found: Checkout | None = await self.store.checkout(base.order.id)
        assert found is not None
        return found

    async def attempt(self, base: Payment, number: int = 1) -> Payment:
        """One of its attempts."""
        found: Payment | None = await self.store.payment(f"{base.order.id}-{number}")
        assert found is not None
        return found

    async def stands(self, base: Payment) -> tuple[CheckoutStatus, str]:
        """Where the checkout stands, and what its merchant sees."""
        seen = await self.checkouts.seen(await self.now(base))
        return (await self.row(base)).status, seen.standing.status.value

    async def told(self, base: Payment) -> list[Notice]:
        """What its merchant is told, in order."""
        stored = await self.store.notices(
            merchant_no="", payment_id="", state=None, after="", limit=99
        )
        notices = [one.notice for one in stored if one.notice.payment_id == base.order.id]
        assert len(notices) == len(stored), "somebody was told of an attempt"
        return sorted(notices, key=lambda one: one.sequence)

    def worker(self) -> Recovery:
        """Recovery, to be run by the test."""
        return self.recovery()

    async def end_due(self) -> None:
        """What the background does about checkouts whose time is over."""
        while await self.rooms.closing._round():
            pass

    async def settle_due(self) -> None:
        """What recovery does about every attempt, whatever its time."""
        for job in await self.store.jobs(JobKind.SETTLE, "", 99):
            await self.store.renew(JobKind.SETTLE, job.subject, 0, job.fence, given_back=True)
        await self.recover()

    async def recover(self) -> None:
        """What recovery does about every attempt that is due."""
        recovery = self.recovery()
        await recovery._round()
        while recovery.working():
            for task in tuple(recovery._working):
                await task
            await asyncio.sleep(0)  # what is done is taken off in a turn of its own

    async def proof(self) -> Findings:
        """The books, proved."""
        return await LedgerProof(self.store).run()
