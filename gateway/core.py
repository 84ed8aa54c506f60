"""The gateway between its store and its sockets: use cases, recovery and the doors.

Rules: everything is made here once and handed what it needs; nothing here listens,
starts a task or waits. ``gateway/bootstrap.py`` opens what this stands on and starts it.
"""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from gateway.advices import AdviceMemory
from gateway.checkout.assembly import checkout_rooms_on
from gateway.checkout.checkouts import Checkouts
from gateway.checkout.closing import Closing
from gateway.checkout.payer_settlement import PayerSettlement, UntoldPayerSettlement
from gateway.delivery import outbound_policy
from gateway.directory import Directory
from gateway.endpoints import Endpoints
from gateway.events.feed import Feed, FeedBounds
from gateway.events.told import FollowedPayments
from gateway.ground import Ground
from gateway.http.answers import payment_dict, refund_dict
from gateway.http.auth import Authenticator
from gateway.http.checkout_calls import CheckoutCalls
from gateway.http.door import ApiDoor
from gateway.http.event_calls import EventCalls
from gateway.http.payment_calls import PaymentCalls
from gateway.http.refund_calls import RefundCalls
from gateway.inbound import Inbound, InboundBounds
from gateway.late_answers import LateAnswers
from gateway.limits import Limits
from gateway.notices import NoticeWriter
from gateway.notifications import Notifier, NotifierBounds
from gateway.operator_pins import OperatorPins
from gateway.outbound import refusal
from gateway.payments import Payments
from gateway.pos.announcements import Announcements
from gateway.pos.door import PosDoor
from gateway.pos.handlers import Means, pos_handlers
from gateway.pos.listener import PosListener, listener_bounds
from gateway.recovery import Recovery
from gateway.refund_settlement import RefundSettlement
from gateway.refunds import Refunds
from gateway.routes import Routes

if TYPE_CHECKING:
    from gateway.http.pages.door import PageDoor


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """A whole gateway but for what listens."""

    routes: Routes
    payments: Payments
    checkouts: Checkouts
    closing: Closing
    refunds: Refunds
    recovery: Recovery
    notifier: Notifier
    inbound: Inbound
    late_answers: LateAnswers
    directory: Directory
    limits: Limits
    pins: OperatorPins
    pos_door: PosDoor
    pos_listener: PosListener
    api_door: ApiDoor
    feed: Feed
    page_door: "PageDoor | None"
    """``None`` where no ``http.public_url`` is configured."""


def build_core(ground: Ground) -> Core:
    """Make every part."""
    directory = Directory(
        store=ground.store,
        sealer=ground.sealer,
        clock=ground.seams.clock,
        max_entries=ground.config.directory.max_entries,
        fresh_s=ground.config.directory.fresh_s,
        log=ground.log,
    )
    notifier = _notifier(ground, directory)
    notices = NoticeWriter(
        ids=ground.seams.ids,
        render_payment=partial(payment_dict, texts=ground.texts),
        render_refund=partial(refund_dict, texts=ground.texts),
        committed=notifier.nudge,
    )
    is_told = bool(ground.config.http.public_url)
    settlement = (PayerSettlement if is_told else UntoldPayerSettlement)(
        store=ground.store,
        routes=ground.routes,
        notices=notices,
        clock=ground.seams.clock,
        metrics=ground.metrics,
        log=ground.log,
        patience_s=ground.config.recovery.patience_s,
        advice_again=AdviceMemory(ground.sealer).request,
    )
    refund_settlement = RefundSettlement(
        store=ground.store,
        routes=ground.routes,
        notices=notices,
        clock=ground.seams.clock,
        metrics=ground.metrics,
        log=ground.log,
        patience_s=ground.config.recovery.patience_s,
    )
    pins = _pins(ground)
    limits = _limits(ground, pins)
    payments = _payments(ground, settlement, limits)
    checkouts = checkout_rooms_on(ground, payments, settlement, notices, limits)
    refunds = _refunds(ground, refund_settlement)
    pos_door = _pos_door(ground, payments, refunds, checkouts.checkouts, directory)
    pos_listener = _pos_listener(ground, pos_door)
    feed = _feed(ground, pos_listener, directory, checkouts.checkouts)
    inbound = _inbound(ground, payments, settlement, refund_settlement)
    return Core(
        routes=ground.routes,
        payments=payments,
        checkouts=checkouts.checkouts,
        closing=checkouts.closing,
        refunds=refunds,
        recovery=_recovery(ground, settlement, refund_settlement),
        notifier=notifier,
        inbound=inbound,
        late_answers=LateAnswers(
            routes=ground.routes, book=inbound.book, metrics=ground.metrics, log=ground.log
        ),
        directory=directory,
        limits=limits,
        pins=pins,
        pos_door=pos_door,
        pos_listener=pos_listener,
        api_door=_api_door(ground, payments, checkouts.checkouts, refunds, directory, feed),
        feed=feed,
        page_door=_page_door(ground, checkouts.checkouts),
    )


def _feed(
    ground: Ground, listener: PosListener, directory: Directory, checkouts: Checkouts
) -> Feed:
    section = ground.config.events
    push = None
    if ground.config.pos.push:
        push = Announcements(
            lines=listener, terminal=directory.terminal, clock=ground.seams.clock, log=ground.log
        )
    return Feed(
        store=ground.store,
        followed=FollowedPayments(
            ground.store, seen=checkouts.seen, render=partial(payment_dict, texts=ground.texts)
        ),
        push=push,
        clock=ground.seams.clock,
        log=ground.log,
        bounds=FeedBounds(
            poll_s=section.poll_s,
            heartbeat_s=section.heartbeat_s,
            life_s=section.life_s,
            max_streams=section.max_streams,
            max_streams_per_merchant=section.max_streams_per_merchant,
            max_waiting=section.max_waiting,
        ),
    )


def _notifier(ground: Ground, directory: Directory) -> Notifier:
    section = ground.config.notifications
    endpoints = Endpoints(
        clock=ground.seams.clock,
        pause_after=section.pause_after,
        max_pause_s=section.max_pause_s,
        max_endpoints=section.max_endpoints,
    )
    return Notifier(
        store=ground.store,
        signing_key=directory.signing_key,
        deliver=ground.deliver,
        policy=outbound_policy(section),
        endpoints=endpoints,
        clock=ground.seams.clock,
        random_bytes=ground.seams.nonce_bytes,
        metrics=ground.metrics,
        log=ground.log,
        bounds=NotifierBounds(
            interval_s=section.interval_s,
            timeout_s=section.timeout_s,
            max_at_once=section.max_at_once,
            max_per_merchant=section.max_per_merchant,
            max_per_endpoint=section.max_per_endpoint,
        ),
    )


def _pins(ground: Ground) -> OperatorPins:
    section = ground.config.limits
    return OperatorPins(
        store=ground.store,
        clock=ground.seams.clock,
        tries=section.pin_tries,
        lock_s=section.pin_lock_s,
        max_at_once=section.max_pin_checks,
    )


def _limits(ground: Ground, pins: OperatorPins) -> Limits:
    return Limits(
        store=ground.store,
        pins=pins,
        clock=ground.seams.clock,
        metrics=ground.metrics,
        log=ground.log,
        fresh_s=ground.config.limits.fresh_s,
    )


def _payments(ground: Ground, settlement: PayerSettlement, limits: Limits) -> Payments:
    section = ground.config.payments
    return Payments(
        store=ground.store,
        settlement=settlement,
        routes=ground.routes,
        clock=ground.seams.clock,
        ids=ground.seams.ids,
        metrics=ground.metrics,
        log=ground.log,
        till_wait_s=section.till_wait_s,
        max_in_flight=section.max_in_flight,
        limits=limits,
    )


def _refunds(ground: Ground, settlement: RefundSettlement) -> Refunds:
    return Refunds(
        store=ground.store,
        settlement=settlement,
        routes=ground.routes,
        clock=ground.seams.clock,
        ids=ground.seams.ids,
        max_in_flight=ground.config.payments.max_refunds_in_flight,
    )


def _recovery(
    ground: Ground, settlement: PayerSettlement, refund_settlement: RefundSettlement
) -> Recovery:
    section = ground.config.recovery
    return Recovery(
        store=ground.store,
        settlement=settlement,
        finish_refund=refund_settlement.finish,
        routes=ground.routes,
        clock=ground.seams.clock,
        metrics=ground.metrics,
        log=ground.log,
        interval_s=section.interval_s,
        lease_s=section.lease_s,
        max_at_once=section.max_at_once,
        max_at_once_per_account=section.max_at_once_per_account,
        starts_per_s=section.starts_per_s,
    )


def _inbound(
    ground: Ground,
    payments: Payments,
    settlement: PayerSettlement,
    refund_settlement: RefundSettlement,
) -> Inbound:
    section = ground.config.inbound
    return Inbound(
        store=ground.store,
        routes=ground.routes,
        settlement=settlement,
        refund_settlement=refund_settlement,
        tell=payments.tell_first,
        clock=ground.seams.clock,
        metrics=ground.metrics,
        log=ground.log,
        bounds=InboundBounds(
            answer_within_s=section.answer_within_s, max_in_flight=section.max_in_flight
        ),
    )


def _pos_door(
    ground: Ground,
    payments: Payments,
    refunds: Refunds,
    checkouts: Checkouts,
    directory: Directory,
) -> PosDoor:
    means = Means(
        store=ground.store,
        routes=ground.routes,
        payments=payments,
        refunds=refunds,
        checkouts=checkouts,
        directory=directory,
        sealer=ground.sealer,
        clock=ground.seams.clock,
        ids=ground.seams.ids,
        random_bytes=ground.seams.random_bytes,
        catalogue=ground.catalogue,
        announces=ground.config.pos.downloads.announce,
        asks_status=ground.config.pos.downloads.ask_status,
        key_life_ms=ground.config.pos.working_key_hours * 3_600_000,
        log=ground.log,
    )
    rooms = pos_handlers(means)
    return PosDoor(
        handlers=rooms.handlers,
        admit=rooms.admit,
        directory=directory,
        clock=ground.seams.clock,
        metrics=ground.metrics,
        log=ground.log,
        key_life_ms=means.key_life_ms,
    )


def _pos_listener(ground: Ground, door: PosDoor) -> PosListener:
    return PosListener(
        handle=door.handle,
        clock=ground.seams.clock,
        metrics=ground.metrics,
        log=ground.log,
        bounds=listener_bounds(ground.config.pos),
    )


def _api_door(
    ground: Ground,
    payments: Payments,
    checkouts: Checkouts,
    refunds: Refunds,
    directory: Directory,
    feed: Feed,
) -> ApiDoor:
    section = ground.config.http
    authenticator = Authenticator(
        directory=directory,
        nonces=ground.nonces,
        clock=ground.seams.clock,
        random_bytes=ground.seams.nonce_bytes,
        window_s=section.signature_window_s,
    )
    policy = outbound_policy(ground.config.notifications)

    def refused_url(url: str) -> str:
        return refusal(url, policy)

    return ApiDoor(
        routes={
            **PaymentCalls(
                payments=payments,
                checkouts=CheckoutCalls(
                    checkouts=checkouts, sealer=ground.sealer, texts=ground.texts
                ),
                sealer=ground.sealer,
                refused_url=refused_url,
                newer=feed.newer,
                texts=ground.texts,
            ).routes(),
            **RefundCalls(refunds=refunds, sealer=ground.sealer, texts=ground.texts).routes(),
            **EventCalls(payments=payments, feed=feed).routes(),
        },
        authenticator=authenticator,
        clock=ground.seams.clock,
        ids=ground.seams.ids,
        metrics=ground.metrics,
        log=ground.log,
        max_in_flight=section.max_in_flight,
    )


def _page_door(ground: Ground, checkouts: Checkouts) -> "PageDoor | None":
    public_url = ground.config.http.public_url
    if not public_url:
        return None
    from gateway.http.pages.assembly import page_door  # noqa: PLC0415 (who has pages pays)

    return page_door(
        public_url=public_url,
        section=ground.config.pages,
        pages=checkouts,
        find_code=ground.store.qr_code,
        sealer=ground.sealer,
        random_bytes=ground.seams.nonce_bytes,
        clock=ground.seams.clock,
        metrics=ground.metrics,
        log=ground.log,
    )
