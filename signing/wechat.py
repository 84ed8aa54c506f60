r"""WeChat Pay's signatures and ciphers, APIv3: RSA or the national algorithms.

Rules (reference ``channels.md`` B2):

* A request signs ``METHOD\\n/path?query\\ntimestamp\\nnonce\\nbody\\n``; an answer or a
  notification ``timestamp\\nnonce\\nbody\\n`` over exactly the bytes received.
* Which key verifies is told by the serial alone: that of a platform certificate (hex), or the
  id of WeChat Pay's public key (``PUB_KEY_ID_…``). The key fixes the algorithm, so nothing in
  a message can lower it. An unknown serial is told apart: new certificates may be there.
* A time more than five minutes from ours is refused. So is every signature that is not plain
  base64, and the probes ``WECHATPAY/SIGNTEST/…``, which must fail without a crash.
* A resource is opened with the APIv3 key: AES-256-GCM, or SM4-GCM under SM3 of that key.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.x509 import InvalidVersion, load_pem_x509_certificate

from signing.rsa import RsaKeyError, load_private_key, load_public_key, sign_sha256, verify_sha256
from signing.sm import Sm2PrivateKey, Sm2PublicKey, SmKeyError, sm4_gcm_key, sm4_gcm_open

RSA_SCHEME: Final = "WECHATPAY2-SHA256-RSA2048"
SM_SCHEME: Final = "WECHATPAY2-SM2-WITH-SM3"
PUBLIC_KEY_ID: Final = "PUB_KEY_ID_"
APIV3_KEY_BYTES: Final = 32

_PROBE: Final = "WECHATPAY/SIGNTEST/"
_MOST_SKEW_S: Final = 300
_LONGEST_TEXT: Final = 1024
_AES: Final = "AEAD_AES_256_GCM"
_SM4: Final = "AEAD_SM4_GCM"
_NONCE_BYTES: Final = 12
# SHA-1 inside OAEP is what the protocol fixes; it needs no resistance to collisions there.
_OAEP: Final = OAEP(mgf=MGF1(SHA1()), algorithm=SHA1(), label=None)  # noqa: S303


class WechatSignatureError(Exception):
    """A message that is not believed; the text quotes nothing of it.

    ``unknown_serial``: signed under a key that we do not hold (yet).
    """

    def __init__(self, why: str, *, unknown_serial: bool = False) -> None:
        super().__init__(why)
        self.unknown_serial = unknown_serial


class WechatCipherError(Exception):
    """A resource or a field that does not open."""


class WechatKeyError(ValueError):
    """A key that cannot be used; the text names the fault and nothing of the key."""


class MerchantKey(Protocol):
    """What a merchant signs with."""

    @property
    def scheme(self) -> str:
        """The word before the ``Authorization`` header's parameters."""
        ...

    def sign(self, message: bytes) -> bytes:
        """The signature, raw."""
        ...

    def decrypt(self, sealed: bytes) -> bytes:
        """A sensitive field that was encrypted for the merchant."""
        ...


class PlatformKey(Protocol):
    """What WeChat Pay signs with, its public half."""

    @property
    def scheme(self) -> str:
        """The scheme of its signatures."""
        ...

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether WeChat Pay signed ``message``."""
        ...

    def encrypt(self, text: bytes) -> bytes:
        """A sensitive field that only WeChat Pay can read."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class RsaMerchantKey:
    """RSA with SHA-256."""

    key: RSAPrivateKey
    scheme: str = RSA_SCHEME

    def sign(self, message: bytes) -> bytes:
        """PKCS#1 v1.5."""
        return sign_sha256(self.key, message)

    def decrypt(self, sealed: bytes) -> bytes:
        """RSA-OAEP."""
        try:
            return self.key.decrypt(sealed, _OAEP)
        except ValueError:
            raise WechatCipherError("the field does not open") from None


@dataclass(frozen=True, slots=True, repr=False)
class RsaPlatformKey:
    """RSA with SHA-256."""

    key: RSAPublicKey
    scheme: str = RSA_SCHEME

    def verify(self, message: bytes, signature: bytes) -> bool:
        """PKCS#1 v1.5."""
        return verify_sha256(self.key, message, signature)

    def encrypt(self, text: bytes) -> bytes:
        """RSA-OAEP; raises :class:`WechatCipherError` for what is too long."""
        try:
            return self.key.encrypt(text, _OAEP)
        except ValueError:
            raise WechatCipherError("the field is too long to encrypt") from None


@dataclass(frozen=True, slots=True, repr=False)
class SmMerchantKey:
    """SM2 with SM3."""

    key: Sm2PrivateKey
    scheme: str = SM_SCHEME

    def sign(self, message: bytes) -> bytes:
        """ASN.1 DER."""
        return self.key.sign(message)

    def decrypt(self, sealed: bytes) -> bytes:
        """SM2, C1C3C2."""
        try:
            return self.key.decrypt(sealed)
        except ValueError:
            raise WechatCipherError("the field does not open") from None


@dataclass(frozen=True, slots=True, repr=False)
class SmPlatformKey:
    """SM2 with SM3."""

    key: Sm2PublicKey
    scheme: str = SM_SCHEME

    def verify(self, message: bytes, signature: bytes) -> bool:
        """ASN.1 DER."""
        return self.key.verify(message, signature)

    def encrypt(self, text: bytes) -> bytes:
        """SM2, C1C3C2."""
        return self.key.encrypt(text)


def merchant_key(pem: bytes, scheme: str) -> MerchantKey:
    """The merchant's private key.

    Raises:
        WechatKeyError: not a key of this scheme.
        SmUnavailable: the machine has no SM2.
    """
    try:
        if scheme == SM_SCHEME:
            return SmMerchantKey(Sm2PrivateKey(pem))
        return RsaMerchantKey(load_private_key(pem))
    except (RsaKeyError, SmKeyError) as fault:
        raise WechatKeyError(str(fault)) from None


def platform_key(pem: bytes, scheme: str) -> PlatformKey:
    """WeChat Pay's public key; raises as :func:`merchant_key` does."""
    try:
        if scheme == SM_SCHEME:
            return SmPlatformKey(Sm2PublicKey(pem))
        return RsaPlatformKey(load_public_key(pem))
    except (RsaKeyError, SmKeyError) as fault:
        raise WechatKeyError(str(fault)) from None


def certificate_key(pem: bytes, scheme: str) -> tuple[str, PlatformKey]:
    """The serial of a platform certificate, as headers write it, and its key.

    Raises:
        WechatKeyError: not a certificate, or of another scheme.
    """
    try:
        certificate = load_pem_x509_certificate(pem)
        serial = normal_serial(f"{certificate.serial_number:X}")
        if scheme == SM_SCHEME:
            return serial, SmPlatformKey(Sm2PublicKey(pem))
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm, InvalidVersion) as fault:
        raise WechatKeyError("not a platform certificate in PEM") from fault
    if not isinstance(key, RSAPublicKey) or key.key_size < 2048:
        raise WechatKeyError("not a certificate of an RSA key of 2048 bits or more")
    return serial, RsaPlatformKey(key)


def normal_serial(text: str) -> str:
    """A serial as keys are kept under: hex in upper case without leading noughts."""
    if text.startswith(PUBLIC_KEY_ID):
        return text
    return text.upper().lstrip("0")


def message_of(method: str, path_and_query: str, timestamp: str, nonce: str, body: bytes) -> bytes:
    """What a request signs."""
    return f"{method}\n{path_and_query}\n{timestamp}\n{nonce}\n".encode() + body + b"\n"


def authorization(
    key: MerchantKey,
    mchid: str,
    serial: str,
    timestamp: str,
    nonce: str,
    message: bytes,
) -> str:
    """The ``Authorization`` header over :func:`message_of`."""
    signature = base64.b64encode(key.sign(message)).decode("ascii")
    return (
        f'{key.scheme} mchid="{mchid}",nonce_str="{nonce}",signature="{signature}",'
        f'timestamp="{timestamp}",serial_no="{serial}"'
    )


def pay_sign(key: MerchantKey, appid: str, timestamp: str, nonce: str, package: str) -> str:
    """What a page's JS bridge (or an app) is given to prove its order; base64."""
    message = f"{appid}\n{timestamp}\n{nonce}\n{package}\n".encode()
    return base64.b64encode(key.sign(message)).decode("ascii")


@dataclass(frozen=True, slots=True)
class Stamp:
    """What signs an answer or a notification: the ``Wechatpay-*`` headers."""

    serial: str
    timestamp: str
    nonce: str
    signature: str
    scheme: str = ""

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> "Stamp":
        """From headers whose names are in lower case (or any, where the mapping ignores it)."""
        return cls(
            serial=headers.get("wechatpay-serial", ""),
            timestamp=headers.get("wechatpay-timestamp", ""),
            nonce=headers.get("wechatpay-nonce", ""),
            signature=headers.get("wechatpay-signature", ""),
            scheme=headers.get("wechatpay-signature-type", ""),
        )


def verify_message(stamp: Stamp, body: bytes, keys: Mapping[str, PlatformKey], now_ms: int) -> None:
    """Believe ``body``, or raise.

    ``keys`` is every key of WeChat Pay's that we hold, by :func:`normal_serial`.

    Raises:
        WechatSignatureError: not signed, stale, a probe, under a key that we do not hold, or
            the signature does not verify.
    """
    if not (stamp.serial and stamp.timestamp and stamp.nonce and stamp.signature):
        raise WechatSignatureError("not signed")
    if max(map(len, (stamp.serial, stamp.nonce, stamp.signature))) > _LONGEST_TEXT:
        raise WechatSignatureError("a signature header is too long")
    if stamp.signature.startswith(_PROBE):
        raise WechatSignatureError("a probe with a false signature")
    _check_time(stamp.timestamp, now_ms)
    key = keys.get(normal_serial(stamp.serial))
    if key is None:
        raise WechatSignatureError("signed under an unknown serial", unknown_serial=True)
    if stamp.scheme not in ("", key.scheme):
        raise WechatSignatureError("signed under another scheme than its key's")
    try:
        signature = base64.b64decode(stamp.signature, validate=True)
    except (binascii.Error, ValueError):
        raise WechatSignatureError("the signature is not base64") from None
    signed = f"{stamp.timestamp}\n{stamp.nonce}\n".encode("utf-8", "replace") + body + b"\n"
    if not key.verify(signed, signature):
        raise WechatSignatureError("the signature does not verify")


def _check_time(timestamp: str, now_ms: int) -> None:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise WechatSignatureError("the timestamp is not one")
    if abs(int(timestamp) - now_ms // 1000) > _MOST_SKEW_S:
        raise WechatSignatureError("signed more than five minutes from now")


def open_resource(resource: Mapping[str, object], apiv3_key: bytes) -> bytes:
    """The text of a notification's ``resource`` or of an encrypted certificate.

    Raises:
        WechatCipherError: its shape or algorithm is not known, or it does not open.
    """
    texts = [
        resource.get(name, "") for name in ("algorithm", "nonce", "associated_data", "ciphertext")
    ]
    algorithm, nonce, associated, ciphertext = (t if isinstance(t, str) else "" for t in texts)
    if len(nonce.encode()) != _NONCE_BYTES or not ciphertext:
        raise WechatCipherError("not an encrypted resource")
    try:
        sealed = base64.b64decode(ciphertext, validate=True)
        if algorithm == _AES:
            return AESGCM(apiv3_key).decrypt(nonce.encode(), sealed, associated.encode())
        if algorithm == _SM4:
            key = sm4_gcm_key(apiv3_key)
            return sm4_gcm_open(key, nonce.encode(), sealed, associated.encode())
    except (InvalidTag, ValueError, UnsupportedAlgorithm):
        raise WechatCipherError("the resource does not open") from None
    raise WechatCipherError("encrypted with an unknown algorithm")
