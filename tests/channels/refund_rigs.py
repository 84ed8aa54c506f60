"""Adapters that can refund, before a peer that keeps books of what it returned."""

from collections.abc import Callable, Mapping
from typing import Protocol

import orjson

from channels.alipay.refund_wire import read_refund
from channels.port import (
    AnswerLost,
    HttpRequest,
    HttpResponse,
    NotSent,
    PaymentRef,
    RefundAnswer,
    RefundRequest,
    Refunds,
)
from channels.unionpay.card_refund_wire import build_refund
from channels.unionpay.card_refund_wire import read_refund as read_card_refund
from channels.unionpay.card_wire import Reply
from domain.money import format_yuan, parse_yuan
from pos_protocol.codec import Message, decode, encode, encode_with_mac
from tests.channels.refund_book import REFUNDED_MS, RefundBook
from tests.channels.rigs import (
    TERMINAL,
    AlipayRig,
    CardRig,
    HostAnswer,
    alipay_answer,
    answering,
    host_reply,
    paid,
    ref_of,
    sale_fields,
    unsigned,
    with_mti,
    with_wrong_mac,
)

PAID_FEN = 1990
Fields = Mapping[str, object]


class RefundRig(Protocol):
    """What the refund contract asks of an adapter and its peer; one payment is paid.

    ``can_be_asked``: the peer knows a query of refunds.
    """

    ability: Refunds
    refund_numbers: list[str]
    can_be_asked: bool

    async def start(self) -> None: ...
    async def close(self) -> None: ...
    def refund_request(self, amount_fen: int, refund_no: str = ...) -> RefundRequest: ...
    def returned_fen(self) -> int: ...
    def loses_answers(self, count: int) -> None: ...
    def will_be_unreachable(self) -> None: ...
    def refund_faults(self) -> Mapping[str, Callable[[], None]]: ...
    def refunded_bytes(self, request: RefundRequest) -> bytes: ...
    def read_refund(self, raw: bytes, request: RefundRequest) -> RefundAnswer: ...


def shown(method: str, fields: Fields) -> bytes:
    return alipay_answer(method.replace(".", "_"), fields)


class AlipayRefundRig(RefundBook, AlipayRig):
    """One paid trade at a gateway that refunds as Alipay does."""

    can_be_asked = True

    def __init__(self, **settings: str) -> None:
        super().__init__(**settings)
        self.open_book(self.channel, ref_of(self.request()))
        self.respond = self._act

    async def send(self, request: HttpRequest) -> HttpResponse:
        answer = await super().send(request)
        content = orjson.loads(self.requests[-1]["biz_content"])
        if "out_request_no" in content:
            self.refund_numbers.append(content["out_request_no"])
        self.may_lose_it()
        return answer

    def _act(self, method: str, content: Mapping[str, str]) -> HttpResponse:
        match method:
            case "refund":
                fields = self._refund(content)
            case "fastpay.refund.query":
                fields = self._refund_query(content)
            case _:
                fields = paid(content["out_trade_no"], "19.90", trade_status="TRADE_SUCCESS")
        return HttpResponse(200, {}, shown(method, fields))

    def _refund(self, content: Mapping[str, str]) -> Fields:
        number, amount_fen = content["out_request_no"], parse_yuan(content["refund_amount"])
        done_fen = self.refunds.get(number)
        if done_fen not in (None, amount_fen):
            return {"code": "40004", "sub_code": "ACQ.DISCORDANT_REPEAT_REQUEST"}
        if done_fen is None and self.returned_fen() + amount_fen > PAID_FEN:
            return {"code": "40004", "sub_code": "ACQ.REASON_TRADE_REFUND_FEE_ERR"}
        self.refunds[number] = amount_fen
        return self.refunded(content["out_trade_no"], "Y" if done_fen is None else "N")

    def refunded(self, order_no: str, fund_change: str) -> dict[str, object]:
        return {
            "code": "10000",
            "msg": "Success",
            "fund_change": fund_change,
            "out_trade_no": order_no,
            "refund_fee": format_yuan(self.returned_fen()),
        }

    def _refund_query(self, content: Mapping[str, str]) -> Fields:
        amount_fen = self.refunds.get(content["out_request_no"])
        if amount_fen is None:
            return {"code": "10000", "msg": "Success"}
        return {
            "code": "10000",
            "out_request_no": content["out_request_no"],
            "out_trade_no": content["out_trade_no"],
            "refund_amount": format_yuan(amount_fen),
            "refund_status": "REFUND_SUCCESS",
            "total_amount": "19.90",
        }

    def will_be_unreachable(self) -> None:
        self._raise(NotSent("refused"))

    def _answers_refunds(self, fields: Fields, **how: str) -> None:
        """Script one body for every call, under the key of the call that it answers."""
        self.respond = lambda method, content: HttpResponse(
            200,
            {},
            alipay_answer(
                method.replace(".", "_"),
                {"out_trade_no": content["out_trade_no"], **fields},
                **how,
            ),
        )

    def refund_faults(self) -> Mapping[str, Callable[[], None]]:
        refused = {"code": "40004", "sub_code": "ACQ.TRADE_HAS_FINISHED"}
        good = {"code": "10000", "fund_change": "Y", "refund_fee": "5.00"}
        found = {
            "code": "10000",
            "out_request_no": "ANOTHERREFUND",
            "refund_amount": "5.00",
            "refund_status": "REFUND_SUCCESS",
        }
        bodies: dict[str, Fields] = {
            "unlisted code": {"code": "49999"},
            "unlisted sub code": {"code": "40004", "sub_code": "ACQ.NEW"},
            "system error": {"code": "40004", "sub_code": "ACQ.SYSTEM_ERROR"},
            "busy": {"code": "20000", "sub_code": "isp.unknow-error"},
            "set-up fault": {"code": "40002", "sub_code": "isv.invalid-signature"},
            "empty purse": {"code": "40004", "sub_code": "ACQ.SELLER_BALANCE_NOT_ENOUGH"},
            "discordant": {"code": "40004", "sub_code": "ACQ.DISCORDANT_REPEAT_REQUEST"},
            "not a trade to refund": {"code": "40004", "sub_code": "ACQ.TRADE_STATUS_ERROR"},
            "another order": {**good, "out_trade_no": "ANOTHERORDER"},
            "no order": {**good, "out_trade_no": ""},
            "another refund": found,
            "less than ours": {**good, "refund_fee": "4.99"},
            "more than was paid": {**good, "refund_fee": "19.91"},
            "no sum": {**good, "refund_fee": ""},
            "a sum like no sum": {**good, "refund_fee": "1e3"},
            "still in work": {"code": "10000", "refund_status": "REFUND_PROCESSING"},
            "answer to a payment": paid(self.payment.order_no, "19.90", trade_status="X"),
        }
        faults: dict[str, Callable[[], None]] = {
            name: lambda body=body: self._answers_refunds(body)  # type: ignore[misc]  # bound now
            for name, body in bodies.items()
        }
        faults |= {
            f"{name}, signed by another": lambda body=body: self._answers_refunds(  # type: ignore[misc]
                body, signer="somebody"
            )
            for name, body in (("refused", refused), ("refunded", good))
        }
        faults["refused, under another key"] = lambda: self.answers(shown("pay", refused))
        faults["HTTP 502"] = lambda: self.answers(shown("refund", refused), status=502)
        faults["not JSON"] = lambda: self.answers(b"<html>")
        faults["answer lost"] = lambda: self._raise(AnswerLost("timed out"))
        faults["defect"] = lambda: self._raise(RuntimeError("a defect"))
        return faults

    def refunded_bytes(self, request: RefundRequest) -> bytes:
        fields = self.refunded(request.payment.order_no, "Y")
        return shown("refund", {**fields, "refund_fee": format_yuan(request.amount_fen)})

    def read_refund(self, raw: bytes, request: RefundRequest) -> RefundAnswer:
        return read_refund(HttpResponse(200, {}, raw), self.account, request)


SALE_NO = TERMINAL + "000001" + "000042"
REFERENCE = "326151538001"
YESTERDAY_MS = REFUNDED_MS - 86_400_000


class CardRefundRig(RefundBook, CardRig):
    """One card sale of yesterday at a host that keeps its answers to refunds."""

    can_be_asked = False

    def __init__(self, **settings: str) -> None:
        super().__init__(timeout_s="0.1", **settings)
        self.host.answer = self._act
        payment = PaymentRef(
            order_no=SALE_NO,
            amount_fen=PAID_FEN,
            currency="CNY",
            created_at_ms=YESTERDAY_MS,
            entry_mode="051",
            reference=REFERENCE,
            paid_at_ms=YESTERDAY_MS,
        )
        self.open_book(self.channel, payment)

    def _act(self, message: Message) -> Message | None:
        number = TERMINAL + message.text(60)[2:8] + message.text(11)
        self.refund_numbers.append(number)
        amount_fen = int(message.text(4))
        code = "00"
        if self.refunds.get(number, amount_fen) != amount_fen:
            code = "94"
        elif number not in self.refunds and self.returned_fen() + amount_fen > PAID_FEN:
            code = "61"
        else:
            self.refunds[number] = amount_fen
        if self.to_lose:
            self.to_lose -= 1
            return None
        return host_reply(message, sale_fields(message, code))

    def refund_faults(self) -> Mapping[str, Callable[[], None]]:
        answers: dict[str, HostAnswer] = {
            "silence": lambda message: None,
            "garbage": lambda message: b"\x60" * 40,
            "cut": lambda message: encode(host_reply(message, sale_fields(message, "00")))[:-3],
            "returned without MAC": unsigned("00"),
            "returned with a wrong MAC": with_wrong_mac("00"),
            "declined with a wrong MAC": with_wrong_mac("61"),
            "unlisted code": answering("ZZ"),
            "duplicate": answering("94"),
            "in part": answering("10", f4="000000000001"),
            "timed out": answering("68"),
            "switch down": answering("96"),
            "issuer timed out": answering("98"),
            "not signed on": answering("77"),
            "our MAC refused": answering("A0"),
            "another amount": answering("00", f4="000000000499"),
            "another processing code": answering("00", f3="000000"),
            "another merchant": answering("00", f42="898000000000002"),
            "another merchant declines": answering("61", f42="898000000000002"),
            "another terminal": answering("00", f41="77000002"),
            "another trace": answering("00", f11="999999"),
            "another message type": with_mti("0210"),
            "another currency": answering("00", f49="840"),
            "link lost": self._lose_link,
        }
        return {
            name: lambda answer=answer: setattr(self.host, "answer", answer)  # type: ignore[misc]
            for name, answer in answers.items()
        }

    def refunded_bytes(self, request: RefundRequest) -> bytes:
        asked = decode(build_refund(request, self.account, self.keys))
        return encode_with_mac(host_reply(asked, sale_fields(asked, "00")), self.host.mac)

    def read_refund(self, raw: bytes, request: RefundRequest) -> RefundAnswer:
        return read_card_refund(Reply(raw, decode(raw)), request, self.account, (self.keys,))
