"""The worker that finishes what was left open: by a crash, a restart, or a channel.

Rules: it takes payments whose job is due under a lease, a bounded number at
once, and sends each down the same path as a live one (query, then undo). A payment
that cannot be finished now becomes due again later; nothing is closed or failed
here by time alone.
"""

import asyncio

from channels.port import PayRequest
from domain.clock import Clock
from domain.errors import Unavailable
from domain.payment import Payment
from gateway.live import Live
from gateway.logs import Log
from gateway.metrics import Metrics
from gateway.settlement import Settlement
from gateway.store.port import PaymentStore


class Recovery:
    """One background loop per process."""

    def __init__(
        self,
        *,
        store: PaymentStore,
        settlement: Settlement,
        clock: Clock,
        metrics: Metrics,
        log: Log,
        interval_s: float,
        lease_s: float,
        max_at_once: int,
    ) -> None:
        self._store = store
        self._settlement = settlement
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._interval_s = interval_s
        self._lease_ms = int(lease_s * 1000)
        self._max_at_once = max_at_once
        self._working: set[asyncio.Task[None]] = set()

    def working(self) -> int:
        """Payments being recovered now."""
        return len(self._working)

    async def run(self) -> None:
        """Look for due payments until cancelled."""
        try:
            while True:
                try:
                    await self._round()
                except Exception:
                    # one row that cannot be read must not end recovery for all others
                    self._log.exception("recovery fault")
                await asyncio.sleep(self._interval_s)
        finally:
            for task in tuple(self._working):
                task.cancel()
            await asyncio.gather(*self._working, return_exceptions=True)

    async def _round(self) -> None:
        free = self._max_at_once - len(self._working)
        if free <= 0:
            return
        try:
            due = await self._store.lease_due(self._clock.now_ms(), self._lease_ms, free)
        except Unavailable as error:
            self._log.warning("recovery waits for the store", reason=error.message)
            return
        for payment in due:
            task = asyncio.get_running_loop().create_task(self._finish(payment))
            self._working.add(task)
            task.add_done_callback(self._working.discard)

    async def _finish(self, payment: Payment) -> None:
        order = payment.order
        self._metrics.recovered.inc()
        log = self._log.bind(payment_id=order.id, channel=order.channel)
        log.info("recovery takes over", status=payment.standing.status.value)
        live = Live(payment, _no_request(payment))
        try:
            await self._settlement.settle(live, at_once=True)
        except Unavailable as error:
            log.warning("recovery gives way", reason=error.message)
            return
        except Exception:
            log.exception("recovery fault")
            return
        log.info("recovery done", status=live.payment.standing.status.value)


def _no_request(payment: Payment) -> PayRequest:
    """Recovery never pays: it queries and undoes, so the request holds no code or card."""
    order = payment.order
    return PayRequest(
        order_no=order.channel_order_no,
        amount_fen=order.amount_fen,
        currency=order.currency,
        subject=order.subject,
        created_at_ms=order.created_at_ms,
    )
