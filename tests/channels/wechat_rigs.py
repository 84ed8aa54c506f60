"""WeChat Pay channels before a scripted peer that speaks both versions of the API."""

import asyncio
import base64
import datetime as dt
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, ClassVar
from urllib.parse import urlsplit
from xml.etree import ElementTree

import orjson
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import (
    BasicConstraints,
    CertificateBuilder,
    Name,
    NameAttribute,
)
from cryptography.x509.oid import NameOID

from channels.port import (
    Answer,
    AnswerLost,
    Channel,
    ChannelAccount,
    HttpRequest,
    HttpResponse,
    NotSent,
    PayRequest,
    RefundAnswer,
    RefundRequest,
)
from channels.wechat import v2_wire, v3_wire
from channels.wechat.account import PlatformKeys, WechatAccount
from channels.wechat.adapter import WechatChannel
from channels.wechat.plugin import PLUGIN
from channels.wechat.v3_refund_wire import read_refund
from signing.rsa import sign_sha256
from signing.wechat import RsaMerchantKey, RsaPlatformKey
from signing.wechat_v2 import sign
from tests.channels.refund_book import RefundBook
from tests.channels.rigs import FixedClock, private_pem, public_pem, ref_of, rsa_key, services

NOW_MS = 1_795_331_737_042
API_V2_KEY = b"0123456789ABCDEF0123456789ABCDEF"
APIV3_KEY = b"abcdefghijklmnopqrstuvwxyz012345"
APPID, MCHID = "wx0000000000000001", "1900000001"
SUB_APPID, SUB_MCHID = "wx0000000000000002", "1900000002"
PUBLIC_KEY_ID = "PUB_KEY_ID_0119000000012026112200000001"
AUTH_CODE = "130000000000000001"
BASE_URL = "http://127.0.0.1:1"
PAID_FEN = 1990
Fields = Mapping[str, Any]


@cache
def certificate(name: str, serial: int = 0x51856640BA57CBD6) -> bytes:
    """A certificate over ``rsa_key(name)``, self-signed."""
    key = rsa_key(name)
    subject = Name([NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(dt.datetime(2026, 1, 1))  # noqa: DTZ001 - x509 takes naive UTC
        .not_valid_after(dt.datetime(2036, 1, 1))  # noqa: DTZ001
        .add_extension(BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, SHA256())
        .public_bytes(Encoding.PEM)
    )


def xml(fields: Mapping[str, str]) -> bytes:
    """A document as WeChat Pay writes it, with CDATA."""
    inner = "".join(f"<{name}><![CDATA[{value}]]></{name}>" for name, value in fields.items())
    return f"<xml>{inner}</xml>".encode()


def v2_answer(
    fields: Mapping[str, str], *, kind: str = "HMAC-SHA256", key: bytes = API_V2_KEY
) -> bytes:
    """An answer of APIv2, signed; an empty value takes one of the usual fields out."""
    whole = {
        "return_code": "SUCCESS",
        "return_msg": "OK",
        "appid": APPID,
        "mch_id": MCHID,
        "nonce_str": "NONCE",
        "result_code": "SUCCESS",
        **fields,
    }
    whole = {name: value for name, value in whole.items() if value}
    return xml(whole | {"sign": sign(whole, key, kind)})


def v2_paid(order_no: str, **more: str) -> bytes:
    fields = {
        "out_trade_no": order_no,
        "transaction_id": "4200000925202611224997714292",
        "trade_type": "MICROPAY",
        "total_fee": "1990",
        "fee_type": "CNY",
        "time_end": "20261122151537",
    }
    return v2_answer(fields | more)


def v2_refused(code: str, **more: str) -> bytes:
    return v2_answer({"result_code": "FAIL", "err_code": code, "err_code_des": "…"} | more)


def v3_stamp(
    body: bytes, *, signer: str = "wechat", serial: str = PUBLIC_KEY_ID, at_ms: int = NOW_MS
) -> dict[str, str]:
    """The headers that sign ``body``."""
    timestamp = str(at_ms // 1000)
    signature = sign_sha256(rsa_key(signer), f"{timestamp}\nN\n".encode() + body + b"\n")
    return {
        "wechatpay-serial": serial,
        "wechatpay-timestamp": timestamp,
        "wechatpay-nonce": "N",
        "wechatpay-signature": base64.b64encode(signature).decode(),
    }


def v3_answer(content: object, status: int = 200, **how: Any) -> HttpResponse:
    """An answer of APIv3, signed; ``None`` is one without a body."""
    body = b"" if content is None else orjson.dumps(content)
    return HttpResponse(status, v3_stamp(body, **how), body)


def v3_paid(order_no: str, **more: object) -> dict[str, object]:
    return {
        "appid": APPID,
        "mchid": MCHID,
        "out_trade_no": order_no,
        "transaction_id": "4200000925202611224997714292",
        "trade_type": "MICROPAY",
        "trade_state": "SUCCESS",
        "success_time": "2026-11-22T15:15:37+08:00",
        "amount": {"total": 1990, "payer_total": 1990, "currency": "CNY"},
        **more,
    }


def v3_refused(status: int, code: str) -> HttpResponse:
    return v3_answer({"code": code, "message": "…"}, status)


def v2_fields(body: bytes) -> dict[str, str]:
    return {element.tag: element.text or "" for element in ElementTree.fromstring(body)}


Respond = Callable[[str, Fields], HttpResponse]


class WechatRig:
    """A WeChat Pay channel; the till's codes go over APIv2."""

    settings: ClassVar[Mapping[str, str]] = {}

    def __init__(self, **settings: str) -> None:
        self.numbers: list[str] = []
        self.requests: list[HttpRequest] = []
        self.asked: list[tuple[str, Fields]] = []
        self.respond: Respond = self._approve
        self.clock = FixedClock()
        named = {
            "base_url": BASE_URL,
            "face_url": BASE_URL,
            "oauth_api": BASE_URL,
            "appid": APPID,
            "mchid": MCHID,
            "merchant_serial": "63BE98CDB0E3A7D4",
            "platform_public_key_id": PUBLIC_KEY_ID,
            "certificates_refresh_s": "0",
            "notify_url": "https://shop.example/notify/wechat/wx1",
            **self.settings,
            **settings,
        }
        self.given = ChannelAccount(
            account_id="wx1", channel="wechat", settings=named, secrets=secrets()
        )
        self.channel: Channel = PLUGIN.build(self.given, services(send=self.send, clock=self.clock))

    @property
    def wechat(self) -> WechatChannel:
        assert isinstance(self.channel, WechatChannel)
        return self.channel

    @property
    def account(self) -> WechatAccount:
        return self.wechat._account

    @property
    def keys(self) -> PlatformKeys:
        return self.wechat._keys

    async def start(self) -> None:
        await self.channel.start()

    async def close(self) -> None:
        await self.channel.close()

    async def send(self, request: HttpRequest) -> HttpResponse:
        await asyncio.sleep(0)
        self.requests.append(request)
        path = urlsplit(request.url).path
        fields: Fields = {}
        if request.body:
            is_xml = request.body[:1] == b"<"
            fields = v2_fields(request.body) if is_xml else orjson.loads(request.body)
        self.asked.append((path, fields))
        number = fields.get("out_trade_no", "")
        if "/out-trade-no/" in path:
            number = path.split("/out-trade-no/")[1].split("/")[0]
        if number:
            self.numbers.append(number)
        if self.respond == self._hang:
            await asyncio.Event().wait()
        return self.respond(path, fields)

    def request(self, order_no: str = "", **more: Any) -> PayRequest:
        given: dict[str, Any] = {
            "order_no": order_no or self.channel.new_order_no(),
            "amount_fen": PAID_FEN,
            "currency": "CNY",
            "subject": "Tea",
            "created_at_ms": NOW_MS,
            "auth_code": AUTH_CODE,
        }
        return PayRequest(**(given | more))

    def answers(self, *given: bytes | HttpResponse, status: int = 200) -> None:
        """Script the next answers; the last one repeats."""
        left = [HttpResponse(status, {}, one) if isinstance(one, bytes) else one for one in given]
        self.respond = lambda path, fields: left.pop(0) if len(left) > 1 else left[0]

    def on(self, **by_path: bytes | HttpResponse) -> None:
        """Script by the last word of the path; what is not scripted approves."""

        def respond(path: str, fields: Fields) -> HttpResponse:
            said = by_path.get(path.rsplit("/", 1)[-1])
            if said is None and "/out-trade-no/" in path:
                said = by_path.get("query")
            if said is None:
                return self._approve(path, fields)
            return HttpResponse(200, {}, said) if isinstance(said, bytes) else said

        self.respond = respond

    def _approve(self, path: str, fields: Fields) -> HttpResponse:
        number = fields.get("out_trade_no", "")
        match path.rsplit("/", 1)[-1]:
            case "micropay" | "facepay":
                body = v2_paid(number)
            case "orderquery" | "facepayquery":
                body = v2_paid(number, trade_state="SUCCESS")
            case "reverse" if path.startswith("/secapi"):
                body = v2_answer({"recall": "N"})
            case "facepayreverse":
                body = v2_answer({"recall": "N"})
            case "codepay":
                return v3_answer(v3_paid(number))
            case "reverse":
                number = path.split("/")[-2]
                return v3_answer({"appid": APPID, "mchid": MCHID, "out_trade_no": number})
            case "close":
                return v3_answer(None, 204)
            case last:
                return v3_answer(v3_paid(last))
        return HttpResponse(200, {}, body)

    def _hang(self, path: str, fields: Fields) -> HttpResponse:
        raise AssertionError("a hanging peer does not answer")

    def _raise(self, fault: Exception) -> None:
        def respond(path: str, fields: Fields) -> HttpResponse:
            raise fault

        self.respond = respond

    def will_approve(self) -> None:
        self.respond = self._approve

    def will_decline(self) -> None:
        self.answers(v2_refused("NOTENOUGH"))

    def will_hang(self) -> None:
        self.respond = self._hang

    def will_be_unreachable(self) -> None:
        self._raise(NotSent("refused"))

    def _scripted(
        self, bodies: Mapping[str, bytes | HttpResponse]
    ) -> dict[str, Callable[[], None]]:
        return {
            name: lambda body=body: self.answers(body)  # type: ignore[misc]  # bound now
            for name, body in bodies.items()
        }

    def faults(self) -> Mapping[str, Callable[[], None]]:
        refused = {"result_code": "FAIL", "err_code": "NOTENOUGH"}
        good = v2_answer(refused)
        paid = {"out_trade_no": "ANOTHERORDER", "total_fee": "1990", "transaction_id": "1"}
        faults = self._scripted(
            {
                "empty": b"",
                "not XML": b"<html>502",
                "a list": b"[]",
                "cut": good[:-20],
                "no sign": xml({"return_code": "SUCCESS", **refused}),
                "empty sign": xml({"return_code": "SUCCESS", **refused, "sign": ""}),
                "signed with another key": v2_answer(refused, key=b"x" * 32),
                "signed with MD5": v2_answer(refused, kind="MD5"),
                "said to be signed with MD5": v2_answer(
                    {**refused, "sign_type": "MD5"}, kind="MD5"
                ),
                "refused as a whole": xml({"return_code": "FAIL", "return_msg": "签名错误"}),
                "a document type": b'<!DOCTYPE xml [<!ENTITY x "y">]>' + good,
                "a field twice": good.replace(b"</xml>", b"<err_code>NOTENOUGH</err_code></xml>"),
                "unlisted code": v2_refused("NEW_CODE"),
                "no code": v2_refused(""),
                "system error": v2_refused("SYSTEMERROR"),
                "bank error": v2_refused("BANKERROR"),
                "paid before": v2_refused("ORDERPAID"),
                "number used": v2_refused("OUT_TRADE_NO_USED"),
                "closed before": v2_refused("ORDERCLOSED"),
                "reversed before": v2_refused("ORDERREVERSED"),
                "another order": v2_answer(paid),
                "no order": v2_answer({"total_fee": "1990", "transaction_id": "1"}),
                "another merchant": v2_answer({**refused, "mch_id": "1900000009"}),
                "another application": v2_answer({**refused, "appid": "wx9"}),
                "a shop of somebody's": v2_answer({**refused, "sub_mch_id": "1900000009"}),
                "answer to a refund": v2_answer({"refund_id": "5", "out_refund_no": "R"}),
                "recall": v2_answer({"recall": "Y"}),
            }
        )
        return faults | self.common_faults(good)

    def common_faults(self, good: bytes) -> dict[str, Callable[[], None]]:
        return {
            "answer lost": lambda: self._raise(AnswerLost("timed out")),
            "HTTP 502": lambda: self.answers(good, status=502),
            "HTTP 302": lambda: self.answers(good, status=302),
            "defect": lambda: self._raise(RuntimeError("a defect")),
        }

    def approved_bytes(self, request: PayRequest) -> bytes:
        return v2_paid(request.order_no)

    def read(self, raw: bytes, request: PayRequest) -> Answer:
        return v2_wire.read_pay(HttpResponse(200, {}, raw), self.account, request.order_no)


class CodepayRig(WechatRig):
    """The same by APIv3's codepay."""

    settings: ClassVar[Mapping[str, str]] = {"codepay": "true"}

    def will_decline(self) -> None:
        self.answers(v3_refused(403, "NOT_ENOUGH"))

    def faults(self) -> Mapping[str, Callable[[], None]]:
        refusal = {"code": "NOT_ENOUGH", "message": "…"}
        raw = orjson.dumps(refusal)
        paid = v3_paid("ANOTHERORDER")
        faults = self._scripted(
            {
                "empty": HttpResponse(403, v3_stamp(b"x"), b""),
                "not signed": HttpResponse(403, {}, raw),
                "signed by another": v3_answer(refusal, 403, signer="somebody"),
                "under an unknown serial": v3_answer(refusal, 403, serial="ABCDEF"),
                "five minutes old": v3_answer(refusal, 403, at_ms=NOW_MS - 301_000),
                "from the future": v3_answer(refusal, 403, at_ms=NOW_MS + 301_000),
                "a changed body": HttpResponse(403, v3_stamp(raw), raw + b" "),
                "not JSON": HttpResponse(200, v3_stamp(b"<html>"), b"<html>"),
                "a list": v3_answer([]),
                "nothing": v3_answer({}),
                "unlisted code": v3_refused(400, "NEW_CODE"),
                "a listed code under another status": v3_refused(404, "NOT_ENOUGH"),
                "no code": v3_answer({"message": "…"}, 400),
                "a number for a code": v3_answer({"code": 5}, 400),
                "too often": v3_refused(429, "FREQUENCY_LIMITED"),
                "system error": v3_refused(500, "SYSTEM_ERROR"),
                "a refusal with 500": v3_refused(500, "NOT_ENOUGH"),
                "bank error": v3_refused(403, "BANK_ERROR"),
                "number used": v3_refused(403, "OUT_TRADE_NO_USED"),
                "another order": v3_answer(paid),
                "no order": v3_answer({k: v for k, v in paid.items() if k != "out_trade_no"}),
                "an unlisted state": v3_answer(v3_paid("X", trade_state="NEW")),
                "answer to a refund": v3_answer(v3_paid("X", refund_id="5")),
            }
        )
        return faults | self.common_faults(raw)

    def approved_bytes(self, request: PayRequest) -> bytes:
        return orjson.dumps(v3_paid(request.order_no))

    def read(self, raw: bytes, request: PayRequest) -> Answer:
        stamp = _stamp_of(self.approved_bytes(request))
        return v3_wire.read_codepay(
            HttpResponse(200, stamp, raw), self.account, self.keys, request.order_no, NOW_MS
        )


@cache
def _stamp_of(body: bytes) -> dict[str, str]:
    return v3_stamp(body)


def secrets(**replaced: bytes) -> dict[str, bytes]:
    """Everything that an account may hold, both modes of verification included."""
    return {
        "merchant_private_key": private_pem(rsa_key("merchant")),
        "apiv3_key": APIV3_KEY,
        "api_v2_key": API_V2_KEY,
        "client_certificate": certificate("merchant"),
        "platform_public_key": public_pem(rsa_key("wechat")),
        "app_secret": b"app-secret",
    } | replaced


def wechat_account(**replaced: Any) -> WechatAccount:
    """An account for the pure wires."""
    parts: dict[str, Any] = {
        "base_url": BASE_URL,
        "face_url": BASE_URL,
        "appid": APPID,
        "mchid": MCHID,
        "sub_appid": "",
        "sub_mchid": "",
        "merchant_serial": "63BE98CDB0E3A7D4",
        "key": RsaMerchantKey(rsa_key("merchant")),
        "apiv3_key": APIV3_KEY,
        "api_v2_key": API_V2_KEY,
        "sign_type": "HMAC-SHA256",
        "identity": None,
        "notify_url": "https://shop.example/notify/wechat/wx1",
        "till_ip": "127.0.0.1",
        "timeout_s": 10.0,
    }
    return WechatAccount(**(parts | replaced))


def platform_keys() -> PlatformKeys:
    return PlatformKeys({PUBLIC_KEY_ID: RsaPlatformKey(rsa_key("wechat").public_key())})


class WechatRefundRig(RefundBook, WechatRig):
    """One paid code at a WeChat Pay that refunds over APIv3."""

    can_be_asked = True

    def __init__(self, **settings: str) -> None:
        super().__init__(**settings)
        self.open_book(self.channel, ref_of(self.request()))
        self.respond = self._act

    async def send(self, request: HttpRequest) -> HttpResponse:
        answer = await super().send(request)
        path, fields = self.asked[-1]
        self.refund_numbers.append(fields.get("out_refund_no") or path.rsplit("/", 1)[-1])
        self.may_lose_it()
        return answer

    def _act(self, path: str, fields: Fields) -> HttpResponse:
        if not fields:
            number = path.rsplit("/", 1)[-1]
            if number not in self.refunds:
                return v3_refused(404, "RESOURCE_NOT_EXISTS")
            return v3_answer(self.refunded(number, self.refunds[number]))
        number, amount_fen = fields["out_refund_no"], fields["amount"]["refund"]
        if number not in self.refunds:
            if self.returned_fen() + amount_fen > PAID_FEN:
                return v3_refused(400, "INVALID_REQUEST")
            self.refunds[number] = amount_fen
        return v3_answer(self.refunded(number, self.refunds[number]))

    def refunded(self, number: str, amount_fen: int, **more: object) -> dict[str, object]:
        return {
            "refund_id": "50300807092026112205990201735",
            "out_refund_no": number,
            "transaction_id": "4200000925202611224997714292",
            "out_trade_no": self.payment.order_no,
            "status": "SUCCESS",
            "amount": {"total": PAID_FEN, "refund": amount_fen, "currency": "CNY"},
            **more,
        }

    def refund_faults(self) -> Mapping[str, Callable[[], None]]:
        def like(**more: object) -> Respond:
            def respond(path: str, fields: Fields) -> HttpResponse:
                number = fields.get("out_refund_no") or path.rsplit("/", 1)[-1]
                return v3_answer(self.refunded(number, 500, **more))

            return respond

        answered: dict[str, Respond] = {
            "another order": like(out_trade_no="ANOTHERORDER"),
            "another refund": like(out_refund_no="ANOTHERREFUND"),
            "no amount": like(amount={"total": PAID_FEN}),
            "an amount like no amount": like(amount={"refund": "500"}),
            "a true amount": like(amount={"refund": True}),
            "an unlisted state": like(status="NEW"),
            "stuck": like(status="ABNORMAL"),
            "no state": like(status=None),
        }
        faults: dict[str, Callable[[], None]] = {
            name: lambda respond=respond: setattr(self, "respond", respond)  # type: ignore[misc]
            for name, respond in answered.items()
        }
        good = orjson.dumps(self.refunded("X", 500))
        return (
            faults
            | self._scripted(
                {
                    "refused, signed by another": v3_answer(
                        {"code": "INVALID_REQUEST"}, 400, signer="somebody"
                    ),
                    "unsigned": HttpResponse(200, {}, good),
                    "unlisted code": v3_refused(400, "NEW_CODE"),
                    "a listed code under another status": v3_refused(401, "INVALID_REQUEST"),
                    "system error": v3_refused(500, "SYSTEM_ERROR"),
                    "too often": v3_refused(429, "FREQUENCY_LIMITED"),
                    "empty purse": v3_refused(403, "NOT_ENOUGH"),
                    "set-up fault": v3_refused(401, "SIGN_ERROR"),
                    "no permission": v3_refused(403, "NO_AUTH"),
                }
            )
            | self.common_faults(good)
        )

    def refunded_bytes(self, request: RefundRequest) -> bytes:
        return orjson.dumps(self.refunded(request.refund_no, request.amount_fen))

    def read_refund(self, raw: bytes, request: RefundRequest) -> RefundAnswer:
        stamp = _stamp_of(self.refunded_bytes(request))
        return read_refund(HttpResponse(200, stamp, raw), self.keys, request, NOW_MS)
