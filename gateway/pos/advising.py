"""An advice from a terminal (0220), answered once its outcome is certain.

Rules:

* An advice tells of goods that are gone, and its terminal never takes it back. It is claimed
  and carried out as a request is, and hears a yes or no only once that is final.
* Until then it hears silence: not known yet, no room, the channel away. Its terminal keeps it
  and sends it again; what was claimed the gateway finishes by itself.
"""

from collections.abc import Awaitable, Callable

from channels.port import Answer
from domain.clock import Clock
from domain.errors import Conflict, Unavailable
from domain.payment import FINAL, Payment
from gateway.draft import Draft
from gateway.holds import HOLD_TAKEN
from gateway.live import is_over
from gateway.logs import Log
from gateway.payments import Payments
from gateway.pos.exchange import Exchange
from gateway.pos.originals import NotKnownYet
from gateway.pos.sales import DEADLINE_MARGIN_S
from gateway.pos.teller import KeptReplies, Teller
from gateway.pos.translate import RefusedError
from gateway.store.port import PaymentStore, TerminalReply
from signing.keywrap import Sealer

DraftOf = Callable[[Exchange], Awaitable[Draft]]
"""Makes the payment of a message, or raises what keeps it from being one."""


class Advising:
    """Carries advices out, and tells their terminals."""

    def __init__(
        self,
        *,
        store: PaymentStore,
        payments: Payments,
        sealer: Sealer,
        clock: Clock,
        log: Log,
    ) -> None:
        self._replies = KeptReplies(store, sealer)
        self._payments = payments
        self._sealer = sealer
        self._clock = clock
        self._log = log
        self._patience_s = payments.till_wait_s + DEADLINE_MARGIN_S

    async def advise(self, exchange: Exchange, draft_of: DraftOf, taken_code: str) -> bytes | None:
        """Claim, pay, wait for the end, tell; ``taken_code``: another has what it takes.

        Raises:
            RefusedError: as ``draft_of``, and ``taken_code``.
            Conflict: the number was used for another message.
        """
        try:
            draft = await draft_of(exchange)
            teller = Teller(exchange, draft.fingerprint, self._sealer, self._clock)
            begun = await self._payments.begin(draft, _once_final(teller))
        except Conflict as conflict:
            raise taken(conflict, taken_code) from None
        except (Unavailable, NotKnownYet) as error:
            # the goods are gone: a "not now" of ours must not make it drop its advice
            self._log.warning("advice must wait", order_key=exchange.order_key, reason=str(error))
            return None
        exchange.payment_id = begun.payment.order.id
        until_s = self._clock.monotonic_s() + self._patience_s
        try:
            payment, live = begun.payment, begun.live
            if live is not None:
                if not begun.replayed:
                    await self._payments.run(live)
                await live.final(self._patience_s)
                payment = live.payment
            left_s = until_s - self._clock.monotonic_s()
            payment = await self._payments.watch(payment, left_s, is_over)
            return await self._told(exchange, payment, teller)
        except Unavailable as error:
            self._log.error("silent", payment_id=exchange.payment_id, reason=error.message)
        except Exception:
            # it is claimed and perhaps paid: a refusal would be a guess
            self._log.exception("silent after a fault", payment_id=exchange.payment_id)
        return None

    async def _told(self, exchange: Exchange, payment: Payment, teller: Teller) -> bytes | None:
        """The reply that came with the outcome; made now where that had none."""
        kept = await self._replies.find(exchange)
        if kept is not None or not is_final(payment):
            return kept
        return await self._replies.keep(exchange, teller, teller(payment, None))


def is_final(payment: Payment) -> bool:
    """Whether its end is certain."""
    return payment.standing.status in FINAL and not payment.standing.parked_reason


def taken(conflict: Conflict, code: str) -> Conflict | RefusedError:
    """How a terminal is told that another has what it takes; any other conflict as it is."""
    return RefusedError(code, conflict.message) if conflict.code == HOLD_TAKEN else conflict


def _once_final(teller: Teller) -> Callable[[Payment, Answer | None], TerminalReply | None]:
    """A reply for the commit of the outcome, and for none before it."""

    def reply(payment: Payment, answer: Answer | None) -> TerminalReply | None:
        return teller(payment, answer) if is_final(payment) else None

    return reply
