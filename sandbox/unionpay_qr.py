"""The simulated UnionPay ACP gateway for QR: ``handle(path, body, state, now_ms) -> Effect``.

Rules (reference ``channels.md`` C1), where the vendor leaves room this side decides:

* A request that is not truly signed by our merchant is answered 11, signed, and nothing
  is done. An ``orderId`` serves one transaction for ever, whatever its type: 12.
* A sale by code (01/06) is answered 00, accepted; what became of it is told by the query.
  A code whose payer is refused is refused in the answer (64).
* A reversal (99/01) only finds an order of the same clearing day (39 later); what it does
  not find is 34, and nothing is remembered of it. Reversed twice: 00 again.
* A void (31) is of the whole within the clearing day, a refund (04) of any part afterwards
  or within; both are accepted and done half a second later. More than is left is 36, of
  what is undone already 45.
* A query of what nobody sent is 34. One of a refused order answers 00 with its code.
* 76/01 of a day without a settled transaction is 98, else a zip of ZM and RD.
"""

import base64
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

from domain.clock import BEIJING
from sandbox.config import UnionPayQrSandboxConfig
from sandbox.effects import HANG_UP, Effect
from sandbox.form import FormError, parse_form
from sandbox.notifier import Notice
from sandbox.scenarios import UNIONPAY_QR_BY_CODE, Scenario
from sandbox.unionpay_qr_books import (
    NEVER,
    RETURN_AFTER_MS,
    BooksFull,
    Order,
    UnionPayBooks,
    clearing_day,
)
from sandbox.unionpay_qr_envelope import Signer
from sandbox.unionpay_qr_files import day_file
from sandbox.unionpay_qr_notices import notices_of
from sandbox.wallet import Payer, WalletAnswer

CHANNEL: Final = "unionpay_qr"
BACK_PATH: Final = "/gateway/api/backTransReq.do"
QUERY_PATH: Final = "/gateway/api/queryTrans.do"
APP_PATH: Final = "/gateway/api/newAppTransReq.do"
FILE_PATH: Final = "/"
PATHS: Final = frozenset({BACK_PATH, QUERY_PATH, APP_PATH, FILE_PATH})
_MAX_AMOUNT_DIGITS: Final = 12
_ORDER_LIFE_MS: Final = 2 * 3600 * 1000
Params = Mapping[str, str]


class _No(Exception):
    """A refusal by its code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class UnionPayQrState:
    """One merchant's books and both sides' keys; lives as long as the sandbox."""

    def __init__(
        self, config: UnionPayQrSandboxConfig, *, user_paying_after_ms: int, max_orders: int
    ) -> None:
        """Raises ``ValueError`` for a key that cannot be read."""
        self.signer = Signer(config)
        self.user_paying_after_ms = user_paying_after_ms
        self.books = UnionPayBooks(max_orders)
        self.cashier_url = "https://qr.95516.com/pay/"
        """Where an order from a page is paid: its number follows."""

    def notices(self) -> list[Notice]:
        """What there is to tell since the last call."""
        return notices_of(self.books.take_done(), self.signer)

    def charges(self, now_ms: int) -> Iterator[tuple[str, int, int]]:
        """The money of every order that took any."""
        self.books.tick(now_ms)
        for order in self.books:
            if order.charged_fen:
                yield order.order_id, order.charged_fen, order.returned_fen

    def pay(self, payer: Payer, now_ms: int) -> WalletAnswer | None:
        """A payer scans a code or opens a page of ours."""
        order = self.books.by_code(payer.code or payer.order, now_ms)
        if order is None or not order.code:
            return None
        if payer.act is Scenario.CROSSED:
            self.books.reopen(order)
        return _paid_by(order, payer, self.user_paying_after_ms, now_ms)


def operation(body: bytes) -> tuple[str, Params | None]:
    """How faults name a call (``01/06``), and its parameters, ``None`` if unreadable."""
    try:
        params = parse_form(body)
    except FormError:
        return "", None
    return f"{params.get('txnType', '')}/{params.get('txnSubType', '')}", params


def handle(params: Params | None, state: UnionPayQrState, now_ms: int) -> Effect:
    """Answer one call."""
    signer = state.signer
    if params is None:
        return Effect(signer.answer({"merId": signer.mer_id}, "10"))
    if not signer.is_signed(params):
        return Effect(signer.answer(params, "11"))
    call = _CALLS.get((params.get("txnType", ""), params.get("txnSubType", "")))
    try:
        if call is None or params.get("merId") != signer.mer_id:
            raise _No("10")
        answer = call(params, state, now_ms)
    except _No as no:
        return Effect(signer.answer(params, no.code))
    except BooksFull:
        return Effect(signer.answer(params, "06"))
    return HANG_UP if answer is None else Effect(answer)


def _amount(params: Params) -> int:
    text = params.get("txnAmt", "")
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_AMOUNT_DIGITS and int(text)):
        raise _No("10")
    if params.get("currencyCode") != "156":
        raise _No("10")
    return int(text)


def _number(params: Params) -> tuple[str, str]:
    order_id, txn_time = params.get("orderId", ""), params.get("txnTime", "")
    if not (8 <= len(order_id) <= 40 and order_id.isascii() and order_id.isalnum()):
        raise _No("10")
    if not (len(txn_time) == 14 and txn_time.isascii() and txn_time.isdigit()):
        raise _No("10")
    return order_id, txn_time


def _new(params: Params, state: UnionPayQrState, now_ms: int, **more: object) -> Order:
    """A transaction under a number that nothing has."""
    order_id, txn_time = _number(params)
    if state.books.is_used(order_id):
        raise _No("12")
    return Order(
        order_id=order_id,
        txn_time=txn_time,
        kind=params["txnType"],
        sub_type=params["txnSubType"],
        amount_fen=_amount(params),
        query_id=state.books.new_query_id(now_ms),
        created_at_ms=now_ms,
        back_url=params.get("backUrl", ""),
        reserved=params.get("reqReserved", ""),
        **more,  # type: ignore[arg-type]  # named by each caller
    )


def _sale(params: Params, state: UnionPayQrState, now_ms: int) -> bytes | None:
    """01/06, and 02 that holds."""
    code = params.get("qrNo", "")
    if not (len(code) == 19 and code.isdigit() and code.startswith("62")):
        raise _No("86")
    scenario = UNIONPAY_QR_BY_CODE.get(code, Scenario.APPROVED)
    if scenario is Scenario.LOST_RESPONSE_NOT_CHARGED:
        return None
    done_at_ms = now_ms
    if scenario is Scenario.USER_PAYING:
        done_at_ms += state.user_paying_after_ms
    elif scenario is Scenario.NEVER_PAYS:
        done_at_ms = NEVER
    order = _new(params, state, now_ms, done_at_ms=done_at_ms)
    if scenario is Scenario.DECLINED:
        order.refused_code = "64"
    state.books.add(order)
    if order.refused_code:
        raise _No(order.refused_code)
    order.settle(now_ms)
    if scenario is Scenario.LOST_RESPONSE_CHARGED:
        return None
    return state.signer.answer(params, "00", queryId=order.query_id)


def _code_order(params: Params, state: UnionPayQrState, now_ms: int) -> bytes:
    """01/07: the same order again is the same code."""
    return _to_be_paid(params, state, now_ms, "qrCode", "https://qr.95516.com/00010000/")


def _page_order(params: Params, state: UnionPayQrState, now_ms: int) -> bytes:
    """01/01 from a wallet's page."""
    if not params.get("appUserId"):
        raise _No("13")
    return _to_be_paid(params, state, now_ms, "payUrl", state.cashier_url)


def _to_be_paid(
    params: Params, state: UnionPayQrState, now_ms: int, field: str, prefix: str
) -> bytes:
    known = state.books.find(*_number(params), now_ms)
    if known is None:
        known = _new(params, state, now_ms, done_at_ms=NEVER)
        known.code = f"{prefix}{known.query_id}"
        known.payer_id = params.get("appUserId", "")
        known.expires_at_ms = _expiry_ms(params, now_ms)
        known.front_url = params.get("frontUrl", "")
        known.subject = params.get("orderDesc", "")
        state.books.add(known)
    if (known.amount_fen, bool(known.code)) != (_amount(params), True) or known.reversed:
        raise _No("12")
    return state.signer.answer(params, "00", tn=known.query_id, **{field: known.code})


def _expiry_ms(params: Params, now_ms: int) -> int:
    """``payTimeout``, or two hours from now."""
    text = params.get("payTimeout", "")
    if not text:
        return now_ms + _ORDER_LIFE_MS
    try:
        at = datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=BEIJING)
    except ValueError:
        raise _No("10") from None
    return int(at.timestamp()) * 1000


def _paid_by(order: Order, payer: Payer, later_ms: int, now_ms: int) -> WalletAnswer:
    def answer(paid: bool, why: str = "") -> WalletAnswer:
        return WalletAnswer(
            channel=CHANNEL,
            order_no=order.order_id,
            amount_fen=order.amount_fen,
            paid=paid,
            why=why,
            subject=order.subject,
        )

    is_late = now_ms > order.expires_at_ms and payer.act is not Scenario.CROSSED
    if order.reversed or is_late:
        return answer(False, "closed")
    if order.done:
        return answer(False, "paid")
    if order.payer_id and payer.payer_id not in ("", order.payer_id):
        return answer(False, "another payer's")
    match payer.act:
        case Scenario.DECLINED:
            return answer(False, "balance")
        case Scenario.NEVER_PAYS:
            return answer(False)
        case Scenario.USER_PAYING:
            order.done_at_ms = now_ms + later_ms
        case _:
            order.done_at_ms = now_ms
    order.settle(now_ms)
    return answer(order.done)


def _who_pays(params: Params, state: UnionPayQrState, now_ms: int) -> bytes:
    """00/10: whoever shows a code is the payer that it names."""
    code = params.get("userAuthCode", "")
    if not code or not params.get("appUpIdentifier", "").startswith("UnionPay/"):
        raise _No("13")
    return state.signer.answer(params, "00", appUserId=user_of(code))


def user_of(code: str) -> str:
    """The payer's name behind a ``userAuthCode``."""
    return f"user-{zlib.crc32(code.encode()):08x}"


def _query(params: Params, state: UnionPayQrState, now_ms: int) -> bytes:
    order = state.books.find(*_number(params), now_ms)
    if order is None:
        raise _No("34")
    more = {
        "origRespCode": order.result,
        "origRespMsg": f"[{order.result}]",
        "txnAmt": str(order.amount_fen),
        "currencyCode": "156",
        "queryId": order.query_id,
        "traceNo": order.query_id[14:20],
        "traceTime": order.query_id[4:14],
        "settleDate": f"{clearing_day(order.created_at_ms):%m%d}",
    }
    if order.reserved:
        more["reqReserved"] = order.reserved
    return state.signer.answer(params, "00", **more)


def _reversal(params: Params, state: UnionPayQrState, now_ms: int) -> bytes:
    order = state.books.find(*_number(params), now_ms)
    if order is None:
        raise _No("34")
    if clearing_day(order.created_at_ms) != clearing_day(now_ms):
        raise _No("39")
    if order.promised_fen and not order.reversed:
        raise _No("45" if order.promised_fen == order.amount_fen else "35")
    if order.refused_code:
        raise _No("35")
    order.reverse()
    return state.signer.answer(params, "00", queryId=order.query_id)


def _return(params: Params, state: UnionPayQrState, now_ms: int) -> bytes:
    """31, 04, 32, 33: accepted, and done a moment later."""
    original = _original(params, state, now_ms)
    order = _new(params, state, now_ms, done_at_ms=now_ms + RETURN_AFTER_MS, original=original)
    if original.reversed or not original.done:
        raise _No("35")
    left_fen = original.amount_fen - original.promised_fen
    if not left_fen:
        raise _No("45")
    if order.amount_fen > left_fen:
        raise _No("36")
    if order.kind != "04" and order.amount_fen != original.amount_fen:
        raise _No("36")
    if order.kind in ("31", "33") and (
        clearing_day(original.created_at_ms) != clearing_day(now_ms)
    ):
        raise _No("39")
    original.promised_fen += order.amount_fen
    state.books.add(order)
    return state.signer.answer(params, "00", queryId=order.query_id)


def _original(params: Params, state: UnionPayQrState, now_ms: int) -> Order:
    query_id = params.get("origQryId", "")
    if query_id:
        found = state.books.by_query_id(query_id, now_ms)
    else:
        number, at = params.get("origOrderId", ""), params.get("origTxnTime", "")
        found = state.books.find(number, at, now_ms)
    if found is None:
        raise _No("35")
    return found


def _completion(params: Params, state: UnionPayQrState, now_ms: int) -> bytes:
    """03: what is held is taken, once."""
    hold = _original(params, state, now_ms)
    order = _new(params, state, now_ms, done_at_ms=now_ms, original=hold)
    if (
        hold.kind != "02"
        or hold.reversed
        or hold.promised_fen
        or order.amount_fen > hold.amount_fen
    ):
        raise _No("35")
    hold.promised_fen = hold.amount_fen
    state.books.add(order)
    order.settle(now_ms)
    return state.signer.answer(params, "00", queryId=order.query_id)


def _file(params: Params, state: UnionPayQrState, now_ms: int) -> bytes:
    made = day_file(state.books, state.signer.mer_id, params.get("settleDate", ""), now_ms)
    if made is None:
        raise _No("98")
    name, content = made
    packed = base64.b64encode(zlib.compress(content)).decode()
    settle_date = params["settleDate"]
    return state.signer.answer(
        params, "00", fileName=name, fileContent=packed, settleDate=settle_date
    )


Call = Callable[[Params, UnionPayQrState, int], bytes | None]
_CALLS: Final[Mapping[tuple[str, str], Call]] = MappingProxyType(
    {
        ("00", "00"): _query,
        ("00", "10"): _who_pays,
        ("01", "01"): _page_order,
        ("01", "06"): _sale,
        ("01", "07"): _code_order,
        ("02", "01"): _sale,
        ("03", "00"): _completion,
        ("04", "00"): _return,
        ("31", "00"): _return,
        ("32", "00"): _return,
        ("33", "00"): _return,
        ("76", "01"): _file,
        ("99", "01"): _reversal,
    }
)
