"""Telling a terminal, over its open connection, what became of a payment made for it elsewhere.

Rules:

* Only to a terminal whose option ``push`` allows it: one that does not know the message may
  take it for a wrong answer. Only to who shows the terminal's own MAC key, and under it.
* Only of an end: paid, or certainly not paid. A terminal that is away, or that too much waits
  for already, is not told and asks for itself; nothing is repeated.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from domain.clock import Clock, beijing_texts
from domain.errors import ConfigurationError
from domain.payment import Payment, Status
from gateway.directory import KnownTerminal
from gateway.events.told import Told
from gateway.logs import Log
from gateway.pos.inquiries import status_of
from gateway.store.port import TillEvent
from gateway.terminal_options import is_pushed_to
from pos_protocol.codec import encode_with_mac
from pos_protocol.push import payment_push

_ENDS: Final = frozenset(
    status.value for status in (Status.SUCCEEDED, Status.FAILED, Status.REVERSED, Status.CLOSED)
)


class Lines(Protocol):
    """The open connections of terminals (``gateway/pos/listener.py``)."""

    def merchants_of(self, terminal_id: str) -> Sequence[str]:
        """Of which merchants (F42) a terminal of this number is connected."""
        ...

    def push(self, merchant_id: str, terminal_id: str, payload: bytes) -> bool:
        """Send a message nobody asked for; ``False`` when it cannot be sent."""
        ...


class Announcements:
    """The pushes of this process."""

    def __init__(
        self,
        *,
        lines: Lines,
        terminal: Callable[[str, str], Awaitable[KnownTerminal | None]],
        clock: Clock,
        log: Log,
    ) -> None:
        """``terminal`` looks one up by F42 and F41."""
        self._lines = lines
        self._terminal = terminal
        self._clock = clock
        self._log = log

    def reaches(self, event: TillEvent) -> bool:
        """Whether this is an end, and for a terminal that may be connected here."""
        is_end = event.status in _ENDS and event.status != event.previous
        return is_end and bool(self._lines.merchants_of(event.terminal_id))

    async def push(self, event: TillEvent, told: Told) -> None:
        """Tell the event's terminal, if it is that merchant's and may be told."""
        for merchant_id in self._lines.merchants_of(event.terminal_id):
            known = await self._terminal(merchant_id, event.terminal_id)
            if known is None or known.merchant.merchant_no != event.merchant_no:
                continue
            if not is_pushed_to(known.terminal):
                continue
            payload = self._payload(known, merchant_id, told.payment)
            is_sent = payload is not None and self._lines.push(
                merchant_id, event.terminal_id, payload
            )
            self._log.info(
                "terminal told",
                terminal_id=event.terminal_id,
                payment_id=event.payment_id,
                status=told.status,
                sent=is_sent,
            )

    def _payload(self, known: KnownTerminal, merchant_id: str, payment: Payment) -> bytes | None:
        """The message under the terminal's current MAC key; ``None``: not signed in."""
        if known.keys is None or known.session is None:
            return None
        try:
            key = known.keys.open().mac
        except ConfigurationError:
            return None
        hhmmss, mmdd = beijing_texts(self._clock.now_ms())
        message = payment_push(
            merchant_id=merchant_id,
            terminal_id=known.terminal.terminal_id,
            batch=f"{known.session.batch_no:06d}",
            amount_fen=payment.order.amount_fen,
            reference=payment.standing.channel_reference or payment.order.id[-12:],
            hhmmss=hhmmss,
            mmdd=mmdd,
            status=status_of(payment),
            dialect=known.dialect,
        )
        mac = known.mac
        return encode_with_mac(message, lambda body: mac(key, body), known.dialect)
