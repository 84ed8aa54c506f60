"""The rooms of a checkout, put together."""

from dataclasses import dataclass

from domain.clock import Clock
from domain.ids import IdSource
from gateway.checkout.attempts import Attempts
from gateway.checkout.bounds import CheckoutBounds
from gateway.checkout.checkouts import Checkouts
from gateway.checkout.closing import Closing
from gateway.checkout.desk import Desk
from gateway.checkout.opening import Opening
from gateway.checkout.payer_settlement import PayerSettlement
from gateway.ground import Ground
from gateway.limits import Judge
from gateway.logs import Log
from gateway.notices import NoticeWriter
from gateway.payments import Payments
from gateway.routes import Routes
from gateway.store.port import Store
from signing.keywrap import Sealer


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutRooms:
    """What is called, and what runs by itself."""

    checkouts: Checkouts
    closing: Closing


def checkout_rooms_on(
    ground: Ground,
    payments: Payments,
    settlement: PayerSettlement,
    notices: NoticeWriter,
    limits: Judge,
) -> CheckoutRooms:
    """Make every part on a core's ground, within its configuration's bounds."""
    section = ground.config.checkouts
    return checkout_rooms(
        store=ground.store,
        routes=ground.routes,
        payments=payments,
        settlement=settlement,
        notices=notices,
        clock=ground.seams.clock,
        ids=ground.seams.ids,
        sealer=ground.sealer,
        limits=limits,
        log=ground.log,
        bounds=CheckoutBounds(
            public_url=ground.config.http.public_url,
            wait_s=section.wait_s,
            code_renew_s=section.code_renew_s,
            code_grace_s=section.code_grace_s,
            take_over_after_s=section.take_over_after_s,
            interval_s=section.interval_s,
            max_at_once=section.max_at_once,
        ),
    )


def checkout_rooms(
    *,
    store: Store,
    routes: Routes,
    payments: Payments,
    settlement: PayerSettlement,
    notices: NoticeWriter,
    clock: Clock,
    ids: IdSource,
    sealer: Sealer,
    limits: Judge,
    log: Log,
    bounds: CheckoutBounds,
) -> CheckoutRooms:
    """Make every part."""
    desk = Desk(store=store, routes=routes, clock=clock, sealer=sealer, bounds=bounds)
    attempts = Attempts(
        store=store,
        desk=desk,
        payments=payments,
        settlement=settlement,
        clock=clock,
        bounds=bounds,
    )
    opening = Opening(
        store=store,
        desk=desk,
        attempts=attempts,
        payments=payments,
        clock=clock,
        ids=ids,
        sealer=sealer,
        limits=limits,
        bounds=bounds,
    )
    closing = Closing(
        store=store,
        desk=desk,
        payments=payments,
        notices=notices,
        clock=clock,
        log=log,
        bounds=bounds,
    )
    checkouts = Checkouts(desk=desk, opening=opening, attempts=attempts, closing=closing)
    return CheckoutRooms(checkouts=checkouts, closing=closing)
