r"""The keys of the simulated WeChat Pay, and what they sign (reference ``channels.md`` B2).

Rules, written apart from ``signing/wechat.py``:

* A request signs ``METHOD\n/path?query\ntimestamp\nnonce\nbody\n`` in its
  ``Authorization``; the serial must be the merchant's and belong to the scheme.
* An answer signs ``timestamp\nnonce\nbody\n``: with the platform certificate, or with
  the key that the request's ``Wechatpay-Serial`` names; an unknown name is refused.
* A request by the national scheme is answered by the national key.
* What is encrypted for the merchant is AES-256-GCM under the APIv3 key, or SM4-GCM under
  the first 128 bits of that key's SM3.
"""

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate

from domain.clock import beijing
from sandbox.config import WeChatSandboxConfig
from signing.rsa import load_private_key, sign_sha256, verify_sha256
from signing.sm import Sm2PrivateKey, Sm2PublicKey, sm4_gcm_key, sm4_gcm_seal

RSA_SCHEME: Final = "WECHATPAY2-SHA256-RSA2048"
SM_SCHEME: Final = "WECHATPAY2-SM2-WITH-SM3"
MAX_SKEW_S: Final = 300

_PARAMETER = re.compile(r'\s*([a-z_]+)="([^"]*)"\s*(?:,|$)')
_NONCE: Final = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


class NotSigned(Exception):
    """A request whose signature cannot be believed; ``why`` is the vendor's sort of words."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class Signer:
    """One key that the platform signs with."""

    serial: str
    scheme: str
    sign: Callable[[bytes], bytes] = field(repr=False)

    def headers(self, body: bytes, nonce: str, now_ms: int) -> dict[str, str]:
        """The ``Wechatpay-*`` headers of an answer or a notification."""
        timestamp = str(now_ms // 1000)
        signature = self.sign(f"{timestamp}\n{nonce}\n".encode() + body + b"\n")
        return {
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Serial": self.serial,
            "Wechatpay-Signature": base64.b64encode(signature).decode(),
            "Wechatpay-Signature-Type": self.scheme,
            "Wechatpay-Timestamp": timestamp,
        }


@dataclass(frozen=True, slots=True)
class PlatformCertificate:
    """A certificate that ``GET /v3/certificates`` hands out."""

    serial: str
    pem: bytes
    effective: str
    expires: str
    is_national: bool


@dataclass(frozen=True, slots=True)
class Proof:
    """What an ``Authorization`` header said."""

    scheme: str
    mchid: str
    serial: str
    timestamp: str
    nonce: str
    signature: bytes = field(repr=False)


class WeChatKeys:
    """Both parties' keys, parsed once; raises :class:`ValueError` for what cannot be read."""

    def __init__(self, config: WeChatSandboxConfig, random_bytes: Callable[[int], bytes]) -> None:
        self._apiv3_key = config.apiv3_key.encode()
        if len(self._apiv3_key) != 32:
            raise ValueError("an APIv3 key has 32 characters")
        self._random_bytes = random_bytes
        self._mchid = config.mchid
        merchant = load_pem_x509_certificate(config.merchant_certificate_pem)
        key = merchant.public_key()
        if not isinstance(key, RSAPublicKey):
            raise ValueError("the merchant's certificate must be of an RSA key")
        self._merchant_key = key
        self.merchant_serial = f"{merchant.serial_number:X}"
        self.merchant_certificate = merchant.public_bytes(Encoding.DER)
        platform = load_private_key(config.platform_private_key_pem)
        public = load_private_key(config.public_key_private_pem)
        self.certificates = [_certificate(config.platform_certificate_pem, is_national=False)]
        serial = self.certificates[0].serial
        self.by_certificate = Signer(serial, RSA_SCHEME, lambda data: sign_sha256(platform, data))
        self.by_public_key = Signer(
            config.public_key_id, RSA_SCHEME, lambda data: sign_sha256(public, data)
        )
        self.national: Signer | None = None
        self._national_merchant: tuple[str, Sm2PublicKey] | None = None
        if config.national is not None:
            pair = Sm2PrivateKey(config.national.platform_private_key_pem)
            self.national = Signer(config.national.platform_serial, SM_SCHEME, pair.sign)
            self._national_merchant = (
                config.national.merchant_serial,
                Sm2PublicKey(config.national.merchant_public_key_pem),
            )
            if config.national.platform_certificate_pem:
                self.certificates.append(
                    _certificate(config.national.platform_certificate_pem, is_national=True)
                )

    def new_nonce(self) -> str:
        """32 letters and digits."""
        return "".join(_NONCE[byte % len(_NONCE)] for byte in self._random_bytes(32))

    def check(
        self, authorization: str, method: str, target: str, body: bytes, now_ms: int
    ) -> Proof:
        """Believe a request, or raise :class:`NotSigned`."""
        proof = _read(authorization)
        if proof.mchid != self._mchid:
            raise NotSigned("商户号与签名不匹配")
        if not proof.timestamp.isdigit() or (
            abs(int(proof.timestamp) - now_ms // 1000) > MAX_SKEW_S
        ):
            raise NotSigned("Http头Authorization中的timestamp与发起请求的时间不得超过5分钟")
        message = f"{method}\n{target}\n{proof.timestamp}\n{proof.nonce}\n".encode()
        if not self._verifies(proof, message + body + b"\n"):
            raise NotSigned("签名验证失败")
        return proof

    def _verifies(self, proof: Proof, message: bytes) -> bool:
        if proof.scheme == SM_SCHEME and self._national_merchant is not None:
            serial, key = self._national_merchant
            return proof.serial == serial and key.verify(message, proof.signature)
        if proof.scheme != RSA_SCHEME or proof.serial.upper() != self.merchant_serial:
            return False
        return verify_sha256(self._merchant_key, message, proof.signature)

    def is_page_signed(self, scheme: str, message: bytes, signature: bytes) -> bool:
        """Whether the merchant signed what a page hands to the JS bridge."""
        if scheme == SM_SCHEME:
            national = self._national_merchant
            return national is not None and national[1].verify(message, signature)
        return verify_sha256(self._merchant_key, message, signature)

    def signer(self, scheme: str, wanted: str) -> Signer | None:
        """Who signs the answer to a request; ``None`` if ``wanted`` names no key of ours."""
        if scheme == SM_SCHEME and self.national is not None:
            return self.national if wanted in ("", self.national.serial) else None
        if wanted in ("", self.by_certificate.serial):
            return self.by_certificate
        return self.by_public_key if wanted == self.by_public_key.serial else None

    def encrypt(self, text: bytes, associated: str, *, is_national: bool) -> dict[str, str]:
        """For the merchant's eyes: the members of a ``resource``."""
        nonce = self.new_nonce()[:12]
        if is_national:
            key = sm4_gcm_key(self._apiv3_key)
            sealed = sm4_gcm_seal(key, nonce.encode(), text, associated.encode())
        else:
            sealed = AESGCM(self._apiv3_key).encrypt(nonce.encode(), text, associated.encode())
        return {
            "algorithm": "AEAD_SM4_GCM" if is_national else "AEAD_AES_256_GCM",
            "nonce": nonce,
            "associated_data": associated,
            "ciphertext": base64.b64encode(sealed).decode(),
        }


def _read(header: str) -> Proof:
    scheme, _, rest = header.strip().partition(" ")
    found: dict[str, str] = {}
    at = 0
    while at < len(rest):
        parameter = _PARAMETER.match(rest, at)
        if parameter is None or parameter[1] in found:
            raise NotSigned("Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》")
        found[parameter[1]] = parameter[2]
        at = parameter.end()
    if found.keys() != {"mchid", "nonce_str", "signature", "timestamp", "serial_no"}:
        raise NotSigned("Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》")
    try:
        signature = base64.b64decode(found["signature"], validate=True)
    except (binascii.Error, ValueError):
        raise NotSigned("签名不是有效的Base64") from None
    return Proof(
        scheme,
        found["mchid"],
        found["serial_no"],
        found["timestamp"],
        found["nonce_str"],
        signature,
    )


def _certificate(pem: bytes, *, is_national: bool) -> PlatformCertificate:
    certificate = load_pem_x509_certificate(pem)
    return PlatformCertificate(
        f"{certificate.serial_number:X}",
        pem,
        rfc3339(int(certificate.not_valid_before_utc.timestamp()) * 1000),
        rfc3339(int(certificate.not_valid_after_utc.timestamp()) * 1000),
        is_national,
    )


def rfc3339(time_ms: int) -> str:
    """``2026-11-22T12:00:00+08:00``, APIv3's only time format."""
    return f"{beijing(time_ms):%Y-%m-%dT%H:%M:%S}+08:00"
