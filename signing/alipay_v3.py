r"""Alipay's REST protocol, version 3: the signatures of requests and answers.

Rules (reference ``channels.md`` A2):

* A request signs ``authString\nMETHOD\nuri\nbody\n[appAuthToken\n]``, the URI with its query,
  the body as it is sent (encrypted, where it is).
* An answer signs ``timestamp\nnonce\nbody\n`` of its headers, over the bytes as received.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from signing.alipay import AlipaySignatureError
from signing.alipay_certificates import AlipayKeys
from signing.rsa import sign_sha256, verify_sha256

SCHEME: Final = "ALIPAY-SHA256withRSA"
_TIMESTAMP: Final = "alipay-timestamp"
_NONCE: Final = "alipay-nonce"
_SIGNATURE: Final = "alipay-signature"
_SERIAL: Final = "alipay-sn"


@dataclass(frozen=True, slots=True, kw_only=True)
class V3Request:
    """What a request signs; ``uri`` is path and query."""

    method: str
    uri: str
    body: bytes
    app_id: str
    nonce: str
    timestamp_ms: int
    app_cert_sn: str = ""
    app_auth_token: str = ""


def auth_string(request: V3Request) -> str:
    """The head of ``Authorization`` without its ``sign``."""
    certificate = f",app_cert_sn={request.app_cert_sn}" if request.app_cert_sn else ""
    return (
        f"app_id={request.app_id}{certificate},nonce={request.nonce},"
        f"timestamp={request.timestamp_ms}"
    )


def string_to_sign(request: V3Request) -> bytes:
    """What the signature of a request covers."""
    head = f"{auth_string(request)}\n{request.method}\n{request.uri}\n".encode()
    tail = f"\n{request.app_auth_token}\n" if request.app_auth_token else "\n"
    return head + request.body + tail.encode()


def authorization(request: V3Request, private_key: RSAPrivateKey) -> str:
    """The header ``Authorization`` of a request."""
    signature = base64.b64encode(sign_sha256(private_key, string_to_sign(request))).decode("ascii")
    return f"{SCHEME} {auth_string(request)},sign={signature}"


def answer_string(timestamp: str, nonce: str, body: bytes) -> bytes:
    """What the signature of an answer covers."""
    return f"{timestamp}\n{nonce}\n".encode() + body + b"\n"


def verify_answer(headers: Mapping[str, str], body: bytes, keys: AlipayKeys) -> None:
    """Believe ``body``, or raise.

    Raises:
        AlipaySignatureError: a header that is missing, or a signature that does not verify.
    """
    named = {name.lower(): value for name, value in headers.items()}
    timestamp, nonce = named.get(_TIMESTAMP, ""), named.get(_NONCE, "")
    text = named.get(_SIGNATURE, "")
    if not (timestamp and nonce and text):
        raise AlipaySignatureError("the answer is not signed")
    key = keys.of_answer(named.get(_SERIAL, ""))
    if key is None:
        raise AlipaySignatureError("the answer names a certificate that is not ours to trust")
    try:
        signature = base64.b64decode(text, validate=True)
        signed = answer_string(timestamp, nonce, body)
    except (binascii.Error, ValueError):
        raise AlipaySignatureError("the sign is not base64") from None
    if not verify_sha256(key, signed, signature):
        raise AlipaySignatureError("the answer's signature does not verify")
