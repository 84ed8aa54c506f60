"""A payer's walk up to the button: the code, the wallet's word who pays, the form.

Rules:

* Nothing is made by looking: an order of a printed code is made by the press, and no wallet
  begins one before it (``gateway/http/pages/presses.py``).
* The wallet is asked who pays before the form is shown, so that the press leads straight
  into the wallet's own window; a state that is not this session's is not answered, and what
  came back with it not even looked at.
* Who comes back to a code whose order is being paid finds that order, not a new form.
"""

from typing import Final

from channels.port import Verdict
from domain.checkout import CheckoutStatus
from gateway.checkout.port import CheckoutPages, CheckoutView
from gateway.http.pages.answers import Answers, Visit
from gateway.http.pages.counters import Counter, Counters, payer_of
from gateway.http.pages.pictures import shown_code
from gateway.http.pages.presses import Presses
from gateway.http.pages.rendering import Payable, Plain
from gateway.http.pages.requests import PageResponse, fields_of
from gateway.http.pages.texts import State
from gateway.http.pages.tickets import Session, Tickets
from gateway.http.pages.wallets import Wallet, unionpay_mark, wallet_of

_CODE_NAMES: Final = {
    Wallet.WECHAT: "code",
    Wallet.ALIPAY: "auth_code",
    Wallet.UNIONPAY: "userAuthCode",
}
"""What each wallet calls the code that it sends the browser back with."""
_LONGEST_CODE: Final = 512
_AFOOT: Final = frozenset({CheckoutStatus.PAYING, CheckoutStatus.CLOSING})


class Visits:
    """Everything that a payer does before the press."""

    def __init__(
        self,
        *,
        public_url: str,
        pages: CheckoutPages,
        counters: Counters,
        tickets: Tickets,
        answers: Answers,
        presses: Presses,
    ) -> None:
        self._public_url = public_url.rstrip("/")
        self._pages = pages
        self._counters = counters
        self._tickets = tickets
        self._answers = answers
        self._presses = presses

    async def show(self, visit: Visit) -> PageResponse:
        """``GET /q/ID``: what there is to pay, or ``?o=`` one order."""
        handle = fields_of(visit.request.query).get("o", "")
        if handle:
            return await self._presses.show_order(visit, handle)
        counter = await self._counters.look(visit.code_id, visit.session)
        if isinstance(counter, State):
            return self._answers.plain(visit, Plain(state=counter))
        wallets = self._wallets(counter)
        wallet = wallet_of(visit.request.user_agent)
        if wallet is None:
            return self._apps(visit, counter, wallets)
        if wallet not in wallets:
            page = Plain(state=State.NOT_OPEN, shop=counter.shop, wallets=wallets)
            return self._answers.plain(visit, page)
        session = visit.session or self._tickets.new_session(visit.now_ms)
        if counter.order is not None:
            session = session.looking_at(counter.order.checkout_id)
        if session.wallet is not wallet or not session.payer_id:
            return self._ask_who(visit, counter, session, wallet)
        afoot = await self._afoot(counter, session)
        if afoot is not None:
            handle = self._tickets.order_handle(visit.code_id, session, afoot.checkout_id)
            return self._answers.elsewhere(visit, f"{visit.home}?o={handle}", session)
        return self._form(visit, counter, session, wallet)

    def _wallets(self, counter: Counter) -> list[Wallet]:
        open_here = self._pages.wallets(counter.merchant_no)
        return [wallet for wallet in Wallet if wallet.value in open_here]

    def _apps(self, visit: Visit, counter: Counter, wallets: list[Wallet]) -> PageResponse:
        """Any other browser: which apps work, and the code to scan with them."""
        page = Plain(
            state=State.APPS,
            shop=counter.shop,
            wallets=wallets,
            code=shown_code(f"{self._public_url}{visit.home}"),
        )
        return self._answers.plain(visit, page)

    def _ask_who(
        self, visit: Visit, counter: Counter, session: Session, wallet: Wallet
    ) -> PageResponse:
        session = self._tickets.asking(session, wallet)
        url = self._pages.authorise_url(
            counter.merchant_no,
            wallet.value,
            f"{self._public_url}{visit.home}/back",
            self._tickets.state(visit.code_id, session),
        )
        if not url:
            page = Plain(state=State.NOT_OPEN, shop=counter.shop, wallets=self._wallets(counter))
            return self._answers.plain(visit, page)
        return self._answers.elsewhere(visit, url, session, status=302)

    async def _afoot(self, counter: Counter, session: Session) -> CheckoutView | None:
        """The order that there is to go on with, instead of a new form."""
        order = counter.order
        if order is not None:
            return None if order.status is CheckoutStatus.WAITING else order
        if not session.checkout_id:
            return None
        order = await self._pages.view(session.checkout_id, payer_of(session))
        return order if order is not None and order.is_mine and order.status in _AFOOT else None

    def _form(
        self, visit: Visit, counter: Counter, session: Session, wallet: Wallet
    ) -> PageResponse:
        page = Payable(
            code_id=visit.code_id,
            shop=counter.shop,
            subject=counter.subject,
            amount_fen=counter.amount_fen,
            wallet=wallet,
            form=self._tickets.new_form(visit.code_id, session, visit.now_ms),
        )
        return self._answers.payable(visit, page, session)

    async def back(self, visit: Visit) -> PageResponse:
        """``GET /q/ID/back``: the wallet's log-in sent the browser back."""
        asked, session = fields_of(visit.request.query), visit.session
        if session is None or session.wallet is None:
            return self._answers.stale(visit)
        if not self._tickets.is_state(visit.code_id, session, asked.get("state", "")):
            return self._answers.stale(visit)
        code = asked.get(_CODE_NAMES[session.wallet], "")
        counter = await self._counters.look(visit.code_id, session)
        if isinstance(counter, State):
            return self._answers.plain(visit, Plain(state=counter))
        if not 0 < len(code) <= _LONGEST_CODE:
            return self._busy(visit, counter)
        mark = unionpay_mark(visit.request.user_agent)
        answer = await self._pages.payer_of(counter.merchant_no, session.wallet.value, code, mark)
        if answer.verdict is not Verdict.SUCCEEDED:
            return self._busy(visit, counter)
        session = self._tickets.named(session, answer.payer_id)
        return self._answers.elsewhere(visit, visit.home, session)

    def _busy(self, visit: Visit, counter: Counter) -> PageResponse:
        """The wallet did not say who pays; asking again is the payer's to decide."""
        page = Plain(state=State.BUSY, shop=counter.shop, begin_again=visit.home)
        return self._answers.plain(visit, page)

    async def done(self, visit: Visit) -> PageResponse:
        """``/q/ID/done``: a wallet that is a page of its own sends the payer back.

        It comes as a form from another site, without our cookie: what it says is not read,
        and the page is asked for anew.
        """
        handle = fields_of(visit.request.query).get("o", "")
        is_clean = handle.isascii() and handle.replace("-", "").replace("_", "").isalnum()
        return self._answers.elsewhere(
            visit, f"{visit.home}?o={handle}" if is_clean else visit.home
        )
