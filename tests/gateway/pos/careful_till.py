"""A till that keeps the rules of reference §6, and a book of what it knows.

Rules: a reversal is stored before the message goes out that it would take back, sent
before the next transaction and three times at most; after that the till does not know, and
an inquiry must say. A refusal without a MAC proves nothing on a line that doubles frames:
the till does not know then either. A refund is never reversed: it is sent again, the same,
until it is answered, and so is an offline sale, which nobody asks about.
"""

import asyncio
import enum
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.cli.terminal_client import TerminalPlace, TerminalSecurity
from pos_protocol import asks, management_asks
from pos_protocol.asks import Ask
from pos_protocol.card import Card, magnetic_card
from pos_protocol.fields.original import Original
from pos_protocol.fields.payment_status import PaymentState, parse_payment_status
from pos_protocol.fields.totals import ClassTotals, SettlementTotals, parse_totals
from pos_protocol.outcome import NO_ANSWER, AnswerFault, Outcome, Request
from pos_protocol.response_codes import SIGN_IN_AGAIN
from pos_protocol.terminal import Terminal, TerminalIdentity
from pos_protocol.transactions import identify
from tests.gateway.pos.corner_shop import POS_MERCHANT_ID, TERMINAL_ID, TMK, CornerShop
from tests.gateway.pos.lossy_link import LossyLink

CARD = magnetic_card("9900001234567899", "3012")
CODE = "289900000000000017"
PATIENCE_S = 60.0
_SENDS = 3
"""How often anything is sent before the till gives up for now."""
_STRANGE = (AnswerFault.MISMATCH, AnswerFault.UNREADABLE)


class Known(enum.Enum):
    """What the till knows of a sale."""

    STANDING = "standing"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Sale:
    """One sale in the till's book; ``taken`` once it knows that the money was taken.

    ``voiding`` is the void that nobody has answered for certain.
    """

    request: Request
    batch: str
    amount_fen: int
    card: Card | None
    known: Known = Known.UNKNOWN
    taken: bool = False
    reference: str = ""
    date: str = ""
    returned_fen: int = 0
    voiding: Original | None = None
    was_reversed: bool = False
    is_offline: bool = False

    @property
    def key(self) -> str:
        """As the gateway calls it."""
        return f"{TERMINAL_ID}-{self.batch}-{self.request.trace}"

    @property
    def original(self) -> Original:
        """What F61 says of it."""
        return Original(self.batch, self.request.trace, self.date)

    @property
    def kept_fen(self) -> int:
        """What the shop has of it, as far as the till knows."""
        return self.amount_fen - self.returned_fen if self.known is Known.STANDING else 0


@dataclass(slots=True)
class Undoing:
    """A reversal that is stored; ``if_undone`` is how the sale stands after it."""

    of: Request
    sale: Sale
    if_undone: Known
    reason: str = NO_ANSWER
    sends: int = 0


@dataclass(slots=True)
class OpenRefund:
    """A refund that nobody has answered for certain; ``original`` is its own number."""

    ask: Ask
    original: Original
    sale: Sale
    amount_fen: int


@dataclass(slots=True)
class OpenAdvice:
    """An offline sale that nobody has answered for certain."""

    ask: Ask
    sale: Sale


@dataclass(slots=True)
class Totals:
    """What the till's receipts come to."""

    debits: list[int] = field(default_factory=list)
    credits: list[int] = field(default_factory=list)


class CarefulTill:
    """One terminal and its book."""

    def __init__(
        self,
        shop: CornerShop,
        approved: Callable[[str, int], None] = lambda key, amount_fen: None,
        said: Callable[[str], None] = lambda line: None,
        *,
        patient: bool = True,
    ) -> None:
        """``approved`` and ``said`` hear of approvals that it sees, and of all that it does.

        ``patient``: it overhears answers that belong to something else, and waits on.
        """
        self._said = said
        self._approved = approved
        self._patient = patient
        place = TerminalPlace(
            host="", port=0, merchant_id=POS_MERCHANT_ID, terminal_id=TERMINAL_ID, tmk=TMK
        )
        identity = TerminalIdentity(terminal_id=TERMINAL_ID, merchant_id=POS_MERCHANT_ID)
        self.terminal = Terminal(identity, TerminalSecurity(place))
        self.link = LossyLink(shop.loop, shop.gateway.pos_listener, self._received, said)
        self.sales: list[Sale] = []
        self.totals = Totals()
        self._undoing: Undoing | None = None
        self._refunds: list[OpenRefund] = []
        self._advices: list[OpenAdvice] = []
        self._is_settling = False
        self._request: Request | None = None
        self._answer: asyncio.Future[Outcome] | None = None

    # --- what a cashier does

    async def sell(self, amount_fen: int, *, by_card: bool) -> None:
        """Sell, by card or by the payer's code."""
        if not await self._ready():
            return
        card = CARD if by_card else None
        ask = asks.qr_sale(CODE, amount_fen) if card is None else asks.sale(card, amount_fen)
        request = self.terminal.ask(ask)
        sale = Sale(request, self.terminal.batch, amount_fen, card)
        self.sales.append(sale)
        outcome = await self._try(request, sale, Known.GONE)
        if outcome is not None and outcome.approved:
            assert outcome.message is not None
            sale.reference, sale.date = outcome.reference, outcome.message.text(13)
            self._stands(sale)

    async def sell_offline(self, amount_fen: int) -> None:
        """The goods are gone; whether the line is up or not, the host is told sooner or later."""
        if not await self._ready():
            return
        ask = asks.offline_sale(CARD, amount_fen, "123456")
        request = self.terminal.ask(ask)
        sale = Sale(request, self.terminal.batch, amount_fen, CARD, is_offline=True)
        self.sales.append(sale)
        self._advices.append(OpenAdvice(_again(ask, request), sale))
        await self._send_advices()

    async def void(self, sale: Sale) -> None:
        """Take the whole of a sale back."""
        if not await self._ready() or sale.known is not Known.STANDING or sale.is_offline:
            return
        if sale.card is None:
            ask = asks.qr_void(sale.amount_fen, sale.original, code=CODE)
        else:
            ask = asks.void(sale.card, sale.amount_fen, sale.original, sale.reference)
        request = self.terminal.ask(ask)
        sale.known, sale.voiding = Known.UNKNOWN, Original(self.terminal.batch, request.trace)
        outcome = await self._try(request, sale, Known.STANDING)
        if outcome is not None and outcome.approved:
            self._went_back(sale)

    async def refund(self, sale: Sale, amount_fen: int) -> None:
        """Give a part or all of a sale back."""
        if not await self._ready() or sale.known is not Known.STANDING:
            return
        if sale.card is None:
            ask = asks.qr_refund(amount_fen, sale.original, code=CODE)
        else:
            ask = asks.refund(sale.card, amount_fen, sale.original, sale.reference)
        request = self.terminal.ask(ask)
        number = Original(self.terminal.batch, request.trace)
        self._refunds.append(OpenRefund(_again(ask, request), number, sale, amount_fen))
        await self._send_refunds()

    async def sign_in(self) -> bool:
        """Fresh working keys, if the line lets them through; not in a settlement."""
        return not self._is_settling and await self._sign_in()

    async def _sign_in(self) -> bool:
        for _ in range(_SENDS):
            outcome = await self.exchange(self.terminal.sign_in())
            if outcome is not None and outcome.approved:
                return True
            await asyncio.sleep(1)
        return False

    async def inquire(self, *, about_returns: bool = False) -> bool:
        """Ask about what the till does not know; whether it knows everything now.

        A refund by its own number; a void by its own too, if ``about_returns``. A sale that
        was reversed, or that a void was sent for, only while nothing is under way: what
        comes late would make the answer untrue.
        """
        if self._is_settling or not await self._ready(refunds_first=not about_returns):
            return False
        if about_returns:
            for refund in tuple(self._refunds):
                await self._inquire_refund(refund)
        for sale in self.sales:
            if sale.known is not Known.UNKNOWN or sale.is_offline:
                continue
            if about_returns and sale.voiding is not None:
                await self._inquire_void(sale, sale.voiding)
            elif not (self.link.under_way and (sale.was_reversed or sale.voiding)):
                await self._inquire_sale(sale)
        return not self._refunds and all(sale.known is not Known.UNKNOWN for sale in self.sales)

    async def settle(self) -> bool:
        """Settle, once the till knows everything; whether the batch is closed.

        A settlement that is not answered goes on before anything else.
        """
        self._is_settling = self._is_settling or await self.inquire()
        return self._is_settling and await self._finish_settlement()

    async def _told(self, about: Original) -> PaymentState:
        """What an inquiry is told, "asking" if nothing."""
        outcome = await self.exchange(self.terminal.ask(asks.status_inquiry(about)))
        if outcome is None or not outcome.approved or outcome.message is None:
            await asyncio.sleep(1)  # an answer to something before, or a sign-in is wanted
            return PaymentState.ASKING
        state = parse_payment_status(outcome.message.data(62)).state
        self._said(f"  {about.batch} {about.trace} is {state.name}")
        return state

    async def _inquire_sale(self, sale: Sale) -> None:
        match await self._told(sale.original):
            case PaymentState.PAID:
                self._stands(sale)
            case PaymentState.NOT_PAID | PaymentState.NEVER_SEEN:
                if sale.taken:
                    self._went_back(sale)
                sale.known = Known.GONE
            case PaymentState.ASKING:
                pass

    async def _inquire_void(self, sale: Sale, void: Original) -> None:
        match await self._told(void):
            case PaymentState.PAID:
                self._went_back(sale)
            case PaymentState.NOT_PAID | PaymentState.NEVER_SEEN:
                self._stands(sale)
            case PaymentState.ASKING:
                pass

    async def _inquire_refund(self, refund: OpenRefund) -> None:
        match await self._told(refund.original):
            case PaymentState.PAID:
                self._refunded(refund)
            case PaymentState.NOT_PAID | PaymentState.NEVER_SEEN:
                self._refunds.remove(refund)
            case PaymentState.ASKING:
                pass

    async def _finish_settlement(self) -> bool:
        log = self.totals
        said = ClassTotals(
            debit_fen=sum(log.debits),
            debit_count=len(log.debits),
            credit_fen=sum(log.credits),
            credit_count=len(log.credits),
        )
        for _ in range(_SENDS):
            ask = management_asks.settlement(SettlementTotals(said), "001")
            outcome = await self.exchange(self.terminal.ask(ask))
            if outcome is None or outcome.fault is not None or outcome.message is None:
                continue
            if outcome.response_code in SIGN_IN_AGAIN:
                await self._sign_in()
            if not outcome.approved:
                continue
            host = parse_totals(outcome.message.text(48))
            assert host.are_equal, f"the terminal has {said}, the gateway {host.domestic}"
            self.terminal.close_batch()
            self.totals, self._is_settling = Totals(), False
            return True
        return False

    # --- what the till keeps in its book

    def _stands(self, sale: Sale) -> None:
        sale.known, sale.voiding = Known.STANDING, None
        if not sale.taken:
            sale.taken = True
            self.totals.debits.append(sale.amount_fen)
            self._approved(sale.key, sale.amount_fen)

    def _went_back(self, sale: Sale) -> None:
        if sale.returned_fen < sale.amount_fen:
            self.totals.credits.append(sale.amount_fen - sale.returned_fen)
        sale.known, sale.returned_fen = Known.GONE, sale.amount_fen

    def _refunded(self, refund: OpenRefund) -> None:
        refund.sale.returned_fen += refund.amount_fen
        self.totals.credits.append(refund.amount_fen)
        self._refunds.remove(refund)

    # --- sending

    async def _try(self, request: Request, sale: Sale, if_not: Known) -> Outcome | None:
        """Send what can be reversed; the outcome, where one can be believed."""
        self._undoing = Undoing(request, sale, if_not)
        outcome = await self.exchange(request)
        if outcome is None:
            return None
        if outcome.reversal_reason:
            self._undoing.reason = outcome.reversal_reason
            return None
        self._undoing = None
        if not outcome.approved and _is_signed(outcome):
            sale.known = if_not
        return outcome

    async def _ready(self, *, refunds_first: bool = True) -> bool:
        """What goes before a transaction: a settlement, a sign-in, a reversal, open refunds."""
        if self._is_settling and not await self._finish_settlement():
            return False
        if not self.terminal.signed_in and not await self.sign_in():
            return False
        if not await self._send_reversal():
            return False
        if refunds_first:
            await self._send_refunds()
        await self._send_advices()
        return self.terminal.signed_in or await self.sign_in()

    async def _send_reversal(self) -> bool:
        undoing = self._undoing
        while undoing is not None and undoing.sends < _SENDS:
            if not self.terminal.signed_in and not await self.sign_in():
                return False
            undoing.sends += 1
            undoing.sale.was_reversed = True
            reversal = self.terminal.reversal(undoing.of, undoing.reason)
            outcome = await self.exchange(reversal)
            if outcome is not None and outcome.is_reversal_done:
                if _is_signed(outcome):
                    undoing.sale.known = undoing.if_undone
                break
        self._undoing = None
        return True

    async def _send_refunds(self) -> None:
        for one in tuple(self._refunds):
            if not self.terminal.signed_in and not await self.sign_in():
                return
            outcome = await self.exchange(self.terminal.ask(one.ask))
            if outcome is None or outcome.fault is not None:
                continue
            if outcome.approved:
                self._refunded(one)
            elif outcome.response_code not in SIGN_IN_AGAIN and (
                _is_signed(outcome) or self.link.is_sound
            ):
                self._refunds.remove(one)

    async def _send_advices(self) -> None:
        for one in tuple(self._advices):
            if not self.terminal.signed_in and not await self.sign_in():
                return
            outcome = await self.exchange(self.terminal.ask(one.ask))
            if outcome is None or outcome.fault is not None:
                continue
            if outcome.approved:
                assert outcome.message is not None
                one.sale.reference = outcome.reference
                one.sale.date = outcome.message.text(13)
                self._stands(one.sale)
                self._advices.remove(one)
            elif outcome.response_code not in SIGN_IN_AGAIN and _is_signed(outcome):
                one.sale.known = Known.GONE
                self._advices.remove(one)

    async def exchange(self, request: Request) -> Outcome | None:
        """Send and wait; ``None`` is silence."""
        kind = identify(request.message)
        name = kind.kind.value if kind is not None else request.message.mti
        self._said(f"{name} {request.trace}")
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._request, self._answer = request, answer
        self.link.send(request.payload)
        try:
            async with asyncio.timeout(PATIENCE_S):
                outcome = await answer
        except TimeoutError:
            self._said("  silence")
            return None
        finally:
            self._request = self._answer = None
        self._said(f"  {outcome.response_code} {outcome.fault.value if outcome.fault else ''}")
        return outcome

    def _received(self, payload: bytes) -> None:
        if self._request is None or self._answer is None or self._answer.done():
            return
        outcome = self.terminal.read(self._request, payload)
        if not (self._patient and outcome.fault in _STRANGE):
            self._answer.set_result(outcome)


def _again(ask: Ask, request: Request) -> Ask:
    """The same once more, under the number that it had."""
    return Ask(
        row=ask.row, fields=ask.fields, card=ask.card,
        read_capability=ask.read_capability, trace=request.trace,
    )  # fmt: skip


def _is_signed(outcome: Outcome) -> bool:
    """Whether a MAC covers what the answer says."""
    return outcome.fault is None and outcome.message is not None and 64 in outcome.message.fields
