"""The press and the order that comes of it: pay, watch, give up.

Rules:

* A press needs what only this session has: a payer whom the wallet has named, and a form
  that was shown to it. Its key makes one order however often it comes.
* The amount of the form is read once, by the press that makes the order, and only where the
  code leaves it to the payer; a repeat with another amount finds the first order.
* The answer to a press is the order's own page; a reload of it goes on with what was begun.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import orjson

from domain.checkout import CheckoutStatus
from domain.decline import DeclineReason
from domain.errors import Conflict
from domain.money import MAX_AMOUNT_FEN, MoneyError, parse_yuan
from gateway.checkout.port import Begun, CheckoutPages, CheckoutView, Payer, Press, Start
from gateway.http.pages.answers import Answers, Visit
from gateway.http.pages.counters import Counter, Counters, is_live, payer_of
from gateway.http.pages.orders import mark_of, state_of
from gateway.http.pages.rendering import REMARK_LENGTH, OrderPage, Payable, Plain
from gateway.http.pages.requests import JSON, PageResponse, fields_of, form_of
from gateway.http.pages.texts import State, decline_text, said
from gateway.http.pages.tickets import Session, Tickets
from gateway.http.pages.wallets import Wallet

_SAME_SITE: Final = ("", "same-origin", "none")
_NO_PARAMETERS: Final[Mapping[str, str]] = MappingProxyType({})
_BRIDGES: Final = {Wallet.WECHAT: "wechat", Wallet.ALIPAY: "alipay", Wallet.UNIONPAY: "redirect"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Typed:
    """What the payer typed, read: ``fault`` names a word of the texts."""

    amount_fen: int = 0
    remark: str = ""
    fault: str = ""


class Presses:
    """Everything from the press on."""

    def __init__(
        self,
        *,
        public_url: str,
        pages: CheckoutPages,
        counters: Counters,
        tickets: Tickets,
        answers: Answers,
    ) -> None:
        self._public_url = public_url.rstrip("/")
        self._pages = pages
        self._counters = counters
        self._tickets = tickets
        self._answers = answers

    async def pay(self, visit: Visit) -> PageResponse:
        """``POST /q/ID/pay``: the button."""
        form, session = form_of(visit.request.body), visit.session
        payer = payer_of(session)
        if session is None or payer is None or visit.request.fetch_site not in _SAME_SITE:
            return self._answers.stale(visit)
        key = self._tickets.press_key(visit.code_id, session, form.get("form", ""), visit.now_ms)
        if not key:
            return self._answers.stale(visit)
        if form.get("o"):  # the button of an order that was not paid yet
            checkout_id = self._tickets.order_of(visit.code_id, session, form["o"])
            return await self._begin(visit, session, payer, checkout_id)
        counter = await self._counters.look(visit.code_id, session)
        if isinstance(counter, State):
            return self._answers.plain(visit, Plain(state=counter))
        if counter.order is not None:
            return await self._begin(visit, session, payer, counter.order.checkout_id)
        return await self._make(visit, counter, session, payer, key, form)

    async def _make(
        self,
        visit: Visit,
        counter: Counter,
        session: Session,
        payer: Payer,
        key: str,
        form: Mapping[str, str],
    ) -> PageResponse:
        """A printed code's order, made by this press."""
        typed = _read(counter, form)
        if typed.fault:
            return self._form_again(visit, counter, session, payer, form, typed.fault)
        press = Press(
            merchant_no=counter.merchant_no,
            press_key=key,
            code_id=counter.code_id,
            shop_name=counter.shop,
            amount_fen=typed.amount_fen,
            subject=counter.shop,
            store_id=counter.store_id,
            terminal_id=counter.terminal_id,
            remark=typed.remark,
            notify_url=counter.notify_url,
        )
        try:
            order = await self._pages.press(press)
        except Conflict:  # the same button with another amount: the first press holds
            return await self._begin(visit, session, payer, session.checkout_id)
        return await self._begin(visit, session, payer, order.checkout_id)

    async def _begin(
        self, visit: Visit, session: Session, payer: Payer, checkout_id: str
    ) -> PageResponse:
        """Hand the order to the wallet, or say why not."""
        if not checkout_id:
            return self._answers.stale(visit)
        session = session.looking_at(checkout_id)
        handle = self._tickets.order_handle(visit.code_id, session, checkout_id)
        begun = await self._pages.begin(checkout_id, self._returning(visit, payer, handle))
        return self._order(visit, session, payer, handle, begun.view, begun)

    def _returning(self, visit: Visit, payer: Payer, handle: str) -> Payer:
        back = f"{self._public_url}{visit.home}/done?o={handle}"
        return replace(payer, payer_ip=visit.request.address, return_url=back)

    def _form_again(
        self,
        visit: Visit,
        counter: Counter,
        session: Session,
        payer: Payer,
        form: Mapping[str, str],
        fault: str,
    ) -> PageResponse:
        """The form with what was typed, and what is wrong with it; nothing was made."""
        page = Payable(
            code_id=visit.code_id,
            shop=counter.shop,
            subject=counter.subject,
            amount_fen=counter.amount_fen,
            wallet=Wallet(payer.wallet),
            form=self._tickets.new_form(visit.code_id, session, visit.now_ms),
            fault=fault,
            typed=form.get("amount", "")[:16],
            remark=form.get("remark", "")[:REMARK_LENGTH],
        )
        return self._answers.payable(visit, page, session)

    async def show_order(self, visit: Visit, handle: str) -> PageResponse:
        """``GET /q/ID?o=``: the order as it stands; one that is being paid can be gone on with."""
        session, checkout_id = visit.session, self._named(visit, handle)
        payer = payer_of(session)
        if session is None or payer is None or not checkout_id:
            return self._answers.stale(visit)
        view = await self._pages.view(checkout_id, payer)
        if view is None:
            return self._answers.plain(visit, Plain(state=State.UNKNOWN))
        if state_of(view, visit.now_ms) is State.PAYING:
            begun = await self._pages.begin(checkout_id, self._returning(visit, payer, handle))
            return self._order(visit, session, payer, handle, begun.view, begun)
        return self._order(visit, session, payer, handle, view)

    async def state(self, visit: Visit) -> PageResponse:
        """``GET /q/ID/state?o=``: whether the page of the order would be another now.

        ``ask``: the payer is back from the wallet, so the channel is asked (not too often).
        """
        asked = fields_of(visit.request.query)
        checkout_id, payer = self._named(visit, asked.get("o", "")), payer_of(visit.session)
        if not checkout_id or payer is None:
            return _told({"state": State.UNKNOWN.value}, 404)
        look = self._pages.ask if asked.get("ask") else self._pages.view
        view = await look(checkout_id, payer)
        if view is None:
            return _told({"state": State.UNKNOWN.value}, 404)
        state = state_of(view, visit.now_ms)
        return _told({"state": state.value, "mark": mark_of(view)}, 200)

    async def release(self, visit: Visit) -> PageResponse:
        """``POST /q/ID/release``: the payer left the wallet without paying, or says so."""
        handle = form_of(visit.request.body).get("o", "")
        session, checkout_id = visit.session, self._named(visit, handle)
        payer = payer_of(session)
        if session is None or payer is None or not checkout_id:
            return self._answers.stale(visit)
        if visit.request.fetch_site not in _SAME_SITE:
            return self._answers.stale(visit)
        view = await self._pages.release(checkout_id, payer)
        return self._order(visit, session, payer, handle, view)

    def _named(self, visit: Visit, handle: str) -> str:
        if visit.session is None or not handle:
            return ""
        return self._tickets.order_of(visit.code_id, visit.session, handle)

    def _order(
        self,
        visit: Visit,
        session: Session,
        payer: Payer,
        handle: str,
        view: CheckoutView,
        begun: Begun | None = None,
    ) -> PageResponse:
        wallet = Wallet(payer.wallet)
        state = state_of(view, visit.now_ms) if begun is None else _begun_state(begun, visit)
        is_ready = state is State.PAYING and begun is not None and begun.start is Start.READY
        may_press = state is State.FAILED and view.status is CheckoutStatus.WAITING
        may_press |= state is State.ELSEWHERE and view.may_take_over
        form = self._tickets.new_form(visit.code_id, session, visit.now_ms) if may_press else ""
        page = OrderPage(
            state=state,
            code_id=visit.code_id,
            handle=handle,
            shop=view.shop_name,
            subject=view.subject if view.subject != view.shop_name else "",
            remark=view.remark,
            amount_fen=view.amount_fen,
            mark=_mark(begun, view),
            wallet=wallet,
            is_watched=state in _WATCHED or (state is State.TAKEN and view.has_given_up),
            sentence=_why(state, view, visit),
            paid_at_ms=view.paid_at_ms if state is State.PAID else 0,
            order_no=view.merchant_order_no,
            bridge=_BRIDGES[wallet] if is_ready else "",
            parameters=_parameters(begun) if begun is not None and is_ready else _NO_PARAMETERS,
            form=form,
            begin_again=_begin_again(visit, state) if not form else "",
        )
        return self._answers.order(visit, page, session, view.checkout_id)


_WATCHED: Final = frozenset((State.PAYING, State.ASKING, State.FAILED, State.ELSEWHERE, State.BUSY))
"""States that may change while the page is open."""
_ENDED: Final = frozenset(
    (State.FAILED, State.CLOSED, State.EXPIRED, State.RETURNED, State.TWICE, State.BUSY)
)


def _begin_again(visit: Visit, state: State) -> str:
    """Where a new order can be begun: at a printed code; a live one was for this order alone."""
    return visit.home if state in _ENDED and not is_live(visit.code_id) else ""


def _begun_state(begun: Begun, visit: Visit) -> State:
    """What a beginning came to; an order that has moved on since is shown as it stands."""
    has_moved = begun.view.status is not CheckoutStatus.PAYING
    match begun.start:
        case Start.READY | Start.ELSEWHERE if has_moved:
            return state_of(begun.view, visit.now_ms)
        case Start.READY:
            return State.PAYING
        case Start.UNKNOWN:
            return State.ASKING
        case Start.AWAY:
            return State.BUSY
        case Start.ELSEWHERE:
            return State.ELSEWHERE
        case Start.REFUSED:
            return State.FAILED
        case Start.PAID | Start.OVER:
            return state_of(begun.view, visit.now_ms)


def _mark(begun: Begun | None, view: CheckoutView) -> str:
    """Of an unknown beginning it is none: the watch asks for the page anew, which begins again."""
    return "" if begun is not None and begun.start is Start.UNKNOWN else mark_of(view)


def _parameters(begun: Begun) -> Mapping[str, str]:
    return {"url": begun.page_url} if begun.page_url else begun.parameters


def _why(state: State, view: CheckoutView, visit: Visit) -> str:
    """Why the wallet refused, or that it is away before anything was begun, in a payer's words."""
    if state is State.BUSY and view.status is CheckoutStatus.WAITING:
        return said(decline_text(DeclineReason.CHANNEL_UNAVAILABLE), visit.language)
    if state is not State.FAILED or view.decline is None:
        return ""
    return said(decline_text(view.decline.reason), visit.language)


def _read(counter: Counter, form: Mapping[str, str]) -> _Typed:
    """What is in the form, checked; the amount only where it is the payer's."""
    remark = " ".join(form.get("remark", "").split())
    if len(remark) > REMARK_LENGTH or not (remark == "" or remark.isprintable()):
        return _Typed(fault="bad_remark")
    if counter.amount_fen:
        return _Typed(amount_fen=counter.amount_fen, remark=remark)
    try:
        amount_fen = parse_yuan(form.get("amount", "").strip())
    except MoneyError:
        return _Typed(fault="bad_amount")
    if not 1 <= amount_fen <= MAX_AMOUNT_FEN:
        return _Typed(fault="bad_amount")
    return _Typed(amount_fen=amount_fen, remark=remark)


def _told(value: Mapping[str, str], status: int) -> PageResponse:
    return PageResponse(
        status=status, body=orjson.dumps(value), content_type=JSON, state=value["state"]
    )
