"""Who answers what: the one table from a transaction's kind to its handler.

Rules: a kind that is not here is answered 40; nothing is decided here.
"""

from collections.abc import Callable
from dataclasses import dataclass

from domain.clock import Clock
from domain.ids import IdSource
from gateway.checkout.checkouts import Checkouts
from gateway.directory import Directory
from gateway.logs import Log
from gateway.payments import Payments
from gateway.pos.authorisations import Authorisations
from gateway.pos.balances import CardBalances
from gateway.pos.batch_order import BatchOrder
from gateway.pos.batches import Batches
from gateway.pos.catalogue import Catalogue
from gateway.pos.door import Admit, Handlers
from gateway.pos.downloads import Downloads
from gateway.pos.inquiries import Inquiries
from gateway.pos.live_codes import LiveCodes
from gateway.pos.offline import OfflineSales
from gateway.pos.returns import Returns
from gateway.pos.reversals import Reversals
from gateway.pos.sales import DEADLINE_MARGIN_S, Sales
from gateway.pos.scripts import Scripts
from gateway.pos.sign_in import SignIn
from gateway.refunds import Refunds
from gateway.routes import Routes
from gateway.store.port import Store
from pos_protocol.transactions import TransactionKind
from signing.keywrap import Sealer

_K = TransactionKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What handlers work with."""

    store: Store
    routes: Routes
    payments: Payments
    refunds: Refunds
    checkouts: Checkouts
    directory: Directory
    sealer: Sealer
    clock: Clock
    ids: IdSource
    random_bytes: Callable[[int], bytes]
    catalogue: Catalogue
    announces: bool
    asks_status: bool
    key_life_ms: int
    """How long a sign-in holds."""
    log: Log


@dataclass(frozen=True, slots=True)
class Rooms:
    """What the door needs: who answers what, and who lets in a message of another batch."""

    handlers: Handlers
    admit: Admit


def pos_handlers(means: Means) -> Rooms:
    """Every transaction that is open to terminals."""
    order = BatchOrder(store=means.store, directory=means.directory, clock=means.clock)
    handlers = {**_management(means, order), **_money(means), **_batches(means, order)}
    return Rooms(handlers=handlers, admit=order.admit)


def _management(means: Means, order: BatchOrder) -> Handlers:
    downloads = Downloads(
        catalogue=means.catalogue,
        store=means.store,
        clock=means.clock,
        announces=means.announces,
        asks_status=means.asks_status,
    )
    sign_in = SignIn(
        store=means.store,
        directory=means.directory,
        order=order,
        instruction_for=downloads.instruction_for,
        sealer=means.sealer,
        clock=means.clock,
        random_bytes=means.random_bytes,
        key_life_ms=means.key_life_ms,
    )
    return {
        _K.SIGN_IN: sign_in.sign_in,
        _K.SIGN_OUT: sign_in.sign_out,
        _K.ECHO: sign_in.echo,
        _K.DOWNLOAD: downloads.download,
        _K.DOWNLOAD_END: downloads.download_end,
        _K.QUERY: downloads.query,
    }


def _money(means: Means) -> Handlers:
    sales, returns, inquiries = _sales(means), _returns(means), _inquiries(means)
    holds, offline = _holds(means, sales), _offline(means)
    reversals = _reversals(means, returns, holds)
    balances = CardBalances(routes=means.routes, clock=means.clock, ids=means.ids)
    return {
        _K.SALE: sales.card_sale,
        _K.QR_SALE: sales.qr_sale,
        _K.REVERSAL: reversals.reversal,
        _K.VOID: returns.void,
        _K.QR_VOID: returns.void,
        _K.COMPLETION_VOID: returns.void,
        _K.REFUND: returns.refund,
        _K.QR_REFUND: returns.refund,
        _K.PREAUTH: holds.preauth,
        _K.MOTO_SALE: sales.moto_sale,
        _K.PREAUTH_MOTO: holds.preauth_moto,
        _K.PREAUTH_ADDITIONAL: holds.preauth_additional,
        _K.PREAUTH_VOID: holds.preauth_void,
        _K.COMPLETION: holds.completion,
        _K.COMPLETION_ADVICE: holds.completion_advice,
        _K.OFFLINE_SALE: offline.offline_sale,
        _K.ADJUSTMENT: offline.adjustment,
        _K.TIP: offline.tip,
        _K.BALANCE: balances.balance,
        _K.STATUS_INQUIRY: inquiries.status,
        _K.QR_QUERY: inquiries.qr_query,
        _K.LIVE_CODE: _live_codes(means).live_code,
    }


def _sales(means: Means) -> Sales:
    return Sales(
        store=means.store,
        payments=means.payments,
        sealer=means.sealer,
        clock=means.clock,
        ids=means.ids,
        log=means.log,
    )


def _holds(means: Means, sales: Sales) -> Authorisations:
    return Authorisations(
        store=means.store,
        payments=means.payments,
        sales=sales,
        sealer=means.sealer,
        clock=means.clock,
        ids=means.ids,
        log=means.log,
    )


def _returns(means: Means) -> Returns:
    return Returns(
        store=means.store,
        payments=means.payments,
        refunds=means.refunds,
        sealer=means.sealer,
        clock=means.clock,
        ids=means.ids,
        log=means.log,
        patience_s=means.payments.till_wait_s + DEADLINE_MARGIN_S,
    )


def _reversals(means: Means, returns: Returns, holds: Authorisations) -> Reversals:
    return Reversals(
        store=means.store,
        payments=means.payments,
        returns=returns,
        authorisations=holds,
        sealer=means.sealer,
        clock=means.clock,
        ids=means.ids,
    )


def _inquiries(means: Means) -> Inquiries:
    return Inquiries(
        store=means.store,
        payments=means.payments,
        sealer=means.sealer,
        clock=means.clock,
        ids=means.ids,
        seen=means.checkouts.seen,
    )


def _offline(means: Means) -> OfflineSales:
    return OfflineSales(
        store=means.store,
        payments=means.payments,
        sealer=means.sealer,
        clock=means.clock,
        log=means.log,
    )


def _live_codes(means: Means) -> LiveCodes:
    return LiveCodes(
        store=means.store,
        payments=means.payments,
        checkouts=means.checkouts,
        sealer=means.sealer,
        clock=means.clock,
        ids=means.ids,
    )


def _batches(means: Means, order: BatchOrder) -> Handlers:
    store, sealer, clock, log = means.store, means.sealer, means.clock, means.log
    batches = Batches(store=store, order=order, sealer=sealer, clock=clock, log=log)
    scripts = Scripts(store=store, sealer=sealer, clock=clock, log=log)
    return {
        _K.SETTLEMENT: batches.settlement,
        _K.UPLOAD: batches.upload,
        _K.UPLOAD_END: batches.upload_end,
        _K.NOTICE_UPLOAD: batches.notice_upload,
        _K.SCRIPT_RESULT: scripts.script_result,
    }
