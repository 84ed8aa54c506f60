"""A UnionPay card account behind the channel port.

Rules:

* The dialect has no query. An unknown sale, hold or completion is undone at once by a 0400 (the
  gateway persists that before it asks for it, and repeats it until it is answered). An unknown
  refund is sent again under its number: a host that keeps its answers says the same, one that
  does not says 94 (duplicate), which stays ``UNKNOWN`` until a person has looked. An advice (an
  offline sale, an adjustment, a tip) is sent again too, and never undone: it has no 0400.
* Whatever happens after bytes were queued is ``UNKNOWN``. What happens before is ``NOT_SENT``,
  but for these:

  - a PIN block that cannot be read is ``DECLINED``: that is the terminal's;
  - a refund that cannot be written, of a hold or of another terminal's number is ``DECLINED``
    (``CONFIGURATION``): it can never be sent. Repeated it is ``UNKNOWN``: it may have been,
    under other settings;
  - an undo is ``UNKNOWN``, to be tried again; one of an advice or of another terminal's number is
    ``DECLINED``: it can never be undone here.

* An answer that comes after its time is told to who asked for late words; it is counted,
  and never dropped unread.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from channels.card import ADVICES, HOLDS, CardAction, CardData
from channels.card_abilities import BalanceAnswer
from channels.host_settlement import HostBatch, HostSilent, HostTotals, HostWord
from channels.own_line import LateWord
from channels.port import (
    Answer,
    AnswerLost,
    ChannelHealth,
    ChannelServices,
    NotSent,
    PaymentRef,
    PayRequest,
    PollSchedule,
    RefundAnswer,
    RefundRequest,
    UndoAnswer,
    Verdict,
)
from channels.unionpay.card_balance_wire import build_balance, read_balance
from channels.unionpay.card_codes import PIN_BLOCK_ERROR, SIGN_ON_AGAIN
from channels.unionpay.card_in_flight import SWEEP_S
from channels.unionpay.card_keys import KeyRing
from channels.unionpay.card_late import late_number, read_late
from channels.unionpay.card_link import KEY_WAIT_S, CardLink, LinkSettings
from channels.unionpay.card_messages import (
    BALANCE,
    PAYMENTS,
    REVERSALS,
    CardMessage,
    payment_row,
)
from channels.unionpay.card_numbers import OrderNumbers, batches_of, day_of
from channels.unionpay.card_refund_wire import build_refund, read_refund, refund_message
from channels.unionpay.card_settlement import (
    build_settlement,
    read_settlement,
    settlement_key,
    settlement_number,
)
from channels.unionpay.card_wire import (
    CardAccount,
    Reply,
    ZoneKeys,
    build_reversal,
    build_sale,
    is_order_number,
    read_reversal,
    read_sale,
    reply_key,
)
from domain.decline import DeclineReason
from domain.errors import Unavailable
from domain.money import MoneyError
from pos_protocol.codec import CodecError
from signing.pos import PinBlockError

_COMPLETE: Final = CardAction.COMPLETE
"""Looked up with every payment: a global is, a member of an enumeration is not, cheap."""
_A = TypeVar("_A", Answer, UndoAnswer, RefundAnswer, BalanceAnswer)


@dataclass(frozen=True, slots=True)
class _Fault:
    """Why there is no answer to read; ``unwritable``, ``reason`` and ``code`` as in ``Answer``."""

    verdict: Verdict
    text: str
    unwritable: bool = False
    reason: DeclineReason | None = None
    code: str = ""


_UNREADABLE_PIN: Final = _Fault(
    Verdict.DECLINED,
    "the PIN block cannot be read; nothing was sent",
    reason=DeclineReason.WRONG_PIN,
    code=PIN_BLOCK_ERROR,
)


class CardChannel:
    """One merchant and terminal of ours at a card host."""

    def __init__(
        self,
        account: CardAccount,
        settings: LinkSettings,
        services: ChannelServices,
        numbers: OrderNumbers,
        schedule: PollSchedule,
        ring: KeyRing | None = None,
    ) -> None:
        self._account = account
        self._clock = services.clock
        self._timeout_s = settings.timeout_s + KEY_WAIT_S + SWEEP_S
        self._link = CardLink(
            account, settings, services.connect, services.clock, self._unmatched, ring
        )
        self._numbers = numbers
        self._schedule = schedule
        self._tell_late: Callable[[LateWord], None] | None = None
        self._late = 0
        self._strays = 0

    @property
    def schedule(self) -> PollSchedule:
        """No queries: undo at once."""
        return self._schedule

    @property
    def timeout_s(self) -> float:
        """The wait for an answer, and a sign-on that may come before it."""
        return self._timeout_s

    def new_order_no(self) -> str:
        """Terminal, batch and trace; raises ``Unavailable`` when none is reserved."""
        return self._numbers.next()

    def new_refund_no(self) -> str:
        """As :meth:`new_order_no`: a return is a transaction with a trace of its own."""
        return self._numbers.next()

    def takes(self, action: CardAction) -> bool:
        """Sales, holds, completions, and the advices of the dialect."""
        return action in PAYMENTS

    def health(self) -> ChannelHealth:
        """Ready while signed on and with numbers in reserve."""
        if not self._numbers.available:
            return ChannelHealth(ready=False, detail="no order numbers are reserved")
        return self._link.health()

    def host_batches(self, at_ms: int) -> Sequence[HostBatch]:
        """See :class:`channels.host_settlement.HostSettlement`."""
        terminal_id = self._account.terminal_id
        return [
            HostBatch(terminal_id=terminal_id, batch_no=number, prefix=f"{terminal_id}{number:06}")
            for number in batches_of(day_of(at_ms))
        ]

    async def start_settling(self) -> None:
        """Connect and do not sign on: that could take the keys from a gateway's own links."""
        await self._link.start(signs_on=False)

    async def settle_batch(self, batch: HostBatch, ours: HostTotals) -> HostWord:
        """A 0500 and its answer; needs a connection and no keys."""
        try:
            payload = build_settlement(batch, ours, self._account)
            reply = await self._link.exchange(
                payload, settlement_key(batch), settlement_number(batch)
            )
        except (NotSent, AnswerLost, CodecError) as fault:
            raise HostSilent(str(fault)) from fault
        return read_settlement(reply.message, batch, self._account)

    def when_line_turns(self, tell: Callable[[bool], None]) -> None:
        """See :class:`channels.own_line.OwnLine`."""
        self._link.when_turned(tell)

    def when_late(self, tell: Callable[[LateWord], None]) -> None:
        """See :class:`channels.own_line.OwnLine`."""
        self._tell_late = tell

    def line_statistics(self) -> Sequence[Mapping[str, int]]:
        """Each line's; what no line has alone stands with the first one."""
        first, *others = self._link.statistics()
        shared = {
            "in_flight": len(self._link.in_flight),
            "late": self._late,
            "stray": self._strays,
            "take_overs": self._link.take_overs,
        }
        return [{**first, **shared}, *({**one, **dict.fromkeys(shared, 0)} for one in others)]

    def _unmatched(self, reply: Reply) -> None:
        """An answer that nobody waits for: late, doubled, or to what another life sent."""
        in_flight = self._link.in_flight
        number = late_number(reply.message, in_flight.given_up_by_trace)
        original = in_flight.given_up(number)
        if original is None:
            self._strays += 1
        else:
            self._late += 1
        now_ms, keys = self._clock.now_ms(), self._link.recent_keys()
        word = read_late(reply, number, original, self._account, keys, now_ms)
        if word is not None and self._tell_late is not None:
            self._tell_late(word)

    async def start(self) -> None:
        """Reserve numbers and begin to connect."""
        await self._numbers.start()
        await self._link.start()

    async def close(self) -> None:
        """Finish what is in flight, then disconnect."""
        await self._link.close()
        await self._numbers.close()

    def pay(self, request: PayRequest) -> Coroutine[None, None, Answer]:
        """A 0200 or 0100 and its answer."""
        card, account = request.card, self._account
        if card is None or not self._is_ours(request):
            return _not_ours()
        return self._exchange(
            payment_row(request.action),
            request.order_no,
            lambda keys: build_sale(request, card, account, keys),
            lambda reply, keys: read_sale(reply, request, account, keys),
            _payment_fault,
        )

    def _is_ours(self, request: PayRequest) -> bool:
        """Our terminal's number, and our number of what it completes or adds to, if it does."""
        terminal_id, hold, advice = self._account.terminal_id, request.original, request.advice
        if not is_order_number(request.order_no, terminal_id):
            return False
        if (request.action in ADVICES) is (advice is None):
            return False
        if advice is not None and advice.original_no:
            return is_order_number(advice.original_no, terminal_id)
        if request.action is not _COMPLETE:
            return hold is None
        return hold is not None and is_order_number(hold.order_no, terminal_id)

    async def query(self, ref: PaymentRef) -> Answer:
        """The dialect has no query: always ``UNKNOWN``."""
        return Answer(verdict=Verdict.UNKNOWN, channel_message="a card host cannot be queried")

    async def cancel(self, ref: PaymentRef) -> UndoAnswer:
        """A 0400 and its answer; repeatable with the same number."""
        account, row = self._account, REVERSALS.get(ref.action)
        if row is None or not is_order_number(ref.order_no, account.terminal_id):
            why = "an advice is not undone" if row is None else "the number of another terminal"
            return UndoAnswer(verdict=Verdict.DECLINED, channel_message=why)
        return await self._exchange(
            row,
            ref.order_no,
            lambda keys: build_reversal(ref, account, keys),
            lambda reply, keys: read_reversal(reply, ref, account, keys),
            lambda fault: UndoAnswer(verdict=Verdict.UNKNOWN, channel_message=fault.text),
        )

    async def refund(self, request: RefundRequest) -> RefundAnswer:
        """A void or a 0220 and its answer; repeatable with the same number."""
        account, payment = self._account, request.payment
        if payment.action in HOLDS:
            return _never_sent(request, "a hold has nothing to return")
        for number in (request.refund_no, payment.order_no):
            if not is_order_number(number, account.terminal_id):
                return _never_sent(request, "the number of another terminal")
        return await self._exchange(
            refund_message(request),
            request.refund_no,
            lambda keys: build_refund(request, account, keys),
            lambda reply, keys: read_refund(reply, request, account, keys),
            partial(_refund_fault, request),
            payment.order_no,
        )

    async def query_refund(self, request: RefundRequest) -> RefundAnswer:
        """The dialect has no query: not known, and to be sent again."""
        return RefundAnswer(
            verdict=Verdict.UNKNOWN,
            not_found=True,
            channel_message="a card host cannot be asked about a refund",
        )

    async def balance(self, card: CardData) -> BalanceAnswer:
        """A balance inquiry and its answer, under a number that nothing else has."""
        account = self._account
        try:
            order_no = self._numbers.next()
        except Unavailable as fault:
            return BalanceAnswer(verdict=Verdict.NOT_SENT, channel_message=fault.message)
        return await self._exchange(
            BALANCE,
            order_no,
            lambda keys: build_balance(order_no, card, account, keys),
            lambda reply, keys: read_balance(reply, order_no, account, keys),
            _balance_fault,
        )

    async def _exchange(
        self,
        row: CardMessage,
        number: str,
        build: Callable[[ZoneKeys], bytes],
        read: Callable[[Reply, Sequence[ZoneKeys]], _A],
        told: Callable[[_Fault], _A],
        original: str = "",
    ) -> _A:
        """One request under ``number`` and what its answer says, or why there is none, as told."""
        link = self._link
        try:
            keys = link.keys_at_hand() or await link.keys()
            payload = build(keys)
        except PinBlockError:
            return told(_UNREADABLE_PIN)
        except (NotSent, CodecError, MoneyError) as fault:
            unwritable = not isinstance(fault, NotSent)
            return told(_Fault(Verdict.NOT_SENT, str(fault), unwritable=unwritable))
        try:
            key = reply_key(row.reply_mti, self._account.terminal_id, number[14:])
            reply = await link.exchange(payload, key, number, original)
            answer = read(reply, link.accepted_keys(keys))
        except NotSent as fault:
            return told(_Fault(Verdict.NOT_SENT, str(fault)))
        except AnswerLost as fault:
            return told(_Fault(Verdict.UNKNOWN, str(fault)))
        except Exception as fault:  # a defect of ours after sending: the money may have moved
            return told(_Fault(Verdict.UNKNOWN, type(fault).__name__))
        if answer.channel_code in SIGN_ON_AGAIN:
            link.sign_on_again()
        return answer


async def _not_ours() -> Answer:
    return Answer(
        verdict=Verdict.NOT_SENT,
        unwritable=True,
        channel_message="not a card payment of ours",
    )


def _payment_fault(fault: _Fault) -> Answer:
    return Answer(
        verdict=fault.verdict,
        reason=fault.reason,
        channel_code=fault.code,
        unwritable=fault.unwritable,
        channel_message=fault.text,
    )


def _balance_fault(fault: _Fault) -> BalanceAnswer:
    return BalanceAnswer(
        verdict=fault.verdict,
        reason=fault.reason,
        channel_code=fault.code,
        unwritable=fault.unwritable,
        channel_message=fault.text,
    )


def _refund_fault(request: RefundRequest, fault: _Fault) -> RefundAnswer:
    if fault.unwritable:
        return _never_sent(request, fault.text)
    return RefundAnswer(verdict=fault.verdict, channel_message=fault.text)


def _never_sent(request: RefundRequest, why: str) -> RefundAnswer:
    """A refund that can never be sent; one that may have been, under other settings, is open."""
    if request.repeated:
        return RefundAnswer(verdict=Verdict.UNKNOWN, channel_message=why)
    return RefundAnswer(
        verdict=Verdict.DECLINED, reason=DeclineReason.CONFIGURATION, channel_message=why
    )
