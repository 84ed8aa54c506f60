"""Certificate mode, encryption, service providers and REST at the simulated Alipay.

What speaks to it here is written from the vendor's documents a third time; its own kit does
the key mode (``test_alipay_vendor_sdk.py``) and the encryption.
"""

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import ClientSession
from alipay.aop.api.request.AlipayTradeOrderSettleRequest import AlipayTradeOrderSettleRequest
from alipay.aop.api.request.AlipayTradePayRequest import AlipayTradePayRequest
from alipay.aop.api.request.AlipayTradeQueryRequest import AlipayTradeQueryRequest
from alipay.aop.api.request.ZolozAuthenticationCustomerFtokenQueryRequest import (
    ZolozAuthenticationCustomerFtokenQueryRequest as TokenQuery,
)
from alipay.aop.api.request.ZolozAuthenticationCustomerSmilepayInitializeRequest import (
    ZolozAuthenticationCustomerSmilepayInitializeRequest as Initialize,
)
from Crypto.Cipher import AES
from Crypto.Util.Padding import pad, unpad
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from sandbox.alipay_faces import FACE_PAYER, ftoken_of
from sandbox.config import SandboxConfig
from sandbox.scenarios import ALIPAY_CODES, Scenario
from tests.sandbox.conftest import AppKeys, RunningSandbox, running

APP_ID = "2021000000000001"
AES_KEY = base64.b64encode(bytes(range(16))).decode()
PAY = {
    "out_trade_no": "N1",
    "scene": "bar_code",
    "auth_code": ALIPAY_CODES[Scenario.APPROVED],
    "subject": "咖啡",
    "total_amount": "19.90",
}


def certificate(name: str, key: Any) -> x509.Certificate:
    """Self-signed; its issuer written as the vendor's are."""
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(name.encode(), "big"))
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=3650))
        .sign(key, SHA256())
    )


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


def serial(name: str) -> str:
    number = int.from_bytes(name.encode(), "big")
    return hashlib.md5(f"CN={name},O=Test,C=CN{number}".encode()).hexdigest()


class App:
    """An app that speaks version 2 or REST by hand."""

    def __init__(self, sandbox: RunningSandbox, ours: AppKeys, theirs: AppKeys) -> None:
        self.site = f"http://127.0.0.1:{sandbox.ports.alipay}"
        self.now_ms = sandbox.clock.ms
        self.ours, self.theirs = ours, theirs

    def sign(self, text: bytes) -> str:
        return base64.b64encode(self.ours.pair.sign(text, PKCS1v15(), SHA256())).decode()

    def check(self, signature: str, text: bytes) -> None:
        self.theirs.pair.public_key().verify(
            base64.b64decode(signature), text, PKCS1v15(), SHA256()
        )

    async def v2(self, method: str, content: str, **more: str) -> bytes:
        params = {
            "app_id": APP_ID,
            "method": method,
            "charset": "utf-8",
            "sign_type": "RSA2",
            "timestamp": "2026-11-22 12:00:00",
            "version": "1.0",
            "biz_content": content,
            **more,
        }
        text = "&".join(f"{k}={v}" for k, v in sorted(params.items()) if v)
        body = urlencode({**params, "sign": self.sign(text.encode())})
        url = f"{self.site}/gateway.do"
        async with ClientSession() as http, http.post(url, data=body.encode()) as answer:
            return await answer.read()

    async def v3(
        self,
        verb: str,
        uri: str,
        body: bytes = b"",
        *,
        nonce: str = "nonce-1",
        head: str = "",
        token: str = "",
        **headers: str,
    ) -> tuple[int, Any, Any]:
        auth = f"app_id={APP_ID}{head},nonce={nonce},timestamp={self.now_ms}"
        text = f"{auth}\n{verb}\n{uri}\n".encode() + body + b"\n"
        if token:
            text += f"{token}\n".encode()
            headers["alipay-app-auth-token"] = token
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers["Authorization"] = f"ALIPAY-SHA256withRSA {auth},sign={self.sign(text)}"
        async with (
            ClientSession() as http,
            http.request(verb, f"{self.site}{uri}", data=body, headers=headers) as answer,
        ):
            raw = await answer.read()
            told = answer.headers
            stamp = f"{told['alipay-timestamp']}\n{told['alipay-nonce']}\n"
            self.check(told["alipay-signature"], stamp.encode() + raw + b"\n")
            return answer.status, raw, told


@pytest.fixture
def app(sandbox: RunningSandbox, app_keys: AppKeys, alipay_keys: AppKeys) -> App:
    return App(sandbox, app_keys, alipay_keys)


def changed(config: SandboxConfig, **alipay: Any) -> SandboxConfig:
    return replace(config, alipay=replace(config.alipay, **alipay))


def certified(config: SandboxConfig, ours: AppKeys, theirs: AppKeys) -> SandboxConfig:
    """Certificate mode; the bundle holds an elliptic curve and something unparsable, too."""
    curve = certificate("curve", ec.generate_private_key(ec.SECP256R1()))
    junk = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    return changed(
        config,
        app_public_key_pem=b"",
        app_certificate_pem=pem(certificate("app", ours.pair)),
        alipay_certificate_pem=pem(certificate("alipay", theirs.pair)),
        root_certificates_pem=pem(certificate("root1", theirs.pair), curve)
        + junk
        + pem(certificate("root2", ours.pair)),
    )


async def test_certificate_mode(
    config: SandboxConfig, app_keys: AppKeys, alipay_keys: AppKeys
) -> None:
    async with running(certified(config, app_keys, alipay_keys)) as sandbox:
        app = App(sandbox, app_keys, alipay_keys)
        named = {
            "app_cert_sn": serial("app"),
            "alipay_root_cert_sn": f"{serial('root1')}_{serial('root2')}",
        }
        raw = await app.v2("alipay.trade.pay", json.dumps(PAY), **named)
        answer = json.loads(raw)
        assert answer["alipay_trade_pay_response"]["code"] == "10000"
        assert answer["alipay_cert_sn"] == serial("alipay")
        node = raw[raw.index(b'_response":') + 11 : raw.index(b',"alipay_cert_sn"')]
        app.check(answer["sign"], node)
        for wrong in ({}, {**named, "app_cert_sn": "0" * 32}, {**named, "alipay_root_cert_sn": ""}):
            answer = json.loads(await app.v2("alipay.trade.pay", json.dumps(PAY), **wrong))
            node = answer["alipay_trade_pay_response"]
            assert node["sub_code"] == "isv.invalid-app-cert-sn"
        status, _, told = await app.v3(
            "POST",
            "/v3/alipay/trade/query",
            b'{"out_trade_no":"N1"}',
            head=f",app_cert_sn={serial('app')}",
            alipay_root_cert_sn=named["alipay_root_cert_sn"],
        )
        assert (status, told["alipay-sn"]) == (200, serial("alipay"))


def sealed(text: str) -> str:
    cipher = AES.new(bytes(range(16)), AES.MODE_CBC, bytes(16))
    return base64.b64encode(cipher.encrypt(pad(text.encode(), 16))).decode()


def opened(text: str) -> Any:
    cipher = AES.new(bytes(range(16)), AES.MODE_CBC, bytes(16))
    return json.loads(unpad(cipher.decrypt(base64.b64decode(text)), 16))


async def test_encryption(config: SandboxConfig, app_keys: AppKeys, alipay_keys: AppKeys) -> None:
    """The signature of an answer covers the ciphertext with its quotes."""
    async with running(changed(config, aes_key=AES_KEY)) as sandbox:
        app = App(sandbox, app_keys, alipay_keys)
        raw = await app.v2("alipay.trade.pay", sealed(json.dumps(PAY)), encrypt_type="AES")
        answer = json.loads(raw)
        app.check(answer["sign"], b'"%b"' % answer["alipay_trade_pay_response"].encode())
        assert opened(answer["alipay_trade_pay_response"])["out_trade_no"] == "N1"
        answer = json.loads(await app.v2("alipay.trade.query", json.dumps({"out_trade_no": "N1"})))
        node = answer["alipay_trade_query_response"]
        assert node["sub_code"] == "isv.invalid-encrypt-type"
        answer = json.loads(await app.v2("alipay.trade.query", "AAAA", encrypt_type="AES"))
        assert answer["alipay_trade_query_response"]["sub_code"] == "isv.decryption-error"
        status, body, _ = await app.v3(
            "POST",
            "/v3/alipay/trade/query",
            sealed('{"out_trade_no":"N1"}').encode(),
            alipay_encrypt_type="AES",
            content_type="text/plain",
        )
        assert (status, opened(body.decode())["trade_status"]) == (200, "TRADE_SUCCESS")


async def test_a_service_provider_needs_the_merchants_token(
    config: SandboxConfig, app_keys: AppKeys, alipay_keys: AppKeys
) -> None:
    async with running(changed(config, app_auth_token="202605BBtoken")) as sandbox:
        app = App(sandbox, app_keys, alipay_keys)
        for token, code in (("", "20001"), ("other", "20001"), ("202605BBtoken", "10000")):
            raw = await app.v2("alipay.trade.pay", json.dumps(PAY), app_auth_token=token)
            assert json.loads(raw)["alipay_trade_pay_response"]["code"] == code
        uri, body = "/v3/alipay/trade/query", b'{"out_trade_no":"N1"}'
        assert (await app.v3("POST", uri, body, token="202605BBtoken"))[0] == 200
        assert (await app.v3("POST", uri, body, nonce="n2"))[0] == 403


async def test_rest(app: App, sandbox: RunningSandbox) -> None:
    """Fields without a code for a yes, code and message for a no, each nonce once."""
    status, raw, _ = await app.v3("POST", "/v3/alipay/trade/pay", json.dumps(PAY).encode())
    body = json.loads(raw)
    assert (status, body["total_amount"], "code" in body) == (200, "19.90", False)
    status, raw, _ = await app.v3("POST", "/v3/alipay/trade/pay", json.dumps(PAY).encode())
    assert (status, json.loads(raw)["code"]) == (401, "INVALID_TIMESTAMP")
    status, raw, _ = await app.v3(
        "POST", "/v3/alipay/trade/query", b'{"out_trade_no":"none"}', nonce="n2"
    )
    assert (status, json.loads(raw)["code"]) == (400, "ACQ.TRADE_NOT_EXIST")
    paying = {**PAY, "out_trade_no": "N2", "auth_code": ALIPAY_CODES[Scenario.USER_PAYING]}
    status, raw, _ = await app.v3(
        "POST", "/v3/alipay/trade/pay", json.dumps(paying).encode(), nonce="n3"
    )
    assert (status, json.loads(raw)["code"]) == (200, "10003")
    status, raw, _ = await app.v3("GET", "/v3/alipay/trade/query", nonce="n4")
    assert status == 404
    app.now_ms -= 600_001
    status, raw, _ = await app.v3(
        "POST", "/v3/alipay/trade/query", b'{"out_trade_no":"N1"}', nonce="n5"
    )
    assert (status, json.loads(raw)["code"]) == (401, "INVALID_TIMESTAMP")
    assert (await sandbox.control("GET", "/calls"))[1]["alipay"] == 6


async def test_rest_refuses_what_is_not_signed(app: App, app_keys: AppKeys) -> None:
    stranger = App.__new__(App)
    stranger.__dict__ = {**app.__dict__, "ours": AppKeys(rsa.generate_private_key(65537, 2048))}
    status, raw, _ = await stranger.v3("POST", "/v3/alipay/trade/query", b'{"out_trade_no":"N1"}')
    assert (status, json.loads(raw)["code"]) == (401, "INVALID_SIGNATURE")
    url = f"{app.site}/v3/alipay/trade/query"
    async with ClientSession() as http, http.post(url, data=b"{}") as answer:
        assert answer.status == 401


async def test_a_face_pays_once(sdk: Callable[..., Any]) -> None:
    meta = {"apdidToken": "t", "appName": "a", "appVersion": "1", "bioMetaInfo": "b"}
    node = await sdk(Initialize, zimmetainfo=json.dumps(meta))
    token = ftoken_of(json.loads(node["result"])["zimId"])
    assert (len(token), token[:2]) == (35, "fp")
    assert (await sdk(TokenQuery, ftoken=token, biz_type="1"))["uid"] == FACE_PAYER
    face = {**PAY, "scene": "security_code", "auth_code": token}
    assert (await sdk(AlipayTradePayRequest, **face))["buyer_user_id"] == FACE_PAYER
    again = await sdk(AlipayTradePayRequest, **{**face, "out_trade_no": "N2"})
    assert again["sub_code"] == "ACQ.PAYMENT_AUTH_CODE_INVALID"
    assert (await sdk(TokenQuery, ftoken=token, biz_type="1"))["sub_code"] == "TOKEN_CONSUMED"
    paid = await sdk(AlipayTradeQueryRequest, out_trade_no="N1")
    assert paid["trade_status"] == "TRADE_SUCCESS"
    assert (await sdk(Initialize, zimmetainfo="{}"))["sub_code"] == "INVALID_PARAMETER"


async def test_shares_of_a_payment(sdk: Callable[..., Any]) -> None:
    trade_no = (await sdk(AlipayTradePayRequest, **PAY))["trade_no"]

    async def settle(number: str, *amounts: str) -> Any:
        shares = [
            {"trans_in_type": "userId", "trans_in": "2088102100000002", "amount": amount}
            for amount in amounts
        ]
        return await sdk(
            AlipayTradeOrderSettleRequest,
            out_request_no=number,
            trade_no=trade_no,
            royalty_parameters=shares,
        )

    first = await settle("S1", "5.00", "4.90")
    assert (first["code"], first["trade_no"]) == ("10000", trade_no)
    assert (await settle("S1", "5.00", "4.90"))["settle_no"] == first["settle_no"]
    assert (await settle("S1", "5.00"))["sub_code"] == "ACQ.DISCORDANT_REPEAT_REQUEST"
    assert (await settle("S2", "10.01"))["sub_code"] == "ACQ.ALLOC_AMOUNT_VALIDATE_ERROR"
    assert (await settle("S2", "10.00"))["code"] == "10000"
