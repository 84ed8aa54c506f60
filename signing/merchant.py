r"""The merchant signature scheme of the HTTPS API, version 1 (``docs/contract.md``).

Rules: a request carries ``Authorization: POSGATE-HMAC-SHA256 key_id="…",timestamp="…",
nonce="…",signature="…"``, each parameter exactly once and no other; the signature is
HMAC-SHA256 in hex over ``METHOD\npath?query\ntimestamp\nnonce\nhex(sha256(body))\n``,
that of an answer or notification over the last three lines. Whether a time is within
the window and a nonce is fresh is decided by the gateway, which has a clock and a store.
"""

import hmac
import re
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from domain.record import brief

SCHEME: Final = "POSGATE-HMAC-SHA256"
HEADER_LIMIT: Final = 1024

_PARAMETER = re.compile(r'[ ]*([a-z_]{1,16})="([A-Za-z0-9_-]{1,64})"[ ]*(,|\Z)', re.ASCII)
_SHAPES: Final = {
    "key_id": re.compile(r"[A-Za-z0-9_-]{1,64}"),
    "timestamp": re.compile(r"[0-9]{1,12}"),
    "nonce": re.compile(r"[A-Za-z0-9_-]{8,64}"),
    "signature": re.compile(r"[0-9A-Fa-f]{64}"),
}
_USUAL = re.compile(", ?".join(f'{name}="({shape.pattern})"' for name, shape in _SHAPES.items()))
"""The order in which nearly everybody writes them; in another they are read one by one."""


class MerchantSignatureError(Exception):
    """An ``Authorization`` header that is not of this scheme; the text quotes nothing of it."""


@brief
class Credentials:
    """A parsed ``Authorization`` header; ``timestamp`` is its text, Unix seconds."""

    key_id: str
    timestamp: str
    nonce: str
    signature: str

    def __repr__(self) -> str:
        return f"Credentials(key_id={self.key_id!r}, timestamp={self.timestamp!r})"


def request_string(method: str, path_qs: str, timestamp: str, nonce: str, body: bytes) -> bytes:
    """The string to sign of a request; ``path_qs`` as on the wire, undecoded."""
    return f"{method}\n{path_qs}\n{timestamp}\n{nonce}\n{sha256(body).hexdigest()}\n".encode()


def answer_string(timestamp: str, nonce: str, body: bytes) -> bytes:
    """The string to sign of an answer or a notification."""
    return f"{timestamp}\n{nonce}\n{sha256(body).hexdigest()}\n".encode()


def sign(secret: bytes, message: bytes) -> str:
    """HMAC-SHA256 in lower-case hex; ``ValueError`` for an empty secret."""
    if not secret:
        raise ValueError("an empty secret signs nothing")
    return hmac.digest(secret, message, "sha256").hex()


def verify(secret: bytes, message: bytes, signature_hex: str) -> bool:
    """Whether the signature is the secret's, in constant time; hex of either case."""
    return _is_same(sign(secret, message), signature_hex)


class MerchantSecret:
    """A secret that signs and verifies many messages; ``ValueError`` for an empty one."""

    __slots__ = ("_code",)

    def __init__(self, secret: bytes) -> None:
        if not secret:
            raise ValueError("an empty secret signs nothing")
        # keyed once and copied: a third of the cost of keying it for every message
        self._code = HMAC(secret, SHA256())

    def sign(self, message: bytes) -> str:
        """As :func:`sign`."""
        code = self._code.copy()
        code.update(message)
        return code.finalize().hex()

    def verify(self, message: bytes, signature_hex: str) -> bool:
        """As :func:`verify`."""
        return _is_same(self.sign(message), signature_hex)

    def __repr__(self) -> str:
        return "MerchantSecret(…)"


def _is_same(expected: str, signature_hex: str) -> bool:
    given = signature_hex.lower().encode(errors="backslashreplace")
    return hmac.compare_digest(expected.encode(), given)


def authorization(key_id: str, timestamp: str, nonce: str, signature: str) -> str:
    """The value of the ``Authorization`` header."""
    return (
        f'{SCHEME} key_id="{key_id}",timestamp="{timestamp}",'
        f'nonce="{nonce}",signature="{signature}"'
    )


def parse_authorization(header: str) -> Credentials:
    """Read an ``Authorization`` header, its parameters in any order.

    Raises:
        MerchantSignatureError: over 1 KiB, another scheme, or a parameter that is
            missing, given twice, unknown or misshapen.
    """
    if len(header) > HEADER_LIMIT:
        raise MerchantSignatureError("the Authorization header is too long")
    scheme, _, rest = header.partition(" ")
    if scheme != SCHEME:
        raise MerchantSignatureError(f"the Authorization header is not of scheme {SCHEME}")
    usual = _USUAL.fullmatch(rest)
    if usual is not None:
        return Credentials(*usual.groups())
    values = _parameters(rest)
    if len(values) != len(_SHAPES):
        raise MerchantSignatureError("the Authorization header lacks a parameter")
    return Credentials(values["key_id"], values["timestamp"], values["nonce"], values["signature"])


def _parameters(text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    position, separator = 0, ","
    while separator:
        found = _PARAMETER.match(text, position)
        if found is None:
            raise MerchantSignatureError("the Authorization header is malformed")
        name, value, separator = found.groups()
        shape = _SHAPES.get(name)
        if shape is None:
            raise MerchantSignatureError("the Authorization header has an unknown parameter")
        if name in values:
            raise MerchantSignatureError(f"the Authorization header gives {name} twice")
        if shape.fullmatch(value) is None:
            raise MerchantSignatureError(f"the Authorization header's {name} is malformed")
        values[name] = value
        position = found.end()
    return values
