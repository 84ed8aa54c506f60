"""A counter that holds, completes and releases, on a real store and a scripted card host."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from channels.card import CardAction
from channels.port import Answer, PayRequest, PollSchedule, UndoAnswer, Verdict
from domain.decline import DeclineReason
from domain.errors import PosgateError
from domain.payment import Payment
from gateway.directory import OpenKeys
from gateway.ledger_proof import LedgerProof
from gateway.pos.authorisations import Authorisations
from gateway.pos.exchange import Exchange
from gateway.pos.offline import OfflineSales
from gateway.pos.sales import Sales
from gateway.pos.translate import F39_OF_ERROR, RefusedError
from gateway.routes import Route
from gateway.sources import RandomIds
from gateway.store.port import Store, TerminalSession
from pos_protocol import asks
from pos_protocol.card import Card, magnetic_card
from pos_protocol.codec import Message, decode
from pos_protocol.fields.original import Original
from pos_protocol.terminal import Request
from pos_protocol.transactions import TransactionKind
from signing.pos import CipherKey
from tests.gateway.fakes import FakeChannel, House, RefundingChannel
from tests.gateway.pos.one_exchange import MERCHANT_NO, Counter

CARD = magnetic_card("9900000000000002", "3012", sends_pan=True)
OTHER_CARD = magnetic_card("9900000000000010", "3012", sends_pan=True)
AUTH_CODE = "H0LD42"
REFERENCE = "000000000077"
APPROVED = Answer(
    verdict=Verdict.SUCCEEDED, auth_code=AUTH_CODE, reference=REFERENCE, trade_no=REFERENCE
)
LOST = Answer(verdict=Verdict.UNKNOWN)
DECLINED = Answer(
    verdict=Verdict.DECLINED, reason=DeclineReason.INSUFFICIENT_FUNDS, channel_code="51"
)
UNDONE = UndoAnswer(verdict=Verdict.SUCCEEDED, was_paid=True)
NOT_UNDONE = UndoAnswer(verdict=Verdict.UNKNOWN)
SILENT = "silent"
_KEYS = OpenKeys(pin=CipherKey(bytes(range(16))), mac=CipherKey(bytes(range(16, 32))))
_NO_QUERY = PollSchedule(
    query_after_s=(), undo_retry_s=(0.01, 0.01, 0.02), refund_retry_s=(0.01, 0.01, 0.02)
)

Handler = Callable[[Exchange], Awaitable[bytes | None]]


class HoldingHost(RefundingChannel):
    """A card host: approves whatever its script does not say otherwise, knows no query."""

    def __init__(self) -> None:
        super().__init__(_NO_QUERY)
        self.pays = [APPROVED]

    def takes(self, action: CardAction) -> bool:
        """Everything."""
        return True

    def asked_for(self, action: CardAction) -> list[PayRequest]:
        """The payments of one kind that came."""
        return [request for request in self.paid if request.action is action]


class CardHouse(House):
    """The gateway's middle, whose accounts are at the card host."""

    def _route(self, account_id: str, channel: FakeChannel, breaker: Any) -> Route:
        return replace(super()._route(account_id, channel, breaker), channel_name="unionpay_card")


class HoldCounter:
    """A terminal, the handlers it talks to, and what stands behind them."""

    def __init__(self, store: Store, host: FakeChannel | None = None, **house: Any) -> None:
        self.host: Any = host or HoldingHost()
        self.house = CardHouse(store, self.host, **house)
        self.store: Any = self.house.store
        self.clock = self.house.clock
        self._counter = Counter(self.store)
        self.terminal = self._counter.terminal
        self.offline = OfflineSales(
            store=self.store,
            payments=self.house.payments,
            sealer=self._counter.sealer,
            clock=self.clock,
            log=self.house.log,
        )
        self.handlers = Authorisations(
            store=self.store,
            payments=self.house.payments,
            sales=Sales(
                store=self.store,
                payments=self.house.payments,
                sealer=self._counter.sealer,
                clock=self.clock,
                ids=RandomIds(),
                log=self.house.log,
            ),
            sealer=self._counter.sealer,
            clock=self.clock,
            ids=RandomIds(),
            log=self.house.log,
        )

    async def opened(self) -> "HoldCounter":
        """Its merchant and terminal provisioned."""
        await self._counter.provision()
        session = TerminalSession(
            merchant_no=MERCHANT_NO,
            terminal_id=self.terminal.identity.terminal_id,
            version=1,
            signed_in=True,
            batch_no=1,
            signed_in_at_ms=self.clock.now_ms(),
            keys_sealed=b"",
            previous_keys_sealed=b"",
        )
        assert await self.store.save_session(session)
        return self

    # --- what the terminal asks

    def preauth(self, amount_fen: int = 10_000, card: Card = CARD) -> Request:
        return self.terminal.ask(asks.preauth(card, amount_fen))

    def completion(
        self, hold: Request, amount_fen: int = 10_000, card: Card = CARD, **more: Any
    ) -> Request:
        ask = asks.completion(card, amount_fen, original(hold), AUTH_CODE, **more)
        return self.terminal.ask(ask)

    def advice(self, hold: Request, amount_fen: int = 10_000) -> Request:
        ask = asks.completion_advice(CARD, amount_fen, original(hold), AUTH_CODE)
        return self.terminal.ask(ask)

    def void(self, hold: Request, amount_fen: int = 10_000, card: Card = CARD) -> Request:
        return self.terminal.ask(asks.preauth_void(card, amount_fen, original(hold), AUTH_CODE))

    # --- what it hears

    async def exchange(self, request: Request) -> Exchange:
        """What the door hands to a handler."""
        exchange = await self._counter.exchange(request)
        exchange.keys = _KEYS
        return exchange

    async def ask(self, request: Request) -> Message | None:
        """The answer, ``None`` for silence; a refusal is raised."""
        reply = await self.raw(request)
        return None if reply is None else decode(reply)

    async def raw(self, request: Request) -> bytes | None:
        """The answer as it goes out."""
        exchange = await self.exchange(request)
        assert exchange.transaction is not None
        return await self._handler(exchange.transaction.kind)(exchange)

    def _handler(self, kind: TransactionKind) -> Handler:
        return {
            TransactionKind.PREAUTH: self.handlers.preauth,
            TransactionKind.PREAUTH_MOTO: self.handlers.preauth_moto,
            TransactionKind.PREAUTH_ADDITIONAL: self.handlers.preauth_additional,
            TransactionKind.PREAUTH_VOID: self.handlers.preauth_void,
            TransactionKind.COMPLETION: self.handlers.completion,
            TransactionKind.COMPLETION_ADVICE: self.handlers.completion_advice,
            TransactionKind.OFFLINE_SALE: self.offline.offline_sale,
            TransactionKind.ADJUSTMENT: self.offline.adjustment,
            TransactionKind.TIP: self.offline.tip,
        }[kind]

    async def code(self, request: Request) -> str:
        """F39 as the door would answer, or ``silent``."""
        try:
            answer = await self.ask(request)
        except RefusedError as refused:
            return refused.response_code
        except PosgateError as error:
            return F39_OF_ERROR[type(error)]
        return SILENT if answer is None else answer.text(39)

    async def held(self, amount_fen: int = 10_000, card: Card = CARD) -> Request:
        """A hold that was approved."""
        request = self.preauth(amount_fen, card)
        assert await self.code(request) == "00"
        return request

    # --- what is in the books

    async def payment(self, request: Request) -> Payment:
        """What the store holds under a message's number."""
        found = await self.find(request)
        assert found is not None
        return found

    async def find(self, request: Request) -> Payment | None:
        """As :meth:`payment`, if there is one."""
        message = request.message
        key = f"{message.text(41)}-{message.text(60)[2:8]}-{message.text(11)}"
        found: Payment | None = await self.store.payment_by_order(MERCHANT_NO, "pos", key)
        return found

    async def status(self, request: Request) -> str:
        """Where it stands now."""
        return (await self.payment(request)).standing.status.value

    async def until(self, request: Request, *statuses: str) -> None:
        """Wait until it stands there."""
        await self.house.until(await self.payment(request), *statuses)

    async def booked_fen(self, request: Request) -> int:
        """What the ledger says that the host owes us of it; its entries sum to zero."""
        lines = await self.store.postings((await self.payment(request)).order.id)
        assert sum(line.amount_fen for line in lines) == 0
        return sum(line.amount_fen for line in lines if line.account.startswith("channel:"))


def original(request: Request) -> Original:
    """How a later message names an earlier one."""
    message = request.message
    return Original(message.text(60)[2:8], message.text(11))


async def proved(till: HoldCounter) -> None:
    """The books are right, history and ledger."""
    findings = await LedgerProof(till.store).run()
    assert findings.named == []


async def recovered(till: HoldCounter, request: Request, status: str) -> None:
    """Let recovery finish a payment whose worker is gone."""
    payment = await till.payment(request)
    await till.house.make_some_due([payment])
    worker = asyncio.create_task(till.house.recovery().run())
    try:
        await till.until(request, status)
    finally:
        worker.cancel()
