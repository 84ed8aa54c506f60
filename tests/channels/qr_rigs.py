"""A UnionPay QR channel before a scripted ACP gateway that accepts first and tells later."""

import asyncio
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from channels.port import (
    Answer,
    AnswerLost,
    Channel,
    ChannelAccount,
    HttpRequest,
    HttpResponse,
    NotSent,
    PaymentRef,
    PayRequest,
    RefundAnswer,
    RefundRequest,
)
from channels.unionpay.qr_adapter import UnionPayQrChannel
from channels.unionpay.qr_envelope import AcpAccount
from channels.unionpay.qr_plugin import PLUGIN
from channels.unionpay.qr_refund_wire import read_refund_query
from channels.unionpay.qr_wire import read_query
from signing.unionpay import rsa_signature
from tests.channels.refund_book import RefundBook
from tests.channels.rigs import FixedClock, ref_of, services
from tests.support.acp_chain import Issued, chain, issue

QR_CODE = "6212345678901234567"
MER_ID = "777290058110048"
PAID_FEN = 1990
BACK_URL = "https://pos.example.com/notify/unionpay_qr/up1"
Params = dict[str, str]
Respond = Callable[[Params], "HttpResponse | None"]


def acp_answer(params: Params, signer: Issued | None = None) -> bytes:
    """A body as ACP's gateway answers it, signed, not URL-encoded."""
    own = signer or chain()[2]
    complete = {"version": "5.1.0", "signMethod": "01", "signPubKeyCert": own.pem, **params}
    complete.setdefault("signature", rsa_signature(complete, own.key))
    return "&".join(f"{name}={value}" for name, value in complete.items()).encode()


ECHOED = (
    "accessType",
    "bizType",
    "encoding",
    "merId",
    "orderId",
    "txnTime",
    "txnType",
    "txnSubType",
)


def echo(asked: Params, code: str, **more: str) -> dict[str, str]:
    """What every answer repeats of its request."""
    own = {name: asked[name] for name in ECHOED if name in asked}
    return {**own, "respCode": code, "respMsg": f"[{code}00000]", **more}


def found(
    asked: Params, code: str = "00", amount_fen: int = PAID_FEN, **more: str
) -> dict[str, str]:
    """A query's answer about a transaction that UnionPay knows."""
    return echo(
        asked,
        "00",
        origRespCode=code,
        txnAmt=str(amount_fen),
        currencyCode="156",
        queryId="951811221515371234568",
        traceTime="1122151538",
        **more,
    )


def own_pem(owner: Issued) -> bytes:
    return owner.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + (
        owner.pem.encode()
    )


class UnionPayQrRig:
    """An ACP merchant before a scripted gateway."""

    accepts_first = True

    def __init__(self, *, clock: FixedClock | None = None, **settings: str) -> None:
        self.clock = clock or FixedClock()
        self.numbers: list[str] = []
        self.requests: list[Params] = []
        self.urls: list[str] = []
        self.respond: Respond = self._approve
        root, middle, _ = chain()
        account = ChannelAccount(
            account_id="up1",
            channel="unionpay_qr",
            settings={
                "base_url": "http://127.0.0.1:1",
                "file_url": "http://127.0.0.1:1/files",
                "mer_id": MER_ID,
                "root_certificate": root.pem,
                "middle_certificate": middle.pem,
                "back_url": BACK_URL,
                **settings,
            },
            secrets={"sign_key": own_pem(issue("merchant", middle, serial=68759585097))},
        )
        lent = services(send=self.send, clock=self.clock)
        self.channel: Channel = PLUGIN.build(account, lent)
        assert isinstance(self.channel, UnionPayQrChannel)
        self.account: AcpAccount = self.channel._account

    async def start(self) -> None:
        await self.channel.start()

    async def close(self) -> None:
        await self.channel.close()

    async def send(self, request: HttpRequest) -> HttpResponse:
        await asyncio.sleep(0)
        form = dict(parse_qsl(request.body.decode("ascii"), strict_parsing=True))
        self.requests.append(form)
        self.urls.append(request.url)
        self.numbers.append(form["orderId"])
        response = self.respond(form)
        if response is None:
            await asyncio.Event().wait()
            raise AssertionError("a hanging peer does not answer")
        return response

    def request(self, order_no: str = "") -> PayRequest:
        return PayRequest(
            order_no=order_no or self.channel.new_order_no(),
            amount_fen=PAID_FEN,
            currency="CNY",
            subject="Tea",
            created_at_ms=self.clock.ms,
            auth_code=QR_CODE,
        )

    def answers(
        self, *made: Callable[[Params], Mapping[str, str] | bytes], status: int = 200
    ) -> None:
        """Script the next answers, made of what was asked; the last one repeats."""
        left = list(made)

        def respond(asked: Params) -> HttpResponse:
            content = (left.pop(0) if len(left) > 1 else left[0])(asked)
            body = content if isinstance(content, bytes) else acp_answer(dict(content))
            return HttpResponse(status, {}, body)

        self.respond = respond

    def says(self, code: str, **more: str) -> None:
        """Every call is answered with this code."""
        self.answers(lambda asked: echo(asked, code, **more))

    def _approve(self, asked: Params) -> HttpResponse:
        """Accept everything; a query finds it done."""
        content = found(asked) if asked["txnType"] == "00" else echo(asked, "00", queryId="951811")
        return HttpResponse(200, {}, acp_answer(content))

    def _raise(self, fault: Exception) -> None:
        def respond(asked: Params) -> HttpResponse:
            raise fault

        self.respond = respond

    def will_approve(self) -> None:
        self.respond = self._approve

    def will_decline(self) -> None:
        self.says("64")

    def will_hang(self) -> None:
        self.respond = lambda asked: None

    def will_be_unreachable(self) -> None:
        self._raise(NotSent("refused"))

    def faults(self) -> Mapping[str, Callable[[], None]]:
        made: dict[str, Callable[[Params], Mapping[str, str] | bytes]] = {
            "empty": lambda asked: b"",
            "not a form": lambda asked: b"<html>502</html>",
            "not UTF-8": lambda asked: b"respCode=64&respMsg=\xcd\xa8",
            "cut": lambda asked: acp_answer(echo(asked, "64"))[:-20],
            "no signature": lambda asked: acp_answer(echo(asked, "64", signature="")),
            "signature not base64": lambda asked: acp_answer(echo(asked, "64", signature="é")),
            "signed with 5.0.0": lambda asked: acp_answer(echo(asked, "64", version="5.0.0")),
            "another signMethod": lambda asked: acp_answer(echo(asked, "64", signMethod="11")),
            "signed by a stranger": lambda asked: acp_answer(
                echo(asked, "64"), issue("041@Z@somebody@1", chain()[1])
            ),
            "signed by himself": lambda asked: acp_answer(
                echo(asked, "64"), issue("041@Z@中国银联股份有限公司@1", owner="forger")
            ),
            "a name twice": lambda asked: acp_answer(echo(asked, "64")) + b"&respCode=64",
            "another merchant": lambda asked: echo(asked | {"merId": "777290058110099"}, "64"),
            "no merchant": lambda asked: echo(asked | {"merId": ""}, "64"),
            "another order": lambda asked: echo(asked | {"orderId": "ANOTHERORDER"}, "64"),
            "another time": lambda asked: echo(asked | {"txnTime": "20261122151538"}, "64"),
            "unlisted code": lambda asked: echo(asked, "Z9"),
            "no code": lambda asked: echo(asked, ""),
            "general error": lambda asked: echo(asked, "99"),
            "duplicate": lambda asked: echo(asked, "12"),
            "busy": lambda asked: echo(asked, "06"),
            "timed out there": lambda asked: echo(asked, "03"),
            "not clear there": lambda asked: echo(asked, "04"),
            "paid too late": lambda asked: echo(asked, "42"),
        }
        faults: dict[str, Callable[[], None]] = {
            name: lambda make=make: self.answers(make)  # type: ignore[misc]  # bound now
            for name, make in made.items()
        }
        faults["answer lost"] = lambda: self._raise(AnswerLost("timed out"))
        faults["HTTP 502"] = lambda: self.answers(lambda asked: echo(asked, "64"), status=502)
        faults["HTTP 302"] = lambda: self.answers(lambda asked: echo(asked, "64"), status=302)
        faults["defect"] = lambda: self._raise(RuntimeError("a defect"))
        return faults

    def asked(
        self, order_no: str, created_text: str, kind: str = "00", sub_type: str = "00"
    ) -> Params:
        """What a request about this order would say, for an answer made by hand."""
        return {
            "merId": MER_ID,
            "orderId": order_no,
            "txnTime": created_text,
            "txnType": kind,
            "txnSubType": sub_type,
        }

    def approved_bytes(self, request: PayRequest) -> bytes:
        """The query's answer: it alone is a yes."""
        return acp_answer(found(self.asked(request.order_no, "20261122151537")))

    def read(self, raw: bytes, request: PayRequest) -> Answer:
        response = HttpResponse(200, {}, raw)
        return read_query(response, self.account, ref_of(request), self.clock.ms)


class UnionPayQrRefundRig(RefundBook, UnionPayQrRig):
    """One paid sale of yesterday at a gateway that refunds as UnionPay does."""

    can_be_asked = True

    def __init__(self, **settings: str) -> None:
        super().__init__(clock=None, **settings)
        self.respond = self._act
        yesterday_ms = self.clock.ms - 86_400_000
        payment = PaymentRef(
            order_no=self.channel.new_order_no(),
            amount_fen=PAID_FEN,
            currency="CNY",
            created_at_ms=yesterday_ms,
            trade_no="951811211515371234568",
            paid_at_ms=yesterday_ms,
        )
        self.open_book(self.channel, payment)

    def refunded_at_ms(self) -> int:
        return self.clock.ms

    async def send(self, request: HttpRequest) -> HttpResponse:
        response = await super().send(request)
        self.refund_numbers.append(self.numbers[-1])
        self.may_lose_it()
        return response

    def _act(self, asked: Params) -> HttpResponse:
        number = asked["orderId"]
        if asked["txnType"] == "00":
            known_fen = self.refunds.get(number)
            content = echo(asked, "34") if known_fen is None else found(asked, "00", known_fen)
        else:
            content = echo(asked, self._refund(number, int(asked["txnAmt"])))
        return HttpResponse(200, {}, acp_answer(content))

    def _refund(self, number: str, amount_fen: int) -> str:
        if number in self.refunds:
            return "12"
        if self.returned_fen() + amount_fen > PAID_FEN:
            return "36"
        self.refunds[number] = amount_fen
        return "00"

    def refund_faults(self) -> Mapping[str, Callable[[], None]]:
        mendable = {
            "format": "10",
            "signature": "11",
            "merchant not in order": "31",
            "closed": "02",
        }
        made: dict[str, Callable[[Params], Mapping[str, str] | bytes]] = {
            name: lambda asked, code=code: echo(asked, code)  # type: ignore[misc]  # bound now
            for name, code in mendable.items()
        }
        made |= {
            "found, of another order": lambda asked: found(asked | {"orderId": "ANOTHERORDER"}),
            "found, without an amount": lambda asked: found(asked) | {"txnAmt": ""},
            "found, an amount like none": lambda asked: found(asked) | {"txnAmt": "1e3"},
            "found, a payment": lambda asked: found(asked) | {"txnType": "01"},
            "found, unlisted": lambda asked: found(asked, "Z9"),
            "found, not clear": lambda asked: found(asked, "04"),
            "query refused, though": lambda asked: found(asked) | {"respCode": "37"},
            "refused, signed by another": lambda asked: acp_answer(
                echo(asked, "36"), issue("041@Z@somebody@1", chain()[1])
            ),
        }
        faults: dict[str, Callable[[], None]] = {
            name: lambda make=make: self.answers(make)  # type: ignore[misc]  # bound now
            for name, make in made.items()
        }
        own = super().faults()
        return {**own, **faults}

    def refunded_bytes(self, request: RefundRequest) -> bytes:
        asked = self.asked(request.refund_no, "20261122151537")
        return acp_answer(found(asked, "00", request.amount_fen))

    def read_refund(self, raw: bytes, request: RefundRequest) -> RefundAnswer:
        return read_refund_query(HttpResponse(200, {}, raw), self.account, request, self.clock.ms)
