"""One adapter in every dress: key or certificate mode, encrypted, for a merchant, as REST."""

import asyncio
import base64
import dataclasses
import datetime
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from channels.alipay.plugin import PLUGIN
from channels.port import (
    Channel,
    ChannelAccount,
    HttpRequest,
    HttpResponse,
    PayRequest,
    RefundRequest,
    Refunds,
    Verdict,
    refunds_of,
)
from domain.errors import ConfigurationError
from signing.alipay import string_to_sign
from signing.alipay_aes import decrypt, encrypt
from signing.alipay_certificates import certificate_serial, root_serial
from signing.alipay_v3 import V3Request, answer_string
from signing.alipay_v3 import string_to_sign as v3_string_to_sign
from signing.rsa import sign_sha256, verify_sha256
from tests.channels.rigs import private_pem, public_pem, ref_of, rsa_key, services

AES_KEY = base64.b64encode(bytes(range(16)))
AUTH_CODE = "280000000000000001"
NOW_MS = 1_795_331_737_042


@cache
def certificate(name: str) -> bytes:
    """A certificate of ``name``'s key, signed by itself."""
    key = rsa_key(name)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Invented"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1000 + len(name))
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=3650))
        .sign(key, SHA256())
    )
    return built.public_bytes(Encoding.PEM)


CERTIFIED = {
    "app_certificate": certificate("app"),
    "alipay_certificates": certificate("alipay"),
    "alipay_root_certificates": certificate("root"),
}
KEYED = {"alipay_public_key": public_pem(rsa_key("alipay"))}


class Peer:
    """Alipay's side of either protocol, written for these tests: checks and answers."""

    def __init__(self, secrets: Mapping[str, bytes], **settings: str) -> None:
        self.settings, self.secrets = settings, secrets
        self.forms: list[dict[str, str]] = []
        self.requests: list[HttpRequest] = []
        self.fields: dict[str, object] = {}
        self.status = 200
        self.mutate: Callable[[HttpResponse], HttpResponse] = lambda response: response
        account = ChannelAccount(
            account_id="ali1",
            channel="alipay",
            settings={
                "gateway_url": "http://127.0.0.1:1/gateway.do",
                "app_id": "app1",
                **settings,
            },
            secrets={"app_private_key": private_pem(rsa_key("app")), **secrets},
        )
        lent = dataclasses.replace(services(send=self.send), download=self.download)
        self.channel: Channel = PLUGIN.build(account, lent)
        self.file: tuple[int, bytes] | Exception = (200, b"PK\x03\x04 a zip")

    @property
    def is_v3(self) -> bool:
        return self.settings.get("transport") == "v3"

    async def send(self, request: HttpRequest) -> HttpResponse:
        await asyncio.sleep(0)
        self.requests.append(request)
        return self.mutate(self._v3(request) if self.is_v3 else self._v2(request))

    async def download(self, request: HttpRequest, path: Path, max_bytes: int) -> HttpResponse:
        self.requests.append(request)
        if isinstance(self.file, Exception):
            raise self.file
        status, body = self.file
        assert len(body) <= max_bytes
        path.write_bytes(body)
        return HttpResponse(status, {}, b"")

    def _v2(self, request: HttpRequest) -> HttpResponse:
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        self.forms.append(form)
        signature = base64.b64decode(form["sign"])
        assert verify_sha256(rsa_key("app").public_key(), string_to_sign(form), signature)
        content = form.get("biz_content")
        said = orjson.dumps(self._answer(self._plain(content.encode()) if content else form))
        if "aes_key" in self.secrets:
            said = f'"{encrypt(bytes(range(16)), said)}"'.encode()
        sign = base64.b64encode(sign_sha256(rsa_key("alipay"), said)).decode()
        key = form["method"].replace(".", "_") + "_response"
        serial = certificate_serial(certificate("alipay"))
        named = f',"alipay_cert_sn":"{serial}"' if "app_certificate" in self.secrets else ""
        body = f'{{"{key}":'.encode() + said + f',"sign":"{sign}"{named}}}'.encode()
        return HttpResponse(200, {}, body)

    def _v3(self, request: HttpRequest) -> HttpResponse:
        scheme, _, said = request.headers["authorization"].partition(" ")
        parts = dict(part.split("=", 1) for part in said.split(","))
        assert scheme == "ALIPAY-SHA256withRSA"
        assert request.url.startswith("http://127.0.0.1:1/v3/")
        signed = V3Request(
            method=request.method,
            uri=request.url.removeprefix("http://127.0.0.1:1"),
            body=request.body,
            app_id=parts["app_id"],
            nonce=parts["nonce"],
            timestamp_ms=int(parts["timestamp"]),
            app_cert_sn=parts.get("app_cert_sn", ""),
            app_auth_token=request.headers.get("alipay-app-auth-token", ""),
        )
        signature = base64.b64decode(parts["sign"])
        assert verify_sha256(rsa_key("app").public_key(), v3_string_to_sign(signed), signature)
        self.forms.append(parts)
        if request.method == "GET":
            query = parse_qs(request.url.partition("?")[2])
            fields = self._answer({name: values[0] for name, values in query.items()})
        else:
            fields = self._answer(self._plain(request.body))
        if self.status == 200:
            fields.pop("code", None)
        body = orjson.dumps(fields)
        if "aes_key" in self.secrets:
            body = encrypt(bytes(range(16)), body).encode()
        text = answer_string("1795331737100", "n1", body)
        headers = {
            "alipay-timestamp": "1795331737100",
            "alipay-nonce": "n1",
            "alipay-signature": base64.b64encode(sign_sha256(rsa_key("alipay"), text)).decode(),
        }
        if "app_certificate" in self.secrets:
            headers["alipay-sn"] = certificate_serial(certificate("alipay"))
        return HttpResponse(self.status, headers, body)

    def _plain(self, content: bytes) -> Any:
        if "aes_key" in self.secrets:
            content = decrypt(bytes(range(16)), content.decode())
        return orjson.loads(content)

    def _answer(self, content: Any) -> dict[str, object]:
        self.content = content
        named = {"out_trade_no": content["out_trade_no"]} if "out_trade_no" in content else {}
        return {"code": "10000", **named, **self.fields}

    def request(self) -> PayRequest:
        return PayRequest(
            order_no="ORDER00001",
            amount_fen=1990,
            currency="CNY",
            subject="Tea",
            created_at_ms=NOW_MS,
            auth_code=AUTH_CODE,
        )


PAID = {"total_amount": "19.90", "trade_no": "T1", "gmt_payment": "2026-11-22 15:15:38"}
DRESSES: dict[str, tuple[dict[str, bytes], dict[str, str]]] = {
    f"{mode} {transport}{' encrypted' if aes else ''}": (
        {**(CERTIFIED if mode == "certificates" else KEYED), **aes},
        {"transport": transport},
    )
    for mode in ("key", "certificates")
    for transport in ("v2", "v3")
    for aes in ({}, {"aes_key": AES_KEY})
}


@pytest.fixture(params=DRESSES)
def peer(request: pytest.FixtureRequest) -> Peer:
    secrets, settings = DRESSES[request.param]
    return Peer(secrets, **settings)


async def test_pay_query_cancel_and_refund_in_every_dress(peer: Peer) -> None:
    """What Alipay reads is the same; what it says is believed."""
    peer.fields = {**PAID}
    answer = await peer.channel.pay(peer.request())
    assert (answer.verdict, answer.amount_fen, answer.trade_no) == (Verdict.SUCCEEDED, 1990, "T1")
    assert peer.content["total_amount"] == "19.90"
    ref = ref_of(peer.request())
    peer.fields = {**PAID, "trade_status": "TRADE_SUCCESS", "send_pay_date": "2026-11-22 15:15:38"}
    found = await peer.channel.query(ref)
    assert (found.verdict, found.paid_at_ms) == (Verdict.SUCCEEDED, 1_795_331_738_000)
    peer.fields = {"action": "close", "retry_flag": "N"}
    undone = await peer.channel.cancel(ref)
    assert (undone.verdict, undone.was_paid) == (Verdict.SUCCEEDED, False)
    peer.fields = {"fund_change": "Y", "refund_fee": "5.00"}
    refunds = refunds_of(peer.channel)
    assert isinstance(refunds, Refunds)
    request = RefundRequest(
        refund_no="R1",
        payment=ref,
        amount_fen=500,
        currency="CNY",
        reason="cold",
        created_at_ms=NOW_MS,
    )
    assert (await refunds.refund(request)).verdict is Verdict.SUCCEEDED


async def test_a_changed_byte_of_an_answer_is_unknown_in_every_dress(peer: Peer) -> None:
    peer.fields = {**PAID}
    flips = 0
    for position in range(0, 400, 7):

        def flip(response: HttpResponse, at: int = position) -> HttpResponse:
            body = bytearray(response.body)
            body[at % len(body)] ^= 1
            return HttpResponse(response.status, response.headers, bytes(body))

        peer.mutate = flip
        answer = await peer.channel.pay(peer.request())
        if answer.verdict is Verdict.SUCCEEDED:  # the name of the method is not signed
            assert (answer.amount_fen, answer.order_no) == (1990, "ORDER00001")
        else:
            assert answer.verdict is Verdict.UNKNOWN
            flips += 1
    assert flips > 30


async def test_certificates_are_named_in_every_request() -> None:
    for transport in ("v2", "v3"):
        peer = Peer(CERTIFIED, transport=transport)
        peer.fields = {**PAID}
        await peer.channel.pay(peer.request())
        assert peer.forms[0]["app_cert_sn"] == certificate_serial(certificate("app"))
        root = root_serial(certificate("root"))
        if transport == "v2":
            assert peer.forms[0]["alipay_root_cert_sn"] == root
        else:
            assert peer.requests[0].headers["alipay-root-cert-sn"] == root


async def test_an_answer_under_a_certificate_that_is_not_ours_is_unknown() -> None:
    peer = Peer({**CERTIFIED, "alipay_certificates": certificate("another")})
    peer.fields = {**PAID}
    answer = await peer.channel.pay(peer.request())
    assert answer.verdict is Verdict.UNKNOWN
    assert "certificate" in answer.channel_message


@pytest.mark.parametrize("transport", ["v2", "v3"])
async def test_of_two_certificates_the_one_that_the_answer_names_verifies_it(
    transport: str,
) -> None:
    """While one replaces another both are trusted, each for what it signed alone."""
    both = certificate("another") + certificate("alipay")
    peer = Peer({**CERTIFIED, "alipay_certificates": both}, transport=transport)
    peer.fields = {**PAID}
    assert (await peer.channel.pay(peer.request())).verdict is Verdict.SUCCEEDED
    right, wrong = (certificate_serial(certificate(one)) for one in ("alipay", "another"))

    def renamed(response: HttpResponse) -> HttpResponse:
        body = response.body.replace(right.encode(), wrong.encode())
        headers = {name: value.replace(right, wrong) for name, value in response.headers.items()}
        assert (body, headers) != (response.body, response.headers)
        return HttpResponse(response.status, headers, body)

    peer.mutate = renamed
    assert (await peer.channel.pay(peer.request())).verdict is Verdict.UNKNOWN


async def test_a_service_provider_says_for_whom_it_acts() -> None:
    for transport in ("v2", "v3"):
        peer = Peer(
            {**KEYED, "app_auth_token": b"202405BBxx"},
            transport=transport,
            service_provider_id="2088000000000009",
            notify_url="https://pay.example/notify/alipay/ali1",
        )
        peer.fields = {**PAID}
        await peer.channel.pay(peer.request())
        extended = {"sys_service_provider_id": "2088000000000009"}
        assert peer.content["extend_params"] == extended
        if transport == "v2":
            assert peer.forms[0]["app_auth_token"] == "202405BBxx"
            assert peer.forms[0]["notify_url"] == "https://pay.example/notify/alipay/ali1"
        else:
            assert peer.requests[0].headers["alipay-app-auth-token"] == "202405BBxx"
            assert peer.content["notify_url"] == "https://pay.example/notify/alipay/ali1"
        await peer.channel.query(ref_of(peer.request()))
        assert "notify_url" not in peer.forms[1]
        assert peer.content == {"out_trade_no": "ORDER00001"}


async def test_every_request_of_version_3_has_a_nonce_of_its_own() -> None:
    peer = Peer(KEYED, transport="v3")
    for _ in range(5):
        await peer.channel.pay(peer.request())
    assert len({form["nonce"] for form in peer.forms}) == 5
    assert {form["timestamp"] for form in peer.forms} == {str(NOW_MS)}


@pytest.mark.parametrize(
    ("status", "fields", "verdict", "code"),
    [
        (
            400,
            {"code": "ACQ.BUYER_BALANCE_NOT_ENOUGH"},
            Verdict.DECLINED,
            "ACQ.BUYER_BALANCE_NOT_ENOUGH",
        ),
        (200, {"code": "ACQ.PAYMENT_FAIL"}, Verdict.UNKNOWN, "HTTP 200"),
        (400, {"code": "ACQ.SYSTEM_ERROR"}, Verdict.UNKNOWN, "ACQ.SYSTEM_ERROR"),
        (400, {"code": "ACQ.NEW"}, Verdict.UNKNOWN, "ACQ.NEW"),
        (401, {"code": "invalid-signature"}, Verdict.UNKNOWN, "invalid-signature"),
        (500, {"code": "ACQ.PAYMENT_FAIL"}, Verdict.UNKNOWN, "HTTP 500"),
        (202, {"code": "10003"}, Verdict.PENDING, "10003"),
        (400, {"code": "10000", **PAID}, Verdict.SUCCEEDED, "10000"),
    ],
)
async def test_what_version_3_refuses(
    status: int, fields: dict[str, object], verdict: Verdict, code: str
) -> None:
    """The vendor's code decides, for its status is not signed; a 5xx says nothing."""
    peer = Peer(KEYED, transport="v3")
    peer.status, peer.fields = status, {"message": "m", **fields}
    answer = await peer.channel.pay(peer.request())
    if status != 200:
        assert (answer.verdict, answer.channel_code) == (verdict, code)
        if verdict is Verdict.UNKNOWN:  # the gateway's own words are none about the trade
            assert answer.answered == (code == "ACQ.NEW")
    else:  # a refusal whose code is left out says nothing of money
        assert answer.verdict is Verdict.UNKNOWN


async def test_paid_in_version_3_needs_its_time() -> None:
    """There the same status answers who has paid and who is still typing."""
    peer = Peer(KEYED, transport="v3")
    peer.fields = {"total_amount": "19.90", "trade_no": "T1"}
    assert (await peer.channel.pay(peer.request())).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("secrets", "settings", "named"),
    [
        ({}, {}, "alipay_public_key"),
        ({"alipay_certificates": certificate("alipay")}, {}, "alipay_certificates"),
        ({**CERTIFIED, "app_certificate": b"x"}, {}, "app_certificate"),
        ({**CERTIFIED, "app_certificate": certificate("another")}, {}, "app_certificate"),
        ({**CERTIFIED, "alipay_certificates": b""}, {}, "alipay_certificates"),
        ({**CERTIFIED, "alipay_root_certificates": b"x"}, {}, "alipay_root_certificates"),
        ({**KEYED, "aes_key": b"AAAA"}, {}, "aes_key"),
        (KEYED, {"transport": "v4"}, "transport"),
        (KEYED, {"notify_url": "http://shop.example/notify"}, "notify_url"),
        (KEYED, {"notify_url": "https://shop.example/notify?a=b"}, "notify_url"),
        (KEYED, {"authorise_url": "ftp://x"}, "authorise_url"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(
    secrets: dict[str, bytes], settings: dict[str, str], named: str
) -> None:
    with pytest.raises(ConfigurationError, match=named):
        Peer(secrets, **settings)
