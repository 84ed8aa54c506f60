"""ACP's messages at the simulated UnionPay: forms in, signed answers out (written a second time).

Rules (reference ``channels.md`` C1): a request is an ordinary form, its signature checked
with the merchant's certificate before anything is done: sorted ``k=v`` without empties and
``signature``, joined with ``&``, its lower-hex SHA-256 signed with RSA and SHA-256. An
answer is *not* URL-encoded and brings its own certificate; a notification is a form again.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.x509 import load_pem_x509_certificate

from sandbox.config import UnionPayQrSandboxConfig
from signing.rsa import load_private_key, sign_sha256, verify_sha256

WORDS: Final[Mapping[str, str]] = {
    "00": "成功[0000000]",
    "05": "交易已受理，请稍后查询交易结果[0000005]",
    "10": "报文格式错误[6100010]",
    "11": "验证签名失败[6100011]",
    "12": "重复交易[6100012]",
    "34": "查无此交易[2600000]",
    "35": "原交易不存在或状态不正确[2010002]",
    "36": "与原交易信息不符[2040004]",
    "39": "交易不在受理时间范围内[2050039]",
    "45": "原交易已被成功退货或已被成功撤销[2040045]",
    "46": "交易已被成功冲正[2040046]",
    "64": "卡上的余额不足[1000051]",
    "86": "二维码状态错误[1000086]",
    "98": "文件不存在[9900098]",
}
_ECHOED: Final = (
    "accessType", "bizType", "channelType", "encoding", "merId", "orderId", "txnTime", "txnType",
    "txnSubType",
)  # fmt: skip
Params = Mapping[str, str]


class Signer:
    """UnionPay's key and certificate, and whom it knows."""

    def __init__(self, config: UnionPayQrSandboxConfig) -> None:
        """Raises ``ValueError`` for a key or certificate that cannot be read."""
        self.mer_id = config.mer_id
        merchant = load_pem_x509_certificate(config.merchant_certificate_pem)
        key = merchant.public_key()
        if not isinstance(key, RSAPublicKey):
            raise ValueError("the merchant's certificate is not RSA")
        self._merchant_key = key
        self._cert_id = str(merchant.serial_number)
        self._key: RSAPrivateKey = load_private_key(config.unionpay_private_key_pem)
        self._certificate = config.unionpay_certificate_pem.decode("ascii").strip()

    def is_signed(self, params: Params) -> bool:
        """Whether our merchant signed it, version 5.1.0 by method 01."""
        if (params.get("version"), params.get("signMethod")) != ("5.1.0", "01"):
            return False
        if params.get("certId") != self._cert_id:
            return False
        try:
            signature = base64.b64decode(params.get("signature", ""), validate=True)
        except (binascii.Error, ValueError):
            return False
        return verify_sha256(self._merchant_key, _digest(params), signature)

    def signed(self, params: Params) -> dict[str, str]:
        """Ours, with the certificate inside."""
        own = {
            **params,
            "version": "5.1.0",
            "signMethod": "01",
            "signPubKeyCert": self._certificate,
        }
        own["signature"] = base64.b64encode(sign_sha256(self._key, _digest(own))).decode()
        return own

    def answer(self, asked: Params, code: str, **more: str) -> bytes:
        """A signed answer that repeats what ``asked`` said."""
        echoed = {name: asked[name] for name in _ECHOED if asked.get(name)}
        words = WORDS.get(code, f"交易失败[{code}]")
        params = self.signed({**echoed, "respCode": code, "respMsg": words, **more})
        return "&".join(f"{name}={value}" for name, value in params.items()).encode()

    def notice(self, params: Params, *, forged: bool) -> bytes:
        """A notification: a form; ``forged`` breaks its signature."""
        own = self.signed(params)
        if forged:
            own["signature"] = base64.b64encode(bytes(256)).decode()
        return urlencode(own).encode()


def _digest(params: Params) -> bytes:
    text = "&".join(
        f"{name}={value}" for name, value in sorted(params.items()) if value and name != "signature"
    )
    return hashlib.sha256(text.encode()).hexdigest().encode()


def spoil(answer: bytes) -> bytes:
    """The answer with one letter of its signature changed (for :mod:`sandbox.faults`)."""
    mark = b"&signature="
    at = answer.rfind(mark)
    if at < 0:
        return answer
    at += len(mark)
    swapped = b"B" if answer[at : at + 1] == b"A" else b"A"
    return answer[:at] + swapped + answer[at + 1 :]
