"""A UnionPay card account behind the channel port.

Rules: the dialect has no query, so an unknown sale is undone at once by a 0400
(the gateway persists that before it asks for it, and repeats it until it is
answered). Whatever happens after bytes were queued is ``UNKNOWN``; what happens
before is ``NOT_SENT``, but for a PIN block that cannot be read: that is the
terminal's, and nothing was sent.
"""

from channels.port import (
    Answer,
    AnswerLost,
    ChannelHealth,
    NotSent,
    PaymentRef,
    PayRequest,
    PollSchedule,
    UndoAnswer,
    Verdict,
)
from channels.unionpay.card_codes import PIN_BLOCK_ERROR, SIGN_ON_AGAIN
from channels.unionpay.card_link import CardLink
from channels.unionpay.card_numbers import OrderNumbers
from channels.unionpay.card_wire import (
    REVERSAL_REPLY,
    SALE_REPLY,
    CardAccount,
    build_reversal,
    build_sale,
    is_order_number,
    read_reversal,
    read_sale,
    reply_key,
)
from domain.decline import DeclineReason
from domain.money import MoneyError
from pos_protocol.codec import CodecError
from signing.pos import PinBlockError


class CardChannel:
    """One merchant and terminal of ours at a card host."""

    def __init__(
        self,
        account: CardAccount,
        link: CardLink,
        numbers: OrderNumbers,
        schedule: PollSchedule,
        *,
        timeout_s: float,
    ) -> None:
        self._account = account
        self._timeout_s = timeout_s
        self._link = link
        self._numbers = numbers
        self._schedule = schedule

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

    def health(self) -> ChannelHealth:
        """Ready while signed on and with numbers in reserve."""
        if not self._numbers.available:
            return ChannelHealth(ready=False, detail="no order numbers are reserved")
        return self._link.health()

    async def start(self) -> None:
        """Reserve numbers and begin to connect."""
        await self._numbers.start()
        await self._link.start()

    async def close(self) -> None:
        """Finish what is in flight, then disconnect."""
        await self._link.close()
        await self._numbers.close()

    async def pay(self, request: PayRequest) -> Answer:
        """A 0200 and its answer."""
        card, account, link = request.card, self._account, self._link
        if card is None or not is_order_number(request.order_no, account.terminal_id):
            return Answer(
                verdict=Verdict.NOT_SENT,
                unwritable=True,
                channel_message="not a card payment of ours",
            )
        try:
            keys = await link.keys()
            payload = build_sale(request, card, account, keys)
        except PinBlockError:
            return Answer(
                verdict=Verdict.DECLINED,
                reason=DeclineReason.WRONG_PIN,
                channel_code=PIN_BLOCK_ERROR,
                channel_message="the PIN block cannot be read; nothing was sent",
            )
        except (NotSent, CodecError, MoneyError) as fault:
            return Answer(
                verdict=Verdict.NOT_SENT,
                unwritable=not isinstance(fault, NotSent),
                channel_message=str(fault),
            )
        try:
            key = reply_key(SALE_REPLY, account.terminal_id, request.order_no[14:])
            reply = await link.exchange(payload, key)
            answer = read_sale(reply, request, account, link.accepted_keys(keys))
        except NotSent as fault:
            return Answer(verdict=Verdict.NOT_SENT, channel_message=str(fault))
        except AnswerLost as fault:
            return Answer(verdict=Verdict.UNKNOWN, channel_message=str(fault))
        except Exception as fault:  # a defect of ours after sending: the money may have moved
            return Answer(verdict=Verdict.UNKNOWN, channel_message=type(fault).__name__)
        if answer.channel_code in SIGN_ON_AGAIN:
            link.sign_on_again()
        return answer

    async def query(self, ref: PaymentRef) -> Answer:
        """The dialect has no query: always ``UNKNOWN``."""
        return Answer(verdict=Verdict.UNKNOWN, channel_message="a card host cannot be queried")

    async def cancel(self, ref: PaymentRef) -> UndoAnswer:
        """A 0400 and its answer; repeatable with the same number."""
        account, link = self._account, self._link
        if not is_order_number(ref.order_no, account.terminal_id):
            return UndoAnswer(
                verdict=Verdict.DECLINED, channel_message="the number of another terminal"
            )
        try:
            keys = await link.keys()
            payload = build_reversal(ref, account, keys)
            key = reply_key(REVERSAL_REPLY, account.terminal_id, ref.order_no[14:])
            reply = await link.exchange(payload, key)
            answer = read_reversal(reply, ref, account, link.accepted_keys(keys))
        except (NotSent, AnswerLost, CodecError, MoneyError) as fault:
            return UndoAnswer(verdict=Verdict.UNKNOWN, channel_message=str(fault))
        except Exception as fault:  # as in pay
            return UndoAnswer(verdict=Verdict.UNKNOWN, channel_message=type(fault).__name__)
        if answer.channel_code in SIGN_ON_AGAIN:
            link.sign_on_again()
        return answer
