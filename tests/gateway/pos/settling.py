"""A terminal that settles its batches, and a store to plant transactions in.

Rules: the host's side is planted in the store itself (what the channels said is not the
matter here), the terminal's side in a log of its own; the messages between them are real
ones, read and answered by the handlers as the door would let them in.
"""

import itertools
from dataclasses import dataclass, replace
from typing import Any

import structlog
from structlog.testing import LogCapture

from domain.payment import Event, Standing, Status
from domain.refund import RefundStanding, RefundStatus
from gateway.pos.batch_order import BatchOrder
from gateway.pos.batches import Batches
from gateway.pos.exchange import Exchange
from gateway.store.batch_records import BatchDifference, BatchKey
from gateway.store.port import (
    Advance,
    Claim,
    RefundClaimed,
    Store,
    TerminalSession,
    pos_refund_number,
)
from pos_protocol import asks, management_asks
from pos_protocol.asks import Ask
from pos_protocol.card import chip_card, magnetic_card
from pos_protocol.codec import Message
from pos_protocol.fields.totals import ClassTotals, SettlementTotals, parse_totals
from pos_protocol.fields.upload import ChipLine, UploadLine, blocks
from pos_protocol.numbering import following
from pos_protocol.transactions import TransactionKind, batch_of
from tests.gateway.pos.one_exchange import MERCHANT_NO, TERMINAL_ID, Counter, answered
from tests.support.payments import sample_order, sample_postings
from tests.support.refunds import sample_refund_claim

PAN = "9900001234567899"
OTHER_PAN = "9900001234567881"
_K = TransactionKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Sold:
    """A transaction in the terminal's log."""

    trace: str
    amount_fen: int
    pan: str = PAN
    is_credit: bool = False
    is_chip: bool = False


class Books:
    """What the host holds, written straight into the store."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._store: Store = counter.store
        self._numbers = itertools.count(1)

    async def payment(
        self,
        batch: str,
        trace: str,
        amount_fen: int,
        *,
        status: Status = Status.SUCCEEDED,
        pan: str = PAN,
        parked: str = "",
        organisation: str = "",
    ) -> str:
        """A payment from the till; its id."""
        number = next(self._numbers)
        token = self._counter.sealer.token(pan.encode() if pan else b"of a code")
        order = sample_order(
            number,
            merchant_no=MERCHANT_NO,
            order_key=f"{TERMINAL_ID}-{batch}-{trace}",
            terminal_id=TERMINAL_ID,
            amount_fen=amount_fen,
            method="card" if pan else "auth_code",
            pan_token=token,
        )
        submitted = Standing(status=Status.SUBMITTED, version=1)
        claim = Claim(order=order, standing=submitted, event=Event.SUBMIT, due_at_ms=5_000)
        assert await self._store.claim(claim)
        if status is Status.SUBMITTED:
            return order.id
        captured = amount_fen if status in (Status.SUCCEEDED, Status.REVERSED) else 0
        ended = Standing(
            status=status,
            version=2,
            captured_fen=captured,
            returned_fen=captured if status is Status.REVERSED else 0,
            parked_reason=parked,
            card_organisation=organisation,
        )
        moved = Advance(
            payment_id=order.id,
            merchant_no=MERCHANT_NO,
            previous=Status.SUBMITTED,
            event=Event.PAID,
            standing=ended,
            at_ms=2_500,
            due_at_ms=None,
            account_id="a1",
            postings=sample_postings(amount_fen) if captured else (),
        )
        assert await self._store.advance(moved)
        return order.id

    async def refund(
        self,
        batch: str,
        trace: str,
        amount_fen: int,
        *,
        pan: str = PAN,
        status: RefundStatus = RefundStatus.SUBMITTED,
    ) -> str:
        """A refund of a sale long ago; that sale's id."""
        of = await self.payment("999999", f"{next(self._numbers):06d}", amount_fen, pan=pan)
        paid = await self._store.payment(of)
        assert paid is not None
        number = next(self._numbers)
        names = {"merchant_no": MERCHANT_NO}
        claim = sample_refund_claim(
            number,
            paid,
            amount_fen,
            merchant_refund_no=pos_refund_number(f"{TERMINAL_ID}-{batch}-{trace}"),
            **names,
        )
        born = replace(claim.refund, standing=RefundStanding(status=status, version=1))
        claim = replace(claim, refund=born)
        assert await self._store.claim_refund(claim) is RefundClaimed.WON
        return of


class Till:
    """The terminal: its log, its batch, and what it says when the day is over."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.counter = Counter(store)
        self.books = Books(self.counter)
        self.capture = LogCapture()
        self.log_of_batch: list[Sold] = []
        log: Any = structlog.wrap_logger(None, processors=[self.capture])
        counter = self.counter
        self.order = BatchOrder(store=store, directory=counter._directory, clock=counter.clock)
        self.batches = Batches(
            store=store, order=self.order, sealer=counter.sealer, clock=counter.clock, log=log
        )

    async def open(self) -> None:
        """Provision it and sign it in to batch 1."""
        await self.counter.provision()
        session = TerminalSession(
            merchant_no=MERCHANT_NO,
            terminal_id=TERMINAL_ID,
            version=1,
            signed_in=True,
            batch_no=1,
            signed_in_at_ms=self.counter.clock.now_ms(),
            keys_sealed=b"",
            previous_keys_sealed=b"",
        )
        assert await self.store.save_session(session)

    @property
    def batch(self) -> str:
        return self.counter.terminal.batch

    @property
    def key(self) -> BatchKey:
        """The batch that the terminal is in."""
        return BatchKey(MERCHANT_NO, TERMINAL_ID, int(self.batch))

    async def session(self) -> TerminalSession:
        """The terminal's session as it is stored."""
        found = await self.store.terminal(self.counter.terminal.identity.merchant_id, TERMINAL_ID)
        assert found is not None
        assert found[2] is not None
        return found[2]

    async def let_in(self, ask: Ask) -> Exchange:
        """What the door does with a message before its handler: hold it against the batch."""
        exchange = await self.counter.exchange(ask)
        session = exchange.known.session
        assert session is not None
        if batch_of(exchange.message) != f"{session.batch_no:06d}":
            await self.order.admit(exchange)
        return exchange

    async def say(self, ask: Ask) -> Message:
        """The answer to a message of a settlement."""
        exchange = await self.let_in(ask)
        handlers = {
            _K.SETTLEMENT: self.batches.settlement,
            _K.UPLOAD: self.batches.upload,
            _K.UPLOAD_END: self.batches.upload_end,
            _K.NOTICE_UPLOAD: self.batches.notice_upload,
        }
        return answered(await handlers[ask.row.kind](exchange))

    def totals(self) -> SettlementTotals:
        """What the log comes to."""
        totals = ClassTotals()
        for sold in self.log_of_batch:
            side = "credit_fen" if sold.is_credit else "debit_fen"
            totals = totals.plus(**{side: sold.amount_fen})
        return SettlementTotals(totals)

    async def settle(self, totals: SettlementTotals | None = None) -> SettlementTotals:
        """0500: the host's F48."""
        said = self.totals() if totals is None else totals
        answer = await self.say(management_asks.settlement(said, "01 "))
        assert (answer.mti, 39 in answer.fields) == ("0510", False)
        return parse_totals(answer.text(48))

    def uploads(self, *, everything: bool) -> list[Ask]:
        """The messages of the upload that the host's flag asks for."""
        chips = [sold for sold in self.log_of_batch if sold.is_chip]
        uploads = [
            management_asks.upload_chip(
                chip_card(sold.pan, "3012", b"\x9f\x26\x00"),
                sold.trace,
                ChipLine(amount_fen=sold.amount_fen),
                totals_agreed=not everything,
            )
            for sold in chips
        ]
        if everything:
            lines = [
                UploadLine(trace=sold.trace, pan=sold.pan, amount_fen=sold.amount_fen)
                for sold in self.log_of_batch
                if not sold.is_chip
            ]
            uploads += [management_asks.upload_lines(block) for block in blocks(lines)]
        return uploads

    async def end(self, count: int, *, everything: bool) -> Message:
        """207 or 202."""
        return await self.say(management_asks.upload_end(count, totals_agreed=not everything))

    def next_batch(self) -> None:
        """Clear the log and count on, as a terminal does after its upload."""
        self.log_of_batch.clear()
        self.counter.terminal.batch = f"{following(int(self.batch)):06d}"

    async def first_sale(self) -> None:
        """A message with a MAC in the batch that the terminal counts: it is let in."""
        card = magnetic_card(PAN, "9900001234567899=30121010000000000000")
        await self.let_in(asks.sale(card, 100))

    async def differences(self, key: BatchKey) -> list[BatchDifference]:
        """Everything that the store says about a batch."""
        found: list[BatchDifference] = []
        while page := await self.store.differences_of_batch(key, found[-1] if found else None, 7):
            found += page
        return found

    def said(self, event: str) -> list[Any]:
        """The log lines of one event."""
        return [line for line in self.capture.entries if line["event"] == event]
