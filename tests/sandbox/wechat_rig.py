"""A merchant at the simulated WeChat Pay: keys, certificates and signed calls, without sockets."""

import datetime
import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.cli.local_ca import LocalCa
from sandbox.config import WeChatSandboxConfig
from sandbox.effects import Effect
from sandbox.http_wire import HttpRequest
from sandbox.wechat_xml import HMAC_SHA256, read_xml, sign_v2, write_xml
from sandbox.world import World
from signing.wechat import (
    RSA_SCHEME,
    MerchantKey,
    PlatformKey,
    Stamp,
    authorization,
    certificate_key,
    merchant_key,
    message_of,
    platform_key,
    verify_message,
)

APPID = "wx0123456789abcdef"
MCHID = "1900000001"
SUB_MCHID = "1900000002"
PUBLIC_KEY_ID = "PUB_KEY_ID_0119000000012026000000000001"
API_V2_KEY = "0123456789ABCDEF0123456789abcdef"
APIV3_KEY = "abcdef0123456789ABCDEF9876543210"
APP_SECRET = "5ec4e7" * 4


def private(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True)
class WeChatKit:
    """Both parties' keys and the sandbox's configuration."""

    ca: LocalCa
    merchant: rsa.RSAPrivateKey
    merchant_certificate: x509.Certificate
    platform_certificate: bytes
    public_key: bytes
    config: WeChatSandboxConfig

    @property
    def serial(self) -> str:
        return f"{self.merchant_certificate.serial_number:X}"

    @property
    def merchant_pem(self) -> bytes:
        return self.merchant_certificate.public_bytes(Encoding.PEM)

    @property
    def signs(self) -> MerchantKey:
        return _signs()

    @property
    def platform_keys(self) -> dict[str, PlatformKey]:
        return _platform_keys()


@lru_cache(maxsize=1)
def _signs() -> MerchantKey:
    return merchant_key(private(wechat_kit().merchant), RSA_SCHEME)


@lru_cache(maxsize=1)
def _platform_keys() -> dict[str, PlatformKey]:
    kit = wechat_kit()
    serial, key = certificate_key(kit.platform_certificate, RSA_SCHEME)
    return {serial: key, PUBLIC_KEY_ID: platform_key(kit.public_key, RSA_SCHEME)}


@lru_cache(maxsize=1)
def wechat_kit() -> WeChatKit:
    """Made once in a process."""
    now = datetime.datetime.now(datetime.UTC)
    ca = LocalCa(now)
    merchant, platform, public_pair = (rsa.generate_private_key(65537, 2048) for _ in range(3))
    certificate = ca.issue(MCHID, merchant.public_key(), ExtendedKeyUsageOID.CLIENT_AUTH)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tenpay.com sign (simulated)")])
    platform_certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(platform.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .sign(platform, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )
    config = WeChatSandboxConfig(
        appid=APPID,
        mchid=MCHID,
        api_v2_key=API_V2_KEY,
        apiv3_key=APIV3_KEY,
        app_secret=APP_SECRET,
        merchant_certificate_pem=certificate.public_bytes(Encoding.PEM),
        platform_certificate_pem=platform_certificate,
        platform_private_key_pem=private(platform),
        public_key_id=PUBLIC_KEY_ID,
        public_key_private_pem=private(public_pair),
        sub_mchids=(SUB_MCHID,),
    )
    return WeChatKit(ca, merchant, certificate, platform_certificate, public(public_pair), config)


@dataclass(frozen=True)
class HttpReply:
    """An answer cut into its parts."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def reply_of(effect: Effect) -> HttpReply:
    """The parts of an effect that is a whole answer."""
    head, _, body = effect.answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
    assert int(headers["content-length"]) == len(body)
    return HttpReply(int(first.split(" ")[1]), headers, body)


@dataclass
class WeChatMerchant:
    """Signs what it asks of a world, and verifies what it is answered."""

    world: World
    kit: WeChatKit
    now_ms: int
    sign_type: str = "MD5"
    serial: str = ""
    """What is asked for in ``Wechatpay-Serial``."""

    def send(self, method: str, target: str, body: bytes = b"", head: str = "",
             certificate: bool = False) -> Effect:  # fmt: skip
        path, _, query = target.partition("?")
        der = self.kit.merchant_certificate.public_bytes(Encoding.DER) if certificate else b""
        head += "Host: sandbox.example:1\r\n"
        request = HttpRequest(method, path, query.encode(), body, True, head.encode(), der)
        return self.world.wechat(request, self.now_ms)

    def v2_raw(self, path: str, certificate: bool = False, /, **fields: str) -> Effect:
        values = {"appid": APPID, "mch_id": MCHID, "nonce_str": "n0nce"}
        if self.sign_type == HMAC_SHA256:
            values["sign_type"] = HMAC_SHA256
        values |= fields
        values["sign"] = sign_v2(values, API_V2_KEY, self.sign_type)
        return self.send("POST", path, write_xml(values), certificate=certificate)

    def v2(self, path: str, certificate: bool = False, /, **fields: str) -> dict[str, str]:
        """One call of APIv2, whose answer must be signed."""
        reply = reply_of(self.v2_raw(path, certificate, **fields))
        assert reply.status == 200
        answer = read_xml(reply.body)
        assert answer["return_code"] == "SUCCESS", answer
        assert answer["sign"] == sign_v2(answer, API_V2_KEY, self.sign_type)
        return answer

    def head(self, method: str, target: str, raw: bytes = b"") -> str:
        """The header lines that sign a call of APIv3."""
        timestamp = str(self.now_ms // 1000)
        message = message_of(method, target, timestamp, "n0nce", raw)
        value = authorization(self.kit.signs, MCHID, self.kit.serial, timestamp, "n0nce", message)
        serial = f"Wechatpay-Serial: {self.serial}\r\n" if self.serial else ""
        return f"Authorization: {value}\r\n{serial}"

    def v3_raw(self, method: str, target: str, body: object = None) -> Effect:
        raw = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
        return self.send(method, target, raw, self.head(method, target, raw))

    def v3(self, method: str, target: str, body: object = None) -> HttpReply:
        """One call of APIv3, whose answer must be signed, by the key that was asked for."""
        reply = reply_of(self.v3_raw(method, target, body))
        stamp = Stamp.of(reply.headers)
        verify_message(stamp, reply.body, self.kit.platform_keys, self.now_ms)
        if self.serial:
            assert stamp.serial == self.serial
        return reply

    def micropay(self, number: str, code: str, fen: int = 100, **more: str) -> dict[str, str]:
        fields = {
            "body": "茶 <A&B>", "out_trade_no": number, "total_fee": str(fen),
            "spbill_create_ip": "127.0.0.1", "auth_code": code, **more,
        }  # fmt: skip
        return self.v2("/pay/micropay", **fields)
